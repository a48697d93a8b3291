"""Which findings stand: first and last seen, resolved, waived, each told from others by its rule and fingerprint.

A finding is resolved only by a run that would have seen it: its rule was decided, and whoever saw it last looked
again, at no less than then, and saw everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import convert
from msgspec.structs import replace

from airgap_check.evidence.fact import Instant  # noqa: TC001  (msgspec reads the annotations)
from airgap_check.finding import Known, Severity, at_least, in_a_line
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from airgap_check.evidence import Coverage
    from airgap_check.finding import Finding, Report, RuleResult

MOST = 100_000  # findings that are remembered; with more than that, what each of them is matters to nobody
_LENGTH = 400  # characters of a subject or message
# Who states a kind of record that does not name its collector.
_STATED_BY = {
    "runtime": "environment", "listener": "listeners", "resolver": "resolution", "answer": "resolution",
    "counter": "counters", "interruption": "continuity", "use": "attempts",
}  # fmt: skip


class Turn(NamedTuple):
    """What a run changed: what appeared, what is resolved, how many stand, with those for which there was no room."""

    appeared: list[Known]
    resolved: list[Known]
    standing: int


class _Line(NamedTuple):
    """What is remembered of a finding, as far as it decides."""

    rule: str
    fingerprint: str
    severity: Severity
    subject: str
    message: str
    sight: str
    scope: str
    resolved: Instant | None
    waived: int

    def known(self) -> Known:
        """Return it as others speak of it."""
        return Known(
            rule=self.rule,
            severity=self.severity,
            subject=self.subject,
            message=self.message,
            fingerprint=self.fingerprint,
        )


def scope_of(report: Report) -> str:
    """Return what the run of a report could see."""
    return extent(report.subject.scope, report.relaxed_by)


def extent(scope: str, relaxed: Iterable[str]) -> str:
    """Return what a run could see: this host or a container's share of it, or only a sub-tree of its control groups."""
    return printable(" ".join([scope, *(word for word in relaxed if word.startswith("cgroup "))]))


def fold(connection: Connection, report: Report) -> Turn:
    """Fold a report's findings into what is known. Part of a transaction; raises sqlite3.Error, ValueError."""
    lines = connection.execute(
        "SELECT rule, fingerprint, severity, subject, message, sight, scope, resolved, waived FROM finding"
    ).fetchall()
    known = {(line.rule, line.fingerprint): line for line in convert(lines, list[_Line])}
    now, scope = report.finished.isoformat(), scope_of(report)
    met = _met(report)
    resolved = _resolved(connection, report, {key: line for key, line in known.items() if key not in met}, now)
    (taken,) = connection.execute("SELECT count(*) FROM finding WHERE resolved IS NULL").fetchone()
    appeared, room, untold = [], MOST - taken, 0
    rows = []
    for key, (result, finding) in met.items():
        before = known.get(key)
        if before is None and room <= 0:
            untold += 1
            continue
        room -= before is None
        one = _known(result, finding)
        waived = finding.waived_by is not None
        if not waived and (before is None or before.resolved or before.waived or _is_another(finding, before, one)):
            appeared.append(one)
        rows.append((
            *key, one.severity, one.subject, one.message, sight(report.coverage, seen_by(finding)),
            before.scope if before else scope, now, now, None, int(waived), 1, 0,
        ))  # fmt: skip
    connection.executemany(
        "INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " severity = excluded.severity, subject = excluded.subject, message = excluded.message, sight = excluded.sight,"
        " last = excluded.last, waived = excluded.waived, times = times + 1,"
        " reopened = reopened + (resolved IS NOT NULL), resolved = NULL",
        rows,
    )
    (standing,) = connection.execute("SELECT count(*) FROM finding WHERE resolved IS NULL AND waived = 0").fetchone()
    return Turn(appeared, resolved, standing + untold)


def _is_another(finding: Finding, before: _Line, now: Known) -> bool:
    """Tell of what is known whether it is news all the same: it is graver than it was, or has happened once more."""
    graver = not at_least(before.severity, now.severity)
    return graver or (finding.record.get("kind") == "interruption" and now.message != before.message)


def _met(report: Report) -> dict[tuple[str, str], tuple[RuleResult, Finding]]:
    """Return each finding once; what is waived in one place and not in another is not waived."""
    met: dict[tuple[str, str], tuple[RuleResult, Finding]] = {}
    for result in report.results:
        for finding in result.findings:
            key = result.rule, finding.fingerprint
            if key not in met or finding.waived_by is None:
                met[key] = result, finding
    return met


def _known(result: RuleResult, finding: Finding) -> Known:
    subject, message = (printable(text[:_LENGTH]) for text in (finding.subject, finding.message))
    return replace(in_a_line(result, finding), subject=subject, message=message)


def _resolved(connection: Connection, report: Report, absent: dict[tuple[str, str], _Line], now: str) -> list[Known]:
    """Close what was not met again though it would have been."""
    decided = {result.rule for result in report.results if is_decided(result)}
    scope, complete = scope_of(report), complete_sights(report.coverage)
    closed = []
    for key, line in absent.items():
        looked = line.sight in complete and is_as_wide(scope, line.scope)
        if line.resolved is None and key[0] in decided and looked:
            closed.append((key, line))
    connection.executemany(
        "UPDATE finding SET resolved = ? WHERE rule = ? AND fingerprint = ?", [(now, *key) for key, _ in closed]
    )
    return [line.known() for _, line in closed if not line.waived]


def is_decided(result: RuleResult) -> bool:
    """Tell whether a rule was decided of everything it saw; one that fails may have left doubts beside (`result`)."""
    return result.outcome == "pass" or (result.outcome == "fail" and not result.reason.startswith("could not decide"))


def complete_sights(coverage: Sequence[Coverage]) -> frozenset[str]:
    """Name who saw everything; what nobody has to see, as the policy's own, is among it."""
    return frozenset({"", *(sight(coverage, item.collector) for item in coverage if item.status == "complete")})


def sight(coverage: Sequence[Coverage], collector: str) -> str:
    """Name who looked, and at which files where somebody chose them."""
    chosen = (item.scope for item in coverage if item.collector == collector == "deployment")
    return printable(" ".join([collector, *chosen]))


def seen_by(finding: Finding) -> str:
    """Name the collector that saw what a finding is about, or nothing where it is the policy's own."""
    seen = finding.record.get("seen")
    return seen if isinstance(seen, str) else _STATED_BY.get(str(finding.record.get("kind")), "")


def is_as_wide(scope: str, earlier: str) -> bool:
    """Tell whether a run of this scope (`scope_of`) would see all that one of an earlier scope saw."""
    return earlier == scope or earlier.startswith(f"{scope} ")
