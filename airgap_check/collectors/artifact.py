"""Collects what the artifacts say that the runtimes of the product boot from: where they lead, what they give away.

A file is read once, however many runtimes use it, and as the runtime would find it: below its root, through its mounts.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

from airgap_check.collectors.artifact_source import sources
from airgap_check.evidence import Evidence
from airgap_check.evidence.asset import Artifact, Check, Reference
from airgap_check.kernel import procfs
from airgap_check.objectos.artifact import module, scan
from airgap_check.objectos.artifact.found import Flaw
from airgap_check.objectos.artifact.scanning import LIMIT
from airgap_check.redact import printable, url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.collectors.artifact_source import Source
    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.asset import Outcome
    from airgap_check.objectos.artifact.found import Found, Scan

_LENGTH = 512
_FILES = 64
_ASPECTS = ("secret-inside", "build-path", "plugin-state")
_BLIND = "a destination that a program puts together while it runs stands in no artifact"


def collect(installations: Sequence[Installation], deadline: float | None) -> Evidence:
    """Read the artifact of each runtime; ``deadline`` is of the monotonic clock."""
    records: list[AnyRecord] = []
    reasons: list[str] = []
    seen: set[tuple[int, int]] = set()
    files = 0
    for installation, source in ((one, source) for one in installations for source in sources(one)):
        if deadline is not None and time.monotonic() > deadline:
            reasons.append("stopped at the time limit")
            break
        if files == _FILES:
            reasons.append(f"more than {_FILES} artifacts")
            break
        reading = _Reading(installation, source, seen, deadline)
        records += reading.records()
        reasons += reading.reasons
        files += reading.is_new
    reasons = list(dict.fromkeys(reasons))
    return Evidence(
        kind="artifact",
        status="partial" if reasons else "complete",
        records=tuple(records),
        reason="; ".join(reasons[:5]) + (f" and {len(reasons) - 5} more" if len(reasons) > 5 else ""),
        scope="the artifacts that running runtimes boot from",
        counts={"artifacts": files, "destinations": sum(isinstance(one, Reference) for one in records)},
        blind=(_BLIND,),
    )


class _Reading:
    """One artifact of one runtime, and why it could not be read as a whole."""

    def __init__(
        self, installation: Installation, source: Source, seen: set[tuple[int, int]], deadline: float | None
    ) -> None:
        self._installation, self._source, self._seen, self._deadline = installation, source, seen, deadline
        shown = source.path and printable(source.path)
        self._path = (shown or (source.url and url(source.url)) or "objectstack.json")[:_LENGTH]
        self.reasons: list[str] = []
        self.is_new = False

    def records(self) -> Iterator[AnyRecord]:
        """Yield what is to be said; nothing when the file has been read already, or its runtime has gone."""
        source = self._source
        if source.path is None:
            why = "it is fetched over the network" if source.url else "its working directory is not known"
            yield self._unread(why)
            return
        try:
            descriptor = procfs.open_in_root(self._installation.thread, source.path)
        except OSError as error:
            if isinstance(error, ProcessLookupError) or not os.path.exists(f"/proc/{self._installation.thread}"):
                return
            if isinstance(error, FileNotFoundError | NotADirectoryError) and source.told_by:
                yield self._check("artifact-there", "failed", f"{source.told_by} names it, and nothing is there")
                return
            yield from self._unreadable(error.strerror or "it cannot be read")
            return
        try:
            file = os.fstat(descriptor)
            if (file.st_dev, file.st_ino) not in self._seen:
                self._seen.add((file.st_dev, file.st_ino))
                self.is_new = True
                yield from self._of_scan(scan(descriptor, deadline=self._deadline), descriptor)
        finally:
            os.close(descriptor)

    def _unread(self, why: str) -> Check:
        self.reasons.append(f"{self._path}: {why}")
        told = f"{self._source.told_by}: " if self._source.told_by else ""
        return self._check("artifact-read", "unknown", f"{told}{why}")

    def _unreadable(self, why: str) -> Iterator[AnyRecord]:
        yield Artifact(
            path=self._path,
            state="unreadable",
            reason=why,
            process=self._installation.process,
            workload=self._installation.workload,
        )
        yield self._unread(why)

    def _check(self, aspect: str, outcome: Outcome, detail: str, pointer: str | None = None) -> Check:
        return Check(
            aspect=aspect,
            subject=self._path,
            outcome=outcome,
            detail=detail,
            path=self._path,
            pointer=pointer,
            process=self._installation.process,
            workload=self._installation.workload,
            seen="artifact",
        )

    def _of_scan(self, read: Scan, descriptor: int) -> Iterator[AnyRecord]:
        if read.state == "unreadable":
            yield from self._unreadable(read.reason)
            return
        yield Artifact(
            path=self._path, sha256=read.sha256, size=read.size, name=read.name, version=read.version,
            protocol=read.protocol, state=read.state, reason=read.reason, line=read.line, column=read.column,
            process=self._installation.process, workload=self._installation.workload,
        )  # fmt: skip
        for one in read.found:
            yield self._reference(self._path, one)
        flawed = {flaw.aspect for flaw in read.flaws}
        for flaw in read.flaws:
            yield self._check(*flaw[:3], flaw.pointer)
        whole = read.state == "intact" and not read.incomplete
        if not whole:
            self.reasons.append(f"{self._path}: {read.incomplete or f'malformed, {read.reason}'}")
        for aspect in _ASPECTS:
            if aspect not in flawed:
                doubt = read.incomplete or read.reason
                yield self._check(
                    aspect, "passed" if whole else "unknown", "" if whole else f"not all was read: {doubt}"
                )
        if read.runtime_module:
            yield from self._module(read.runtime_module, descriptor)

    def _reference(self, path: str, one: Found, line: int | None = None) -> Reference:
        owner = self._installation
        named = one._replace(pointer="") if line else one
        return Reference(
            path=path, line=line, process=owner.process, workload=owner.workload, seen="artifact", **named._asdict()
        )

    def _module(self, written: str, descriptor: int) -> Iterator[AnyRecord]:
        """Read the module beside the artifact and compare it with its name."""
        name = module.read_name(written)
        if name.file is None or self._source.path is None:
            yield self._judged(name.flaw)
            return
        path = os.path.join(os.path.dirname(self._source.path), name.file)
        try:
            data = procfs.read_in_root(self._installation.thread, path, module.LIMIT)
        except FileNotFoundError:
            yield self._judged(Flaw(module.ASPECT, "failed", f"{printable(name.file)} is not there", "$.runtimeModule"))
            return
        except OSError as error:
            why = error.strerror or "it cannot be read"
            self.reasons.append(f"{printable(path)}: {why}")
            yield self._judged(Flaw(module.ASPECT, "unknown", f"{printable(name.file)}: {why}", "$.runtimeModule"))
            return
        yield self._judged(module.verify(name, hashlib.sha256(data).hexdigest()))
        for one, line in module.destinations(data.decode(errors="replace"), _again(descriptor)):
            yield self._reference(printable(path)[:_LENGTH], one, line)

    def _judged(self, flaw: Flaw | None) -> Check:
        assert flaw
        return self._check(flaw.aspect, flaw.outcome, flaw.detail, flaw.pointer)


def _again(descriptor: int) -> bytes:
    """Read an artifact once more, as far as a scan would; one that fails now has been judged already."""
    try:
        return os.pread(descriptor, LIMIT, 0)
    except OSError:
        return b""
