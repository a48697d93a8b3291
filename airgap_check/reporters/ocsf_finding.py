"""OCSF Compliance Findings (2003): of the run, each finding, each rule that passed or is undecided, each blind spot.

The status *Warning* is OCSF's own word for what "did not yield a result due to missing information".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.json_text import identity
from airgap_check.reporters.ocsf_event import INFORMATIONAL, SEVERITIES, actor, read_time
from airgap_check.reporters.place import parties_of, spot_of

if TYPE_CHECKING:
    from airgap_check.evidence import Coverage
    from airgap_check.finding import Finding, Known, Report, RuleResult
    from airgap_check.reporters.ocsf_event import Envelope

_PASS, _WARNING, _FAIL = (1, "Pass"), (2, "Warning"), (3, "Fail")
_NEW, _SUPPRESSED, _RESOLVED = (1, "New"), (3, "Suppressed"), (4, "Resolved")
_CREATE, _CLOSE = 1, 3
_VERDICTS = {"compliant": _PASS, "not_compliant": _FAIL, "inconclusive": _WARNING}
_SEEN = frozenset({"connection", "question", "answer"})  # kinds whose own event names the process
_STANDARDS = {"nist-800-53": "NIST SP 800-53", "pci-dss-4": "PCI DSS 4", "iec-62443-3-3": "IEC 62443-3-3"}


def verdict_event(envelope: Envelope, report: Report) -> dict[str, Any]:
    """Describe the run as a whole, and on what terms it was judged."""
    status = _VERDICTS[report.verdict]
    made = envelope.event(2003, _CREATE, INFORMATIONAL, report.finished, "verdict", report.verdict)
    made["message"] = f"{wording.VERDICTS[report.verdict]} ({wording.claim(report)})"
    made["is_alert"] = report.verdict == "not_compliant"
    made["compliance"] = {
        "control": "verdict",
        "status_id": status[0],
        "status": status[1],
        "status_details": [printable(reason) for reason in report.reasons],
    }
    terms = [f"relaxed by {text}" for text in report.relaxed_by] + [item.text for item in report.limitations]
    made["finding_info"] = {
        "uid": identity("verdict", report.subject.hostname, report.finished),
        "title": "Verdict",
        "desc": printable("; ".join(terms)),
    }
    made["policy"] = {"name": printable(wording.origin(report)), "uid": report.policy.sha256, "is_applied": True}
    return made


def finding_event(envelope: Envelope, report: Report, result: RuleResult, finding: Finding) -> dict[str, Any]:
    """Describe one finding; a waived or baselined one is suppressed, and says by whom."""
    made = envelope.event(
        2003, _CREATE, SEVERITIES[result.severity], report.finished, result.rule, finding.fingerprint, finding.waived_by
    )
    made |= _state(_SUPPRESSED if finding.waived_by else _NEW)
    made["is_alert"] = not finding.waived_by
    made["message"] = printable(finding.message)
    if finding.count > 1:
        made["count"] = finding.count
    made["compliance"] = _compliance(result, _FAIL)
    info: dict[str, Any] = {"uid": finding.fingerprint, **_about(result), "desc": printable(finding.subject)}
    for ours, theirs in (("first", "first_seen_time"), ("last", "last_seen_time")):
        if (moment := read_time(finding.record.get(ours))) is not None:
            info[theirs] = moment
    made["finding_info"] = info
    made["resources"] = [
        {"name": party.name, "type": party.kind} for party in parties_of(finding.record)
    ] or [{"name": printable(finding.subject)}]  # fmt: skip
    made["evidences"] = [{"data": {one.field: printable(str(one.value)) for one in finding.because}}]
    if spot := spot_of(result.rule, finding.record, report.policy.path):
        made["evidences"][0]["file"] = {"name": spot.path.rpartition("/")[2] or "?", "path": spot.path, "type_id": 1}
    if finding.record.get("kind") not in _SEEN and (who := actor(finding.record)):
        made["actor"] = who
    if finding.waived_by:
        made["comment"] = printable(finding.waived_by)
    return made


def rule_event(envelope: Envelope, report: Report, result: RuleResult, doubt: str | None) -> dict[str, Any]:
    """Describe a rule that passed, or with a doubt, one that could not be decided, or not wholly."""
    status = _WARNING if doubt else _PASS
    severity = SEVERITIES[result.severity] if doubt else INFORMATIONAL
    made = envelope.event(2003, _CREATE, severity, report.finished, result.rule, status)
    made["compliance"] = _compliance(result, status)
    made["message"] = printable(f"{'undecided' if doubt else 'passed'}: {result.title}")
    made["status_detail"] = printable(doubt or result.reason or "nothing was found, and everything needed was seen")
    made["is_alert"] = False
    made["finding_info"] = {"uid": identity(result.rule, report.subject.hostname), **_about(result)}
    if doubt:
        made |= _state(_NEW)
    made["remediation"] = {"desc": "\n".join(map(printable, result.remediation.splitlines()))}
    return made


def coverage_event(envelope: Envelope, report: Report, item: Coverage) -> dict[str, Any]:
    """Describe a collector that did not see everything: what it did not see, no finding can show."""
    lost = f", {item.lost:,} events lost" if item.lost else ""
    return _blindness(
        envelope, report, item.collector, f"{item.collector} is {item.status}{lost}: {item.reason or '-'}"
    )


def gap_event(envelope: Envelope, report: Report, gap: str) -> dict[str, Any]:
    """Describe a time in which nobody looked."""
    return _blindness(envelope, report, f"gap {gap}", f"nobody looked from {gap}")


def vanished_event(envelope: Envelope, report: Report, one: Known) -> dict[str, Any]:
    """Describe a finding of the baseline that was judged again, and is gone."""
    made = envelope.event(2003, _CLOSE, SEVERITIES[one.severity], report.finished, one.rule, one.fingerprint)
    made |= _state(_RESOLVED)
    made["is_alert"] = False
    made["message"] = printable(one.message)
    made["compliance"] = {"control": one.rule, "status_id": _PASS[0], "status": _PASS[1]}
    made["finding_info"] = {"uid": one.fingerprint, "title": printable(one.message), "desc": printable(one.subject)}
    return made


def _blindness(envelope: Envelope, report: Report, what: str, text: str) -> dict[str, Any]:
    made = envelope.event(2003, _CREATE, SEVERITIES["medium"], report.finished, "coverage", what)
    made |= _state(_NEW)
    made["is_alert"] = False
    made["message"] = printable(text)
    made["compliance"] = {"control": "coverage", "status_id": _WARNING[0], "status": _WARNING[1]}
    made["finding_info"] = {
        "uid": identity("coverage", what, report.subject.hostname),
        "title": "What was not seen",
        "desc": wording.claim(report),
    }
    return made


def _compliance(result: RuleResult, status: tuple[int, str]) -> dict[str, Any]:
    """Name the controls that a rule supports; that one of them is satisfied is never said."""
    return {
        "control": result.rule,
        "status_id": status[0],
        "status": status[1],
        "standards": [_STANDARDS.get(name, name) for name in result.controls],
        "requirements": [one for ids in result.controls.values() for one in ids],
    }


def _about(result: RuleResult) -> dict[str, Any]:
    return {
        "title": printable(result.title),
        "analytic": {"type_id": 1, "uid": result.rule},
    }


def _state(status: tuple[int, str]) -> dict[str, Any]:
    return {"status_id": status[0], "status": status[1]}
