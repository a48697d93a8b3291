"""OSCAL observations: one a finding, one a rule that passed or is undecided. What was seen, of whom, by which means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.redact import printable
from airgap_check.reporters.json_text import identity
from airgap_check.reporters.oscal_object import heading, moment, prop, prose
from airgap_check.reporters.place import parties_of, spot_of
from airgap_check.reporters.undecided import open_question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report, RuleResult

_ACTIVE = frozenset({"probe"})  # records of attempts of ours; everything else is looked at and left alone


class Observations:
    """The observations of one report, and their ids."""

    def __init__(self, report: Report, run: str) -> None:
        """Take the report and the id of its run."""
        self._report, self._run = report, run
        self._host = identity(run, "host")

    def of_finding(self, result: RuleResult, finding: Finding) -> str:
        """Return the id of a finding's observation; one that is accepted and one that is not are two."""
        return identity(self._run, result.rule, finding.fingerprint, finding.waived_by)

    def of_rule(self, result: RuleResult) -> str:
        """Return the id of the observation that a rule passed, or that it is undecided."""
        return identity(self._run, "rule", result.rule)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every observation."""
        for result in self._report.results:
            for finding in result.findings:
                yield self._finding(result, finding)
            if (doubt := open_question(result)) or result.outcome == "pass":
                yield self._rule(result, doubt)
        for item in self._report.coverage:
            yield {
                "uuid": identity(self._run, "coverage", item.collector),
                "title": f"coverage of {item.collector}",
                "description": prose(f"{item.status}: {item.reason or item.scope or 'everything was seen'}"),
                "props": [prop("coverage", item.status), prop("lost", item.lost)],
                "methods": ["EXAMINE"],
                "subjects": [{"subject-uuid": collector_id(self._run, item.collector), "type": "component"}],
                "collected": moment(self._report.finished),
            }

    def _finding(self, result: RuleResult, finding: Finding) -> dict[str, Any]:
        because = "; ".join(f"{reason.field} = {reason.value}" for reason in finding.because)
        evidence: dict[str, Any] = {"description": prose(because)}
        if spot := spot_of(result.rule, finding.record, self._report.policy.path):
            place = f"{spot.path}:{spot.line}" if spot.line else spot.path
            evidence["props"] = [prop("place", place)]
        about = ", ".join(f"{party.kind} {party.name}" for party in parties_of(finding.record))
        return {
            "uuid": self.of_finding(result, finding),
            "description": prose(finding.message),
            "props": [
                prop("fingerprint", finding.fingerprint),
                prop("rule", result.rule),
                prop("count", finding.count),
                *([prop("accepted-by", finding.waived_by)] if finding.waived_by else []),
            ],
            "methods": ["TEST" if finding.record.get("kind") in _ACTIVE else "EXAMINE"],
            "types": ["finding"],
            "subjects": [{"subject-uuid": self._host, "type": "component", "title": heading(about or finding.subject)}],
            "relevant-evidence": [evidence],
            "collected": _collected(finding) or moment(self._report.started),
        }

    def _rule(self, result: RuleResult, doubt: str | None) -> dict[str, Any]:
        said = result.reason or "nothing was found, and everything needed was seen"
        return {
            "uuid": self.of_rule(result),
            "title": printable(result.title).strip(),
            "description": prose(f"{'undecided' if doubt else 'passed'}: {doubt or said}"),
            "props": [prop("rule", result.rule), prop("outcome", "unknown" if doubt else "pass")],
            "methods": ["EXAMINE"],
            "types": ["control-objective"],
            "subjects": [{"subject-uuid": self._host, "type": "component"}],
            "collected": moment(self._report.finished),
        }


def collector_id(run: str, collector: str) -> str:
    """Return the id of a collector as a component."""
    return identity(run, "collector", collector)


def _collected(finding: Finding) -> str | None:
    """Return when it was first seen, where an observer said so."""
    first = finding.record.get("first")
    return printable(first) if isinstance(first, str) and first.endswith("Z") else None
