"""What a finding or an undecided rule did to the verdict, read from the report: no format may judge anew.

The severity that fails a run is the caller's choice. The report does not repeat it as a field, but its reasons name
every rule that failed the run, and every one that left it open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report, RuleResult

State = Literal["failing", "reported", "waived", "baselined"]
STATES: tuple[State, ...] = ("failing", "reported", "waived", "baselined")
_UNDECIDED = "undecided: "  # as engine._doubts


class Consequence:
    """What the parts of one report did to its verdict."""

    def __init__(self, report: Report) -> None:
        """Read the reasons."""
        self._failing = frozenset(
            result.rule
            for result in report.results
            if any(reason.startswith(f"{result.rule} ({result.severity}): ") for reason in report.reasons)
        )
        self._blocking = frozenset(_blocking(report))

    def fails(self, result: RuleResult) -> bool:
        """Tell whether the rule's findings make the host not compliant."""
        return result.rule in self._failing

    def blocks(self, result: RuleResult) -> bool:
        """Tell whether the rule, undecided, forbids a clean bill of health."""
        return result.rule in self._blocking

    def of(self, result: RuleResult, finding: Finding) -> State:
        """Say what one finding does: it fails the run, is only told, or is accepted by somebody."""
        if finding.waived_by is not None:
            return "baselined" if finding.is_baselined else "waived"
        return "failing" if result.rule in self._failing else "reported"

    def findings(self, result: RuleResult, *states: State) -> Iterator[Finding]:
        """Iterate over the findings of a rule that are in one of some states."""
        return (finding for finding in result.findings if self.of(result, finding) in states)


def _blocking(report: Report) -> Iterator[str]:
    """Yield the rules that a reason of the form ``undecided: RULE, RULE: WHY`` names."""
    for reason in report.reasons:
        if not reason.startswith(_UNDECIDED):
            continue
        for result in report.results:
            why = f": {result.reason}"
            if result.outcome == "unknown" and reason.endswith(why):
                names = reason[len(_UNDECIDED) : len(reason) - len(why)]
                if result.rule in names.split(", "):
                    yield result.rule
