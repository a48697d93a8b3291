"""States each running product once, and hands on what other collectors want to know of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.collectors import artifact_source, containers, process_environment
from airgap_check.collectors.installations import Installation
from airgap_check.evidence import Runtime
from airgap_check.objectos import behaviour
from airgap_check.redact import url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.collectors.runtimes import Subject
    from airgap_check.collectors.stating import Facts

_LENGTH = 4096  # of a path, PATH_MAX


def runtimes(subjects: Sequence[Subject], facts: Facts, root: str) -> Iterator[tuple[Runtime, Installation]]:
    """State each kind of runtime once: the two hundred workers of a unit, all told the same, are one fact."""
    stated: set[tuple[object, ...]] = set()
    for subject in subjects:
        pid, thread = subject.seen.pid, subject.seen.thread
        workload = facts.workload(pid)
        namespace = _namespace(thread)
        home = process_environment.context(thread, {"HOME"}).get("HOME")
        process = facts.owner(pid).process
        if process is None:  # it has vanished
            continue
        installation = Installation(
            thread=thread,
            process=process,
            workload=workload,
            product=subject.product,
            version=subject.version,
            directory=subject.directory,
            home=home,
            settings=dict(subject.settings or {}),
            netns=namespace,
        )
        artifact = _artifact(installation) if subject.settings is not None else None
        key = (
            subject.product, subject.version, subject.seen.name, workload, namespace, subject.cloud_url, artifact,
            subject.directory,
        )  # fmt: skip
        if key in stated:
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
        yield runtime, installation._replace(artifact=artifact)


def _artifact(installation: Installation) -> str | None:
    """Return the path or URL that a runtime boots from; None where that cannot be told."""
    found = artifact_source.sources(installation)
    return (found[0].path or found[0].url) if len(found) == 1 else None


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None
