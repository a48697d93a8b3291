"""OSCAL findings and risks: a finding a rule that failed or is undecided, a risk a rule and whoever accepts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.reporters.json_text import identity
from airgap_check.reporters.oscal_object import line, prop, prose, related, token
from airgap_check.reporters.undecided import open_question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report, RuleResult
    from airgap_check.reporters.oscal_observation import Observations


def findings(report: Report, observations: Observations) -> Iterator[dict[str, Any]]:
    """Yield the findings. The target is the rule's own objective: no control is called satisfied, or judged whole."""
    for result in report.results:
        doubt = open_question(result)
        if not result.findings and not doubt:
            continue
        seen = [observations.of_finding(result, finding) for finding in result.findings]
        if doubt:
            seen.append(observations.of_rule(result))
        risks_ = [_risk_id(observations, result, by) for by in _accepted(result)]
        failed = any(not finding.waived_by for finding in result.findings)
        made = {
            "uuid": identity(observations.of_rule(result), "finding"),
            "title": line(result.title),
            "description": prose(result.rationale or result.title),
            "props": [prop("severity", result.severity), prop("outcome", result.outcome)],
            "target": {
                "type": "objective-id",
                "target-id": token(result.rule),
                "status": _status(result, failed=failed, doubt=doubt),
            },
            "related-observations": related("observation", seen),
        }
        if risks_:
            made["related-risks"] = related("risk", risks_)
        yield made


def risks(report: Report, observations: Observations) -> Iterator[dict[str, Any]]:
    """Yield a risk for what is open of a rule, and one for each who accepts some of it."""
    for result in report.results:
        for by, accepted in _accepted(result).items():
            seen = [observations.of_finding(result, finding) for finding in accepted]
            risk = _risk_id(observations, result, by)
            made = {
                "uuid": risk,
                "title": line(result.title),
                "description": prose(result.rationale or result.title),
                "statement": prose(f"{len(accepted)} found; accepted by {by}" if by else f"{len(accepted)} found"),
                "props": [prop("severity", result.severity)],
                "status": "deviation-approved" if by else "open",
                "remediations": [
                    {
                        "uuid": identity(risk, "remediation"),
                        "lifecycle": "recommendation",
                        "title": "What to do",
                        "description": prose(result.remediation),
                    }
                ],
                "related-observations": related("observation", seen),
            }
            yield made


def _accepted(result: RuleResult) -> dict[str | None, list[Finding]]:
    """Sort the findings of a rule by who accepts them."""
    sorted_: dict[str | None, list[Finding]] = {}
    for finding in result.findings:
        sorted_.setdefault(finding.waived_by, []).append(finding)
    return sorted_


def _status(result: RuleResult, *, failed: bool, doubt: str | None) -> dict[str, str]:
    """Say *not-satisfied*, and why: it failed, it was accepted, or nobody could tell."""
    if failed:
        return {"state": "not-satisfied", "reason": "fail"}
    if doubt:
        return {"state": "not-satisfied", "reason": "other", "remarks": prose(f"Could not be decided: {doubt}")}
    return {"state": "not-satisfied", "reason": "other", "remarks": prose(f"Accepted: {result.reason}")}


def _risk_id(observations: Observations, result: RuleResult, by: str | None) -> str:
    return identity(observations.of_rule(result), "risk", by)
