"""Reads one installed package as the runtime will register it: what it is, where it leads, what it gives away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence.asset import Check, Package, Reference
from airgap_check.kernel import procfs
from airgap_check.objectos import artifact, state
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.asset import Outcome


class Read(NamedTuple):
    """What one file states; ``reason`` says what was not seen of it."""

    records: list[AnyRecord]
    reason: str = ""


def read(owner: Installation, path: str, name: str, deadline: float | None) -> Read:
    """Read a file of `installed-packages`, ``name`` being the file's own; never raises for what stands in it."""
    try:
        descriptor = procfs.open_in_root(owner.thread, path)
    except FileNotFoundError:
        return Read([])
    except OSError as error:
        return Read([], printable(error.strerror or "it cannot be read"))
    try:
        scan = artifact.scan(descriptor, at=("manifest",), root="$.manifest", deadline=deadline)
        content = _content(descriptor, scan.size)
    finally:
        os.close(descriptor)
    return _records(_File(owner, printable(path), name), scan, content)


def _content(descriptor: int, size: int | None) -> bytes | None:
    """Return the bytes of a file that is small enough to be decoded whole."""
    if size is None or size > state.DECODED:
        return None
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = b""
    while len(content) < size and (part := os.read(descriptor, size - len(content))):
        content += part
    return content


class _File(NamedTuple):
    owner: Installation
    path: str
    name: str

    def check(self, aspect: str, outcome: Outcome, detail: str, **where: object) -> Check:
        line, pointer = where.get("line"), where.get("pointer")
        return Check(
            aspect=aspect,
            subject=printable(self.name),
            outcome=outcome,
            detail=detail,
            path=self.path,
            line=line if isinstance(line, int) else None,
            pointer=pointer if isinstance(pointer, str) else None,
            process=self.owner.process,
            workload=self.owner.workload,
            seen="state",
        )


def _records(file: _File, scan: artifact.Scan, content: bytes | None) -> Read:
    records: list[AnyRecord] = []
    reason = scan.incomplete or (scan.reason if scan.state == "unreadable" else "")
    entry = state.entry(content, file.name) if content is not None else state.Entry(file.name, None, None, ())
    if scan.state == "malformed":
        detail = f"{scan.reason} (column {scan.column})" if scan.column else scan.reason
        records.append(file.check("package-malformed", "failed", detail, line=scan.line))
    elif entry.problem:
        records.append(file.check("package-malformed", "failed", entry.problem))
    if scan.state != "unreadable":
        records.append(_package(file, scan, entry))
        records.append(_identity(file, entry))
        if scan.runtime_module:
            records.append(_module(file, scan.runtime_module))
    records += [file.check(flaw.aspect, flaw.outcome, flaw.detail, pointer=flaw.pointer) for flaw in scan.flaws]
    records += [_reference(file, found) for found in scan.found]
    return Read(records, reason)


def _package(file: _File, scan: artifact.Scan, entry: state.Entry) -> Package:
    return Package(
        id=entry.id,
        version=entry.version,
        path=file.path,
        sha256=entry.sha256,
        file_sha256=scan.sha256,
        process=file.owner.process,
        workload=file.owner.workload,
    )


def _identity(file: _File, entry: state.Entry) -> Check:
    """Compare the names that a package goes by: the runtime stores it under one, and registers what is inside."""
    names = entry.identities
    if not names:
        return file.check("package-identity", "unknown", "it does not say which package it is")
    if len(names) > 1:
        return file.check("package-identity", "failed", f"it is {names[0]} in one place and {names[1]} in another")
    if state.file_name(names[0]) != file.name:
        detail = f"it is {names[0]}, which the runtime would have stored as {state.file_name(names[0])}"
        return file.check("package-identity", "failed", detail)
    return file.check("package-identity", "passed", f"it is {names[0]} wherever it says so")


def _module(file: _File, module: str) -> Check:
    """Say that a package names a module of code: installing one carries the manifest alone."""
    folder = file.path.rpartition("/")[0]
    try:
        os.close(procfs.open_in_root(file.owner.thread, f"{folder}/{os.path.basename(module)}"))
    except OSError:
        detail = f"names the module {module}, which did not travel with it: its functions do not exist here"
        return file.check("package-module", "failed", detail, pointer="$.manifest.runtimeModule")
    detail = f"has the module {module} beside it, which installing never puts there"
    return file.check("package-module", "failed", detail, pointer="$.manifest.runtimeModule")


def _reference(file: _File, found: artifact.Found) -> Reference:
    owner = file.owner
    return Reference(path=file.path, process=owner.process, workload=owner.workload, seen="state", **found._asdict())
