"""Checks that what a runtime was given cannot be changed under it: artifact, mount, pins, the disk of its database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.asset import Check, Outcome
from airgap_check.kernel import stored_file
from airgap_check.redact import printable, url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.asset import Artifact
    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import Runtime
    from airgap_check.kernel.stored_file import StoredFile

_WRITABLE: dict[str, Outcome] = {"yes": "failed", "no": "passed", "root": "passed", "unknown": "unknown"}
_DATABASES = ("OS_BUSINESS_DB_URL", "OS_DATABASE_URL", "DATABASE_URL", "OS_TELEMETRY_DB")


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
    fetched = installation.settings.get("OS_ARTIFACT_URL", "")
    if fetched:
        pinned = "#sha256=" in fetched
        detail = "it has a pin" if pinned else "it has no #sha256= pin, so that whoever answers decides what runs"
        yield stated(installation, "artifact-pin", printable(url(fetched)), "passed" if pinned else "failed", detail)
    if runtime.image:
        pinned = "@sha256:" in runtime.image
        detail = "it is named by digest" if pinned else "it is named by tag, which anybody who pushes can move"
        yield stated(installation, "image-pin", printable(runtime.image), "passed" if pinned else "failed", detail)


def databases(installation: Installation) -> Iterator[Check]:
    """Say whether a database that is a file lies on a disk of this host."""
    for name in _DATABASES:
        path = _file_of(installation.settings.get(name, ""))
        whole = path and installation.path(path)
        if not path:
            continue
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
        detail = f"{name} names a file on a network file system" if remote else f"{name} names a file of this host"
        yield stated(installation, "database-disk", shown, outcome, detail, path=shown)


def _file_of(text: str) -> str | None:
    """Return the path of a database that is a file, None for a server's URL or one in memory."""
    for scheme in ("file:", "sqlite:", "wasm-sqlite:"):
        if text.startswith(scheme):
            path = text.removeprefix(scheme).partition("?")[0]
            path = path.removeprefix("//") if path.startswith("//") else path
            return None if path in {"", ":memory:"} else path
    if "://" in text or text in {"", "0", ":memory:"} or text.startswith(("memory:", "libsql:", "mongodb")):
        return None
    return text if os.path.splitext(text)[1] in {".db", ".sqlite", ".sqlite3"} else None


def stated(
    installation: Installation, aspect: str, subject: str, outcome: Outcome, detail: str, *, path: str | None = None
) -> Check:
    """State one check of a running product."""
    return Check(
        aspect=aspect, subject=subject, outcome=outcome, detail=printable(detail), path=path,
        process=installation.process, workload=installation.workload, seen="upgrade",
    )  # fmt: skip
