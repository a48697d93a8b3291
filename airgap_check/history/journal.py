"""The runs: each has its line before it looks, so that one that is killed shows, and completes it when it reports."""

from __future__ import annotations

from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airgap_check.errors import UsageError
from airgap_check.evidence import BLINDNESS
from airgap_check.evidence.fact import Instant  # noqa: TC001  (msgspec reads the annotations)
from airgap_check.finding import SEVERITIES, Verdict
from airgap_check.history import retention, standing
from airgap_check.history.change import Change
from airgap_check.history.database import CorruptError
from airgap_check.history.precedent import Found, Moment, Precedent, look_back
from airgap_check.history.presence import Presence
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from airgap_check.finding import Report
    from airgap_check.history.standing import Turn
    from airgap_check.history.store import Store

_REASON = 200  # characters of why a collector saw less, or of a reason for the verdict
_REASONS = 20


class Entry(NamedTuple):
    """The line of a run that is at work. ``number`` is None where it could not be written, for the reason ``trouble``.

    ``presence`` says that the run is alive until it is closed.
    """

    number: int | None
    found: Found
    presence: Presence
    trouble: str = ""

    @property
    def precedent(self) -> Precedent:
        """Return what went before."""
        return self.found.precedent


class _Previous(NamedTuple):
    """The last run that this one can be compared with; ``coverage`` as `_coverage` wrote it."""

    heard: Instant
    verdict: Verdict
    coverage: str


def begin(store: Store, now: Moment) -> Entry:
    """Write the line of a run that is about to look. Raises `UsageError` where not even reading is possible."""
    with ExitStack() as stack:
        try:
            presence = stack.enter_context(Presence(store.folder))
            entry = _begin(store, now, presence)
        except OSError as error:
            raise UsageError(f"state folder {store.folder}: {error.strerror}") from error
        stack.pop_all()
    return entry


def _begin(store: Store, now: Moment, presence: Presence) -> Entry:
    for _ in range(2):  # the second time after a corrupt memory has been moved aside
        try:
            with store.reading() as connection:
                found = look_back(connection, now, presence)
            with store.writing() as connection:
                number = _next(connection, presence)
                connection.execute(
                    "INSERT INTO run (id, started, boot, uptime, gap) VALUES (?, ?, ?, ?, ?)",
                    (number, now.at.isoformat(), now.boot, now.uptime, _seconds(found.precedent.elapsed)),
                )
        except CorruptError:
            continue
        except UsageError as error:
            return Entry(None, found, presence, str(error))
        presence.hold(number)
        return Entry(number, found, presence)
    raise UsageError(f"state folder {store.folder}: cannot be read")


def _next(connection: Connection, presence: Presence) -> int:
    """Return a number that no run has had, nor one has that began when there was another memory."""
    (number,) = connection.execute(
        "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'run'"
    ).fetchone()
    while presence.is_alive(number):
        number += 1
    return int(number)


def _seconds(elapsed: float | None) -> int | None:
    return None if elapsed is None else round(elapsed)


def finish(
    store: Store,
    entry: Entry,
    report: Report,
    now: Moment,
    *,
    final: bool = True,
    announce: Callable[[Change], None] | None = None,
) -> Change:
    """Complete the line of a run with its report, in one step; it is the last one unless not ``final``.

    ``announce`` hears of the change before it is remembered: whoever is killed in between says it twice, never not.
    Raises `UsageError` where it cannot be written.
    """
    for retry in (True, False):
        try:
            with store.writing() as connection:
                change = _finish(connection, entry, report, now, final=final)
                if announce:
                    announce(change)
            break
        except CorruptError:
            if not retry:
                raise
    store.give_back()
    return change


def _finish(connection: Connection, entry: Entry, report: Report, now: Moment, *, final: bool) -> Change:
    lane = _lane(report)
    row = connection.execute(
        "SELECT run.heard, run.verdict, wording.body FROM run JOIN wording ON wording.id = run.coverage"
        " WHERE turn IS NOT NULL AND lane = ? ORDER BY turn DESC LIMIT 1",
        (lane,),
    ).fetchone()
    previous = msgspec.convert(row, _Previous) if row else None
    turn = standing.fold(connection, report)
    number, started = entry.number, entry.precedent.now.at.isoformat()
    if connection.execute("SELECT 1 FROM run WHERE id = ? AND started = ?", (number, started)).fetchone():
        connection.executemany("UPDATE run SET told = 1 WHERE id = ?", [(one,) for one in entry.found.killed])
        connection.execute("DELETE FROM mishap WHERE id <= ?", (entry.found.mishap,))
    else:  # the disk was full when it began, or the memory is another one by now
        number = connection.execute("INSERT INTO run (started, boot) VALUES (?, ?)", (started, now.boot)).lastrowid
    _complete(connection, number, report, now, turn=turn, lane=lane, final=final)
    retention.trim(connection, now.at)
    return Change(
        hostname=report.subject.hostname,
        started=report.started,
        finished=report.finished,
        previous=previous.heard if previous else None,
        before=previous.verdict if previous else None,
        verdict=report.verdict,
        reasons=report.reasons,
        appeared=tuple(turn.appeared),
        resolved=tuple(turn.resolved),
        blinded=tuple(_blinded(previous.coverage, report)) if previous else (),
    )


def _complete(
    connection: Connection, number: int | None, report: Report, now: Moment, *, turn: Turn, lane: str, final: bool
) -> None:
    counts: dict[str, int] = dict.fromkeys(SEVERITIES, 0)
    for result in report.results:
        counts[result.severity] += sum(1 for finding in result.findings if finding.waived_by is None)
    values = {
        "heard": now.at.isoformat(), "finished": now.at.isoformat() if final else None, "uptime": now.uptime,
        "lane": lane, "verdict": report.verdict, "code": report.exit_code, **counts,
        "appeared": len(turn.appeared), "resolved": len(turn.resolved), "standing": turn.standing,
        "terms": _wording(connection, _terms(report)), "coverage": _wording(connection, _coverage(report)),
        "reasons": _wording(connection, "\n".join(printable(reason[:_REASON]) for reason in report.reasons[:_REASONS])),
    }  # fmt: skip
    connection.execute(
        f"UPDATE run SET turn = (SELECT coalesce(max(turn), 0) + 1 FROM run), {', '.join(f'{name} = ?' for name in values)}"  # noqa: S608, E501  (names of ours)
        " WHERE id = ?",
        (*values.values(), number),
    )


def _lane(report: Report) -> str:
    """Name the runs that this one can be compared with: those that looked in the same way at as much."""
    probed = any(item.collector == "probes" for item in report.coverage)
    return f"{'preflight' if probed else report.claim} {standing.scope_of(report)}"


def _terms(report: Report) -> str:
    """Return what the verdict rests on: policy, rules, tool."""
    return f"policy {report.policy.sha256} rules {report.rules_sha256} tool {report.tool.version} {report.tool.sha256}"


def _coverage(report: Report) -> str:
    seen = {item.collector: (item.status, printable(item.reason[:_REASON])) for item in report.coverage}
    return msgspec.json.encode(seen, order="deterministic").decode()


def _wording(connection: Connection, body: str) -> int:
    digest = sha256(body.encode()).digest()[:16]
    row = connection.execute("SELECT id FROM wording WHERE digest = ?", (digest,)).fetchone()
    if row:
        return int(row[0])
    return connection.execute("INSERT INTO wording (digest, body) VALUES (?, ?)", (digest, body)).lastrowid or 0


def _blinded(before: str, report: Report) -> list[str]:
    """Name the collectors that saw less than the time before, with the reason. Raises ValueError."""
    earlier = msgspec.json.decode(before, type=dict[str, tuple[str, str]])
    now = {item.collector: item for item in report.coverage}
    words = []
    for collector, (status, _) in earlier.items():
        item = now.get(collector)
        if item is None:
            words.append(f"{collector}: was not looked at")
        elif BLINDNESS[item.status] > BLINDNESS.get(status, 2):
            words.append(f"{collector}: {item.status}: {item.reason[:_REASON]}")
    return words
