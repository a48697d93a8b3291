"""Writes an archive: the members one after the other, then what says of them which they are, then who says so."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airgap_check import output, recording
from airgap_check.archive import form, judgement, manifest, statement, tarred, zipped
from airgap_check.archive.form import BadArchiveError, Member
from airgap_check.archive.manifest import Content, Link, Signer
from airgap_check.errors import UsageError
from airgap_check.evidence.fact import Fact
from airgap_check.evidence.inspection import Inspection, Tool
from airgap_check.release import seal
from airgap_check.reporters import json_report

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from datetime import datetime

    from airgap_check.archive.judgement import Grounds
    from airgap_check.finding import Report
    from airgap_check.release.seal import PrivateKey


class Tools(Fact, frozen=True, kw_only=True):
    """The member ``tool.json``: who collected, who judged (another one where evidence was judged again), on what."""

    collected: Tool
    judged: Tool
    python: str
    kernel: str


class Case(NamedTuple):
    """What is archived; ``tool`` is the one that judged."""

    inspection: Inspection
    report: Report
    grounds: Grounds
    tool: Tool


class Tail(NamedTuple):
    """The bytes that follow the body: manifest, statement, directory; ``digest`` is that of the manifest."""

    content: bytes
    digest: str


def write(path: str, case: Case, link: Link, key: PrivateKey | None) -> str:
    """Write an archive of the form that its name says, and return the SHA-256 of its manifest. Raises `UsageError`."""
    return write_placed(path, case, key, lambda end: end(link))


def write_placed(path: str, case: Case, key: PrivateKey | None, place: Callable[[Callable[[Link], Tail]], Tail]) -> str:
    """Write an archive as `write` does; its place in a chain is asked for once its body is written."""
    draft = _Draft(path, case, key)
    digest = ""

    def pieces() -> Iterator[bytes]:
        nonlocal digest
        body = yield from draft.body()
        tail = place(lambda link: draft.tail(body, link))
        digest = tail.digest
        yield tail.content

    try:
        output.write(path, pieces())
    except BadArchiveError as error:
        raise UsageError(f"{path}: {error}") from error
    return digest


class _Draft:
    """One archive on its way."""

    def __init__(self, path: str, case: Case, key: PrivateKey | None) -> None:
        self._case, self._key = case, key
        self._writer = _writer(path, case.report.finished)

    def body(self) -> Generator[bytes, None, Content]:
        """Yield the bytes of the members; return their sum. Raises `BadArchiveError` for what is too large."""
        size, whole = 0, sha256()
        for piece in self._writer.body(_members(self._case)):
            size += len(piece)
            whole.update(piece)
            yield piece
        form.check_together(self._writer.entries)
        return Content(size=size, sha256=whole.hexdigest())

    def tail(self, body: Content, link: Link) -> Tail:
        """Return what follows the body. Raises `BadArchiveError`."""
        report, grounds = self._case.report, self._case.grounds
        made = manifest.of(
            report,
            manifest.outcomes(report, grounds.terms.fail_on),
            tool=self._case.tool,
            body=body,
            entries=self._writer.entries,
            link=link,
            signer=_signer(self._key) if self._key else None,
        )
        content = made.encoded()
        payload = statement.of(made, content)
        if self._key:
            told = (form.ENVELOPE, statement.sign(self._key, payload))
        else:
            told = (form.STATEMENT, statement.encoded(payload))
        return Tail(self._writer.tail([(form.MANIFEST, content), told]), manifest.digest(content))


def _writer(path: str, finished: datetime) -> zipped.Writer | tarred.Writer:
    if form.of(path) == "tar.zst":
        form.require_zstandard(path)
        return tarred.Writer(int(finished.timestamp()))
    return zipped.Writer(zipped.Stamp.of(finished), os.path.dirname(path) or ".")


def _signer(key: PrivateKey) -> Signer:
    import base64

    public = key.public_key()
    return Signer(fingerprint=seal.fingerprint(public), public_key=base64.b64encode(public.public_bytes_raw()).decode())


def _members(case: Case) -> list[Member]:
    """List the members in the order of their names. Raises `BadArchiveError` for rule files of the same name."""
    inspection, report, grounds = case.inspection, case.report, case.grounds
    tools = Tools(
        collected=report.tool,
        judged=case.tool,
        python=".".join(map(str, sys.version_info[:3])),
        kernel=inspection.subject.kernel,
    )
    members = [
        Member(form.EVIDENCE, lambda: recording.write(inspection)),
        Member(form.REPORT, lambda: (json_report.render(report).encode(),)),
        _small(form.POLICY, grounds.policy.text),
        _small(form.JUDGEMENT, _json(judgement.describe(inspection, grounds))),
        _small(form.COVERAGE, _json(report.coverage)),
        _small(form.SELF_TEST, _json(report.self_test)),
        _small(form.TOOL, _json(tools)),
        *(_small(judgement.member_of(path), content) for path, content in grounds.rules.files),
    ]
    members.sort(key=lambda member: member.name)
    seen: set[str] = set()
    before = ""
    for member in members:
        form.check_order(member.name, before, seen)
        before = member.name
    return members


def _small(name: str, content: bytes) -> Member:
    def pieces() -> Iterable[bytes]:
        return (content,)

    return Member(name, pieces)


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
