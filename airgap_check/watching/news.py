"""Says what is new while somebody watches: each finding in one line, and repeats and floods in fewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check import engine
from airgap_check.evidence import Connection, Evidence, Question, Request
from airgap_check.finding import SEVERITIES
from airgap_check.recording import collector_of
from airgap_check.rule import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Finding, RuleResult, Severity
    from airgap_check.policy import Policy

_KINDS = frozenset({"connection", "question", "request", "mention", "encrypted-dns"})
_REMEMBERED = 50_000  # fingerprints; beyond, the oldest may be told again
_AGAIN = 3600.0  # seconds after which a finding that was met again is told again
_MINUTE, _LINES = 60.0, 30  # how many lines a minute, of findings
_AT_ONCE = 1000  # records that are judged in one look, so that the next one comes soon
_WAITING = 50_000  # records that may wait for that


class Notice(NamedTuple):
    """A line for whoever watches; ``severity`` is None where nothing is wrong, ``about`` where it is no finding."""

    severity: Severity | None
    text: str
    about: Finding | None = None


class _Told:
    """When a finding was told, and how often it has been met since."""

    __slots__ = ("at", "since")

    def __init__(self, at: float) -> None:
        self.at, self.since = at, 0


class _Pace:
    """At most so many lines a minute; how many more there were, or what was not judged, is said when it is over."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._said = self._withheld = self.unjudged = 0

    def elapse(self, now: float) -> Iterator[Notice]:
        """Begin another minute when one is over."""
        if now - self._began < _MINUTE:
            return
        if self._withheld:
            many = f"{self._withheld} more findings were met than there are lines for"
            yield Notice(None, f"{many}; the report has them all")
        if self.unjudged:
            yield Notice(
                None, f"{self.unjudged} sightings came too fast to be judged at once; the report judges them all"
            )
        self._said = self._withheld = self.unjudged = 0
        self._began = now

    def offer(self, notice: Notice) -> Iterator[Notice]:
        """Yield the line, if there is room for it."""
        if self._said < _LINES:
            self._said += 1
            yield notice
        else:
            self._withheld += 1


class News:
    """Judges records as they come, by the same engine and rules as the report at the end.

    ``elder`` is the news of the round before: what it has told is told already.
    """

    def __init__(self, rules: RuleSet, policy: Policy, terms: engine.Terms, elder: News | None = None) -> None:
        """Keep the rules that judge what observers see."""
        self._rules = RuleSet((rule for rule in rules.rules if rule.kind in _KINDS), rules.sha256)
        self._policy, self._terms = policy, terms
        self._told: dict[tuple[str, str], _Told] = elder._told if elder else {}  # noqa: SLF001  (one of us)
        self._waiting: list[AnyRecord] = []
        self._pace: _Pace = elder._pace if elder else _Pace()  # noqa: SLF001  (one of us)

    def of(self, context: Inspection, records: Sequence[AnyRecord], now: float) -> Iterator[Notice]:
        """Yield a line for each finding that nobody was told of lately, the worst first; what is too much waits.

        ``context`` says what names lead to; ``now`` is in seconds, by a clock that is never set back.
        """
        yield from self._pace.elapse(now)
        self._waiting += records
        self._pace.unjudged += len(self._waiting[_WAITING:])
        records, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:_WAITING]
        for result, finding in self._findings(context, records):
            again = self._again(result.rule, finding, now)
            if again is None:
                continue
            repeats = f" (again, x{again})" if again else ""
            line = f"{result.severity}  {result.rule}  {finding.message}{repeats}"
            yield from self._pace.offer(Notice(result.severity, line, finding))

    def _findings(self, context: Inspection, records: Sequence[AnyRecord]) -> list[tuple[RuleResult, Finding]]:
        observed = [record for record in records if isinstance(record, Connection | Question | Request)]
        if not observed:
            return []
        kinds = dict.fromkeys(map(collector_of, observed))
        evidence = [
            Evidence(
                kind=kind, status="complete", records=tuple(item for item in records if collector_of(item) == kind)
            )
            for kind in kinds
        ]
        inspection = replace(context, evidence=(*context.evidence, *evidence))
        results = engine.judge(inspection, self._rules, self._policy, self._terms).results
        worst = sorted(results, key=lambda result: SEVERITIES.index(result.severity), reverse=True)
        return [(result, finding) for result in worst for finding in result.findings if not finding.waived_by]

    def _again(self, rule: str, finding: Finding, now: float) -> int | None:
        """Return how often a finding was met since it was told, 0 for a new one; None where it is not due."""
        key = rule, finding.fingerprint
        told = self._told.get(key)
        if told is None:
            self._told[key] = _Told(now)
            if len(self._told) > _REMEMBERED:
                del self._told[next(iter(self._told))]
            return 0
        told.since += finding.count
        if now - told.at < _AGAIN:
            return None
        again, told.at, told.since = told.since, now, 0
        return again
