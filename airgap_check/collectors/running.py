"""States each running product once, and hands on what other collectors want to know of it."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from airgap_check.collectors import containers, process_environment
from airgap_check.collectors.installations import Installation
from airgap_check.evidence import Runtime
from airgap_check.kernel import foreign_path
from airgap_check.objectos import behaviour
from airgap_check.redact import url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.collectors.runtimes import Subject
    from airgap_check.collectors.stating import Facts

_LENGTH = 4096  # of a path, PATH_MAX
_DEFAULT = "dist/objectstack.json"


def runtimes(subjects: Sequence[Subject], facts: Facts, root: str) -> Iterator[tuple[Runtime, Installation]]:
    """State each kind of runtime once: the two hundred workers of a unit, all told the same, are one fact."""
    stated: set[tuple[object, ...]] = set()
    for subject in subjects:
        pid, thread = subject.seen.pid, subject.seen.thread
        workload = facts.workload(pid)
        namespace = _namespace(thread)
        home = process_environment.context(thread, {"HOME"}).get("HOME")
        artifact = _artifact(subject, home)
        key = (
            subject.product, subject.version, subject.seen.name, workload, namespace, subject.cloud_url, artifact,
            subject.directory,
        )  # fmt: skip
        if key in stated:
            continue
        process = facts.owner(pid).process
        if process is None:  # it has vanished
            continue
        stated.add(key)
        container = containers.container_of(workload, root)
        runtime = Runtime(
            product=subject.product,
            version=subject.version,
            netns=namespace,
            cloud_url=subject.cloud_url,
            unset_means=behaviour.unset_means(subject.product, subject.version),
            image=container.image,
            digest=container.digest,
            artifact=url(artifact)[:_LENGTH] if artifact else None,
            process=process,
            workload=workload,
        )
        yield (
            runtime,
            Installation(
                thread=thread,
                process=process,
                workload=workload,
                product=subject.product,
                version=subject.version,
                directory=subject.directory,
                home=home,
                settings=dict(subject.settings or {}),
                netns=namespace,
                artifact=artifact,
            ),
        )


def _artifact(subject: Subject, home: str | None) -> str | None:
    """Return the path or URL that a runtime boots from; without a setting, the first default place that has a file."""
    if subject.settings is None:
        return None
    stated = behaviour.artifact(subject.product, subject.version, subject.settings)
    folders = [subject.directory]
    if stated:
        stated = stated.strip()
        if "://" in stated or stated.startswith("/"):
            return stated if "://" in stated else posixpath.normpath(stated)
        return posixpath.normpath(posixpath.join(subject.directory, stated)) if subject.directory else None
    own = subject.settings.get("OS_HOME") or (home and posixpath.join(home, ".objectstack"))
    folders += [own] if own and own.startswith("/") else []
    paths = [posixpath.join(folder, _DEFAULT) for folder in folders if folder]
    return next((path for path in paths if _exists(subject.seen.thread, path)), None)


def _exists(thread: int, path: str) -> bool:
    try:
        os.close(foreign_path.locate(thread, path))
    except OSError:
        return False
    return True


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None
