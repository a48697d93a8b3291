"""What a run changed: findings that are new, findings that are gone, another verdict, less sight than before."""

from __future__ import annotations

from datetime import datetime

from airgap_check.evidence.fact import Fact
from airgap_check.finding import Known, Report, Verdict, in_a_line


class Change(Fact, frozen=True, kw_only=True):
    """How a run differs from the one before; ``before`` and ``previous`` are None for the first one that is remembered.

    ``appeared`` and ``resolved`` are findings without waived ones. A finding whose rule could not be decided this time
    is not resolved. ``blinded`` names the collectors that saw less than last time, with the reason.
    """

    hostname: str
    started: datetime
    finished: datetime
    previous: datetime | None
    before: Verdict | None
    verdict: Verdict
    reasons: tuple[str, ...]
    appeared: tuple[Known, ...] = ()
    resolved: tuple[Known, ...] = ()
    blinded: tuple[str, ...] = ()

    @property
    def worth_telling(self) -> bool:
        """Tell whether anybody should hear of it: the first run that is not compliant is news, too."""
        turned = self.verdict != (self.before or "compliant")
        return turned or bool(self.appeared or self.resolved or self.blinded)


def unremembered(report: Report, trouble: str) -> Change:
    """Return what a run is to whoever cannot remember any, for the reason ``trouble``: everything is new."""
    findings = ((result, finding) for result in report.results for finding in result.findings if not finding.waived_by)
    return Change(
        hostname=report.subject.hostname,
        started=report.started,
        finished=report.finished,
        previous=None,
        before=None,
        verdict=report.verdict,
        reasons=report.reasons,
        appeared=tuple(in_a_line(result, finding) for result, finding in findings),
        blinded=(f"history: this run is not remembered: {trouble}",),
    )
