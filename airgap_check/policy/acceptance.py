"""Why a finding does not fail a run though it is one: a waiver of the policy, or an earlier report that has it already.

Critical findings are waived one by one, with a reason, an owner and a date, or not at all: no baseline accepts them.
Nor does it accept what only happens again: that nobody looked at this host yesterday excuses nothing of today.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from airgap_check.evidence.fact import Fact
from airgap_check.finding import BASELINE, Known, ReportedBaseline, RuleResult, Severity, at_least, in_a_line
from airgap_check.history import standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from airgap_check.evidence import Coverage
    from airgap_check.evidence.inspection import Inspection, Subject
    from airgap_check.finding import Report
    from airgap_check.policy import Policy
    from airgap_check.rule import Rule
    from airgap_check.view import View

_EVENTS = frozenset({"interruption", "counter"})  # kinds of evidence of which each is another one, however alike


class Baseline(Fact, frozen=True, kw_only=True):
    """An earlier report, as far as it matters here: where it is from, and what was found then and not waived.

    ``findings`` stand beside who saw them (`history.standing.sight`); ``scope`` is what the run could see
    (`history.standing.extent`), None where nobody wrote it down.
    """

    path: str
    sha256: str
    hostname: str
    machine_id_hash: str | None
    finished: datetime
    findings: tuple[tuple[Known, str], ...]
    scope: str | None = None

    @property
    def text(self) -> str:
        """Return what stands in ``waived_by`` of a finding that it accepts."""
        return f"{BASELINE}{self.finished:%Y-%m-%dT%H:%M:%SZ} ({self.path})"


def known(report: Report) -> Iterator[tuple[Known, str]]:
    """Yield what a report found and no waiver accepted; what only an earlier baseline accepted is known, too."""
    for result in report.results:
        for finding in result.findings:
            if finding.waived_by is None or finding.is_baselined:
                yield in_a_line(result, finding), standing.sight(report.coverage, standing.seen_by(finding))


class Acceptance:
    """What is accepted in one run: by the policy's waivers that still hold on this day, and by the baseline."""

    def __init__(self, policy: Policy, baseline: Baseline | None, today: date) -> None:
        """Take the parts."""
        self._waivers = [waiver for waiver in policy.waivers if today <= waiver.file.expires]
        self._baseline = baseline
        self._known: dict[tuple[str, str], Severity] = {
            (one.rule, one.fingerprint): one.severity for one, _ in (baseline.findings if baseline else ())
        }

    def of(self, rule: Rule, fingerprint: str, view: View) -> str | None:
        """Say who accepts a finding, and why; None where nobody does."""
        for waiver in self._waivers:
            if waiver.file.rule == rule.id and waiver.match.decide(view):
                return waiver.text
        return self._baseline.text if self._baseline and self._is_known(rule, fingerprint) else None

    def _is_known(self, rule: Rule, fingerprint: str) -> bool:
        """Tell whether the baseline has it, no less grave than it is now, and never as critical."""
        then = self._known.get((rule.id, fingerprint))
        if then is None or rule.kind in _EVENTS or "critical" in {then, rule.severity}:
            return False
        return at_least(then, rule.severity)

    def reported(
        self, results: Sequence[RuleResult], coverage: Sequence[Coverage], inspection: Inspection
    ) -> ReportedBaseline | None:
        """Say what became of the findings of the baseline; who looked at less than then has seen nothing vanish."""
        if self._baseline is None:
            return None
        met = {(result.rule, finding.fingerprint) for result in results for finding in result.findings}
        decided = {result.rule for result in results if standing.is_decided(result)}
        then, now = self._baseline.scope, standing.extent(inspection.subject.scope, inspection.relaxed)
        complete = standing.complete_sights(coverage) if then is None or standing.is_as_wide(now, then) else ()
        return ReportedBaseline(
            path=self._baseline.path,
            sha256=self._baseline.sha256,
            hostname=self._baseline.hostname,
            finished=self._baseline.finished,
            known=sum(1 for result in results for finding in result.findings if finding.is_baselined),
            vanished=tuple(
                one
                for one, sight in self._baseline.findings
                if one.rule in decided and sight in complete and (one.rule, one.fingerprint) not in met
            ),
        )

    def foreign(self, subject: Subject) -> bool:
        """Tell whether the baseline is of another host than this one."""
        if self._baseline is None:
            return False
        mine, other = subject.machine_id_hash, self._baseline.machine_id_hash
        return mine != other if mine and other else subject.hostname != self._baseline.hostname
