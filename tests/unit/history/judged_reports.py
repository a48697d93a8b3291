"""Reports for the memory: what a run at some minute found, written in a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airgap_check.evidence import Coverage
from airgap_check.evidence.inspection import Clock, Run, Tool
from airgap_check.finding import Finding, Report, ReportedPolicy, ReportSubject, RuleResult, Window
from airgap_check.history.precedent import Moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airgap_check.finding import Outcome, Severity, Verdict

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BOOT = "11111111-2222-3333-4444-555555555555"


def at(minutes: float, *, boot: str | None = BOOT, uptime: float | None = None) -> Moment:
    """Return the moment so many minutes after noon, with clocks that agree."""
    return Moment(NOON + timedelta(minutes=minutes), boot, 10_000 + minutes * 60 if boot and uptime is None else uptime)


def finding(fingerprint: str, *, waived_by: str | None = None, **record: Any) -> Finding:
    return Finding(
        subject=f"node {fingerprint}", message=f"node -> {fingerprint}", because=(), count=1, fingerprint=fingerprint,
        record={"kind": "connection", "seen": "sockets", **record}, waived_by=waived_by,
    )  # fmt: skip


def result(
    rule: str, *findings: Finding, outcome: Outcome | None = None, severity: Severity = "high", reason: str = ""
) -> RuleResult:
    failed = any(one.waived_by is None for one in findings)
    return RuleResult(
        rule=rule, title="", severity=severity, outcome=outcome or ("fail" if failed else "pass"), reason=reason,
        controls={}, rationale="", remediation="", findings=findings,
    )  # fmt: skip


def report(
    minutes: float = 0,
    *results: RuleResult,
    coverage: Mapping[str, Any] | None = None,
    verdict: Verdict | None = None,
    **changes: Any,
) -> Report:
    moment = NOON + timedelta(minutes=minutes)
    failed = any(one.outcome == "fail" for one in results)
    judged: Verdict = verdict or ("not_compliant" if failed else "compliant")
    facts: dict[str, Any] = {
        "tool": Tool(name="airgap-check", version="1", sha256="t" * 64),
        "subject": ReportSubject(
            hostname="host", machine_id_hash="m", boot_id=BOOT, kernel="6.1", scope="host", runtimes=()
        ),
        "run": Run(uid=0, login_uid=None, sudo_user=None, capabilities=(), argv=()),
        "clock": Clock(synchronized=True, source="test"),
        "started": moment, "finished": moment, "claim": "snapshot", "window": Window(start=moment, end=moment),
        "policy": ReportedPolicy(path=None, sha256="p" * 64, derived=False, entries=()),
        "rules_sha256": "r" * 64, "relaxed_by": (), "limitations": (), "verdict": judged,
        "exit_code": {"compliant": 0, "not_compliant": 1, "inconclusive": 4}[judged], "reasons": ("a reason",),
        "coverage": tuple(_coverage(name, status) for name, status in (coverage or {"sockets": "complete"}).items()),
        "self_test": (), "results": results, "connections": (),
    }  # fmt: skip
    return Report(**{**facts, **changes})


def _coverage(name: str, status: Any) -> Coverage:
    if isinstance(status, Coverage):
        return status
    reason = "" if status == "complete" else "as the test says"
    return Coverage(collector=name, status=status, scope="", reason=reason, counts={}, lost=0, blind=())


def results_of(fingerprints: Sequence[str], rule: str = "connection.not-allowlisted") -> RuleResult:
    return result(rule, *map(finding, fingerprints))
