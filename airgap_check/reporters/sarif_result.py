"""One SARIF result: a finding, or many that are alike, one that vanished, or a rule that could not be decided."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airgap_check.finding import Finding
from airgap_check.redact import printable
from airgap_check.reporters.json_text import identity
from airgap_check.reporters.place import Spot, parties_of, spot_of, uri_of
from airgap_check.reporters.sarif_limits import MOST_LOCATIONS, MOST_RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airgap_check.finding import Known, Report, RuleResult
    from airgap_check.reporters.sarif_limits import Group

LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
FINGERPRINT = "airgapCheck/v1"
_PLACEHOLDER = re.compile(r"\{(\d+)\}")
_SHOWN = 5  # findings of a sum that its message quotes


def result_of(
    report: Report, group: Group, piece: Sequence[Finding | Known], indexes: Mapping[str, int]
) -> dict[str, Any]:
    """Describe one finding, or the sum of several of one group."""
    first = piece[0]
    severity = group.result.severity if group.result else _severity(first)
    made: dict[str, Any] = {
        "ruleId": group.rule,
        "level": LEVELS[severity],
        "kind": "fail",
        "message": {"text": text(first.message if len(piece) == 1 else _sum(group, piece))},
        "partialFingerprints": _fingerprints(_fingerprint(group, piece)),
        "suppressions": [],
    }
    if (index := indexes.get(group.rule, MOST_RULES)) < MOST_RULES:
        made["ruleIndex"] = index
    if isinstance(first, Finding):
        findings = [finding for finding in piece if isinstance(finding, Finding)]
        made["occurrenceCount"] = max(1, sum(finding.count for finding in findings))
        made["locations"] = [location(group.rule, one, report.policy.path) for one in findings[:MOST_LOCATIONS]]
        made["suppressions"] = _suppressions(first)
        made["properties"] = _properties(findings)
        if report.baseline and (state := _state(first, severity)):
            made["baselineState"] = state
    else:
        made["baselineState"] = "absent"
        made["locations"] = [
            {**_in_policy(report.policy.path), "logicalLocations": [{"name": printable(first.subject)}]}
        ]
    return made


def opened(report: Report, result: RuleResult, why: str, index: int) -> dict[str, Any]:
    """Describe a rule that nobody could decide: *open*, because what was not seen must not read as peace."""
    made = {
        "ruleId": result.rule,
        "kind": "open",
        "level": "none",
        "message": {"text": text(f"undecided: {result.title}: {why}")},
        "partialFingerprints": _fingerprints(identity("undecided", result.rule)),
        "locations": [{**_in_policy(report.policy.path), "logicalLocations": [{"name": result.rule, "kind": "rule"}]}],
        "suppressions": [],
    }
    return made | ({"ruleIndex": index} if index < MOST_RULES else {})


def text(foreign: str) -> str:
    """Return a plain message: nothing in it reads as a placeholder or a link (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    return _PLACEHOLDER.sub(r"{{\1}}", printable(foreign)).replace("](", "] (")


def location(rule: str, finding: Finding, policy: str | None) -> dict[str, Any]:
    """Say where a finding is: in a file where its record names one, else in the policy, and whom it is about."""
    spot = spot_of(rule, finding.record, policy)
    where: dict[str, Any] = {"physicalLocation": _physical(spot)} if spot else _in_policy(policy)
    parties = list(parties_of(finding.record))
    logical: list[dict[str, Any]] = [
        {"name": party.name, "kind": party.kind, "fullyQualifiedName": f"{party.kind}:{party.name}"}
        for party in parties
    ]
    where["logicalLocations"] = logical or [{"name": printable(finding.subject)}]
    return where


def _physical(spot: Spot) -> dict[str, Any]:
    region = {"region": {"startLine": spot.line}} if spot.line else {}
    return {"artifactLocation": {"uri": uri_of(spot.path)}, **region}


def _in_policy(path: str | None) -> dict[str, Any]:
    """Point to the policy, as the file in which what has none of its own is approved, or is not.

    GitHub refuses a whole log if one of its results is in no file.
    """
    return {"physicalLocation": _physical(Spot(printable(path), None))} if path else {}


def _suppressions(finding: Finding) -> list[dict[str, Any]]:
    if not finding.waived_by:
        return []
    return [{"kind": "external", "status": "accepted", "justification": printable(finding.waived_by)}]


def _state(finding: Finding, severity: str) -> str | None:
    """Compare with the baseline; None where it does not tell, as of what is waived or critical and never in it."""
    if finding.is_baselined:
        return "unchanged"
    return None if finding.waived_by or severity == "critical" else "new"


def _properties(findings: Sequence[Finding]) -> dict[str, Any]:
    if len(findings) > 1:
        return {"findings": len(findings), "fingerprints": [finding.fingerprint for finding in findings]}
    because = [f"{reason.field} = {printable(str(reason.value))}" for reason in findings[0].because]
    return {"subject": printable(findings[0].subject), "because": because}


def _sum(group: Group, piece: Sequence[Finding | Known]) -> str:
    title = group.result.title if group.result else group.rule
    more = f" and {len(piece) - _SHOWN:,} more" if len(piece) > _SHOWN else ""
    quoted = "; ".join(one.message for one in piece[:_SHOWN])
    return f"{len(piece):,} findings in one result: {title}: {quoted}{more}"


def _fingerprints(text: str) -> dict[str, str]:
    """Tell a result from others: by a name of ours, and by the only one that GitHub looks for."""
    return {FINGERPRINT: text, "primaryLocationLineHash": text}


def _fingerprint(group: Group, piece: Sequence[Finding | Known]) -> str:
    """Tell a result from others: a single finding by its own fingerprint, a sum by those that are in it."""
    if len(piece) == 1:
        return piece[0].fingerprint
    return identity("sum", group.rule, *(one.fingerprint for one in piece))


def _severity(one: Finding | Known) -> str:
    return "medium" if isinstance(one, Finding) else one.severity
