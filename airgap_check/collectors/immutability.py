"""Checks that what a runtime was given cannot be changed under it: artifact, mount, pins, the disk of its database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.default_database import default_database
from airgap_check.evidence.asset import Check, Outcome
from airgap_check.kernel import stored_file
from airgap_check.objectos import business_database, state
from airgap_check.redact import printable, url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import Runtime
    from airgap_check.evidence.asset import Artifact
    from airgap_check.kernel.stored_file import StoredFile

_WRITABLE: dict[str, Outcome] = {"yes": "failed", "no": "passed", "root": "passed", "unknown": "unknown"}
_PINNABLE = "OS_ARTIFACT_URL"
_FETCHED = (_PINNABLE, "OS_ARTIFACT_PATH", "OS_ARTIFACT_FILE")
_TELEMETRY = "OS_TELEMETRY_DB"


class Kept(NamedTuple):
    """An artifact with the installation that boots from it, and what its file system says, if that could be told."""

    artifact: Artifact
    installation: Installation
    file: StoredFile | None


def look(artifact: Artifact, installation: Installation) -> Kept:
    """Look at the file of an artifact as its runtime finds it."""
    try:
        found = stored_file.examine(installation.thread, artifact.path)
    except OSError:
        found = None
    return Kept(artifact, installation, found)


def checks(kept: Kept) -> Iterator[Check]:
    """Say whether the service, or anybody in its place, could write the artifact that it runs."""
    artifact, file = kept.artifact, kept.file
    may = file.writable if file else "unknown"
    how = file.how if file else "its file could not be looked at"
    yield stated(kept.installation, "artifact-writable", artifact.path, _WRITABLE[may], how, path=artifact.path)
    mount: Outcome = "unknown" if file is None else "failed" if file.mount_writable else "passed"
    text = {"failed": "its mount is read-write", "passed": "its mount is read-only", "unknown": how}[mount]
    yield stated(kept.installation, "artifact-mount", artifact.path, mount, text, path=artifact.path)


def pins(installation: Installation, runtime: Runtime) -> Iterator[Check]:
    """Say whether what is fetched, or was pulled, is named by its content."""
    for name in _FETCHED:
        fetched = installation.settings.get(name, "").strip()
        if not fetched or (name != _PINNABLE and not fetched.lower().startswith(("http://", "https://"))):
            continue
        pinned = name == _PINNABLE and state.pin(fetched) is not None
        detail = "it has a pin" if pinned else "it has no #sha256= pin, so that whoever answers decides what runs"
        if not pinned and name != _PINNABLE:
            detail = f"it is fetched, and {name} knows no pin, so that whoever answers decides what runs"
        subject = f"{name} {printable(url(fetched))}"
        yield stated(installation, "artifact-pin", subject, "passed" if pinned else "failed", detail)
    if runtime.image:
        pinned = "@sha256:" in runtime.image
        detail = "it is named by digest" if pinned else "it is named by tag, which anybody who pushes can move"
        yield stated(installation, "image-pin", printable(runtime.image), "passed" if pinned else "failed", detail)


def databases(installation: Installation) -> Iterator[Check]:
    """Say whether a database that is a file lies on a disk of this host."""
    try:
        files = list(_files(installation))
    except OSError as error:
        why = error.strerror or "where it lies cannot be told"
        yield stated(installation, "database-disk", "the default database", "unknown", why)
        return
    for name, text in files:
        path = text.partition("?")[0]
        whole = installation.path(path)
        if whole is None:
            yield stated(installation, "database-disk", name, "unknown", "its working directory cannot be told")
            continue
        shown = printable(whole)
        try:
            remote = stored_file.is_remote(installation.thread, whole)
        except OSError as error:
            yield stated(installation, "database-disk", shown, "unknown", error.strerror or "cannot be looked at")
            continue
        outcome: Outcome = "unknown" if remote is None else "failed" if remote else "passed"
        detail = f"{name} is a file on a network file system" if remote else f"{name} is a file of this host"
        yield stated(installation, "database-disk", shown, outcome, detail, path=shown)


def _files(installation: Installation) -> Iterator[tuple[str, str]]:
    """Yield what names a database that is a file, and its path. Raises OSError where that cannot be told."""
    found = business_database.named(installation.product, installation.settings)
    if not found and (default := default_database(installation)):
        found = [default]
    telemetry = installation.settings.get(_TELEMETRY, "").strip()
    if re.search(r"[/.:]", telemetry):  # else it is a switch
        found.append(business_database.of_url(telemetry, _TELEMETRY))
    return ((one.named_by, one.path) for one in found if one.kind == "sqlite" and one.path)


def stated(
    installation: Installation, aspect: str, subject: str, outcome: Outcome, detail: str, *, path: str | None = None
) -> Check:
    """State one check of a running product."""
    return Check(
        aspect=aspect, subject=subject, outcome=outcome, detail=printable(detail), path=path,
        process=installation.process, workload=installation.workload, seen="upgrade",
    )  # fmt: skip
