"""Recorded evidence: JSON Lines that `replay` can judge again, under another policy or other rules.

A header first, one tagged record a line, then one coverage line a collector. The header names the collectors, so a
file that was cut short is refused: its coverage is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.evidence import (
    Answer,
    AnyRecord,
    Connection,
    Counter,
    Coverage,
    EntryUse,
    Evidence,
    Interruption,
    Listener,
    Question,
    Request,
    Runtime,
    Setting,
)
from airgap_check.evidence.asset import Artifact, Check, Image, Opening, Package, Probe, Reference
from airgap_check.evidence.fact import Fact, Instant
from airgap_check.evidence.inspection import Clock, Inspection, PolicyReference, Run, Source, Subject, Tool, Trial
from airgap_check.evidence.rehearsed import Encounter, Visit
from airgap_check.input import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA = "airgap-check/evidence/1"
LINE_LIMIT = 1 << 20  # bytes; the longest honest record is a few kilobytes


class Header(Fact, frozen=True, kw_only=True):
    """The first line."""

    schema: Literal["airgap-check/evidence/1"] = "airgap-check/evidence/1"
    tool: Tool
    subject: Subject
    started: Instant
    finished: Instant
    policy: PolicyReference
    filtered_by: str | None
    claim: Literal["snapshot", "observed"]
    run: Run
    clock: Clock
    collectors: tuple[str, ...]
    source: Source = "host"
    gaps: tuple[tuple[Instant, Instant], ...] = ()
    self_test: tuple[Trial, ...] = ()
    relaxed: tuple[str, ...] = ()


class CoverageLine(Coverage, frozen=True, kw_only=True, tag_field="kind", tag="coverage"):
    """The last lines: how well each collector saw."""


Line = AnyRecord | CoverageLine


# Who states a kind of record that does not say who saw it.
_STATED_BY: dict[type, str] = {
    Runtime: "environment", Counter: "counters", Interruption: "continuity", EntryUse: "attempts",
    Listener: "listeners", Encounter: "world", Visit: "drive",
}  # fmt: skip


def collector_of(record: AnyRecord) -> str:
    """Name the collector that states a kind of record."""
    if isinstance(record, Connection | Question | Request | Setting | Artifact | Reference | Check):
        return record.seen
    if isinstance(record, Package | Image | Probe | Opening):
        return record.seen
    if isinstance(record, Answer) and record.seen:
        return record.seen
    return _STATED_BY.get(type(record), "resolution")


def write(inspection: Inspection) -> Iterator[bytes]:
    """Yield the lines of an evidence file. What the tool found out about its own policy file is not evidence."""
    encode = msgspec.json.Encoder().encode
    recorded = [evidence for evidence in inspection.evidence if evidence.kind != "policy"]
    header = Header(
        tool=inspection.tool,
        subject=inspection.subject,
        started=inspection.started,
        finished=inspection.finished,
        policy=inspection.policy,
        filtered_by=inspection.filtered_by,
        claim="observed" if inspection.claim == "observed" else "snapshot",
        run=inspection.run,
        clock=inspection.clock,
        collectors=tuple(evidence.kind for evidence in recorded),
        source=inspection.source,
        gaps=inspection.gaps,
        self_test=inspection.self_test,
        relaxed=inspection.relaxed,
    )
    yield encode(header) + b"\n"
    for evidence in recorded:
        for record in evidence.records:
            yield encode(record) + b"\n"
    for evidence in recorded:
        line = CoverageLine(**msgspec.structs.asdict(evidence.coverage()))
        yield encode(line) + b"\n"


def read(path: str) -> Inspection:
    """Read an evidence file. Raises `UsageError` when it cannot be opened, `InvalidFileError` when it is not whole."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            return parse(path, iter(lambda: file.readline(LINE_LIMIT), b""))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def parse(path: str, lines: Iterable[bytes]) -> Inspection:
    """Read the lines of an evidence file; ``path`` is only for messages. Raises `InvalidFileError`."""
    header: Header | None = None
    records: dict[str, list[AnyRecord]] = {}
    coverage: dict[str, CoverageLine] = {}
    decode = msgspec.json.Decoder(Line).decode
    number = 0
    for number, line in enumerate(lines, start=1):
        try:
            if header is None:
                header = msgspec.json.decode(line, type=Header)
                continue
            item = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error).replace("`", "")
            raise InvalidFileError([f"{path}:{number}:1: not a line of {SCHEMA}: {reason}"]) from error
        if isinstance(item, CoverageLine):
            coverage[item.collector] = item
        elif coverage:
            raise InvalidFileError([f"{path}:{number}:1: a record after the coverage"])
        else:
            records.setdefault(collector_of(item), []).append(item)
    if header is None:
        raise InvalidFileError([f"{path}:1:1: empty: not a file of {SCHEMA}"])
    return _whole(path, number, header, records, coverage)


def _whole(
    path: str, number: int, header: Header, records: dict[str, list[AnyRecord]], coverage: dict[str, CoverageLine]
) -> Inspection:
    missing = [collector for collector in header.collectors if collector not in coverage]
    if missing:
        raise InvalidFileError([f"{path}:{number}:1: cut short: no coverage of {', '.join(missing)}"])
    strays = [collector for collector in records if collector not in coverage]
    if strays:
        raise InvalidFileError([f"{path}:{number}:1: records of {', '.join(strays)} without coverage"])
    evidence = tuple(
        Evidence(
            kind=item.collector,
            status=item.status,
            records=tuple(records.get(item.collector, ())),
            reason=item.reason,
            scope=item.scope,
            counts=item.counts,
            lost=item.lost,
            blind=item.blind,
        )
        for item in coverage.values()
    )
    return Inspection(
        tool=header.tool,
        subject=header.subject,
        run=header.run,
        clock=header.clock,
        started=header.started,
        finished=header.finished,
        policy=header.policy,
        filtered_by=header.filtered_by,
        claim="replayed",
        source=header.source,
        gaps=header.gaps,
        self_test=header.self_test,
        relaxed=header.relaxed,
        evidence=evidence,
    )
