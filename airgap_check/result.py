"""One rule against all it can see: its single result, with findings that are merged, fingerprinted and waived."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from airgap_check.evidence import Connection
from airgap_check.evidence.asset import Check
from airgap_check.finding import Finding, Outcome, RuleResult
from airgap_check.rule.basis import basis
from airgap_check.rule.field import fields
from airgap_check.view import ContradictionView, EncounterView, EndpointView, SettingView, View, VisitView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence import Coverage
    from airgap_check.evidence.fact import Process, Workload
    from airgap_check.policy import Policy
    from airgap_check.policy.acceptance import Acceptance
    from airgap_check.rule import Rule
    from airgap_check.survey import Survey


def result_of(
    rule: Rule, survey: Survey, policy: Policy, coverage: Sequence[Coverage], acceptance: Acceptance
) -> RuleResult:
    """Return the one result of a rule; evidence that is missing or partial never passes it."""
    findings: tuple[Finding, ...] = ()
    outcome: Outcome = "pass"
    reason = ""
    seen = basis(rule.kind, coverage, survey.source)
    if rule.applies and not rule.applies.decide(View(policy=policy.terms)):
        outcome, reason = "not_applicable", rule.file.otherwise
    elif seen.sight == "not applicable":
        outcome, reason = "not_applicable", seen.reason
    elif seen.sight == "blind":
        outcome, reason = "unknown", seen.reason
    else:
        findings, undecided, matched = _matches(rule, survey, acceptance)
        waived = sum(1 for finding in findings if finding.waived_by)
        if len(findings) > waived:
            outcome = "fail"
        elif matched:
            outcome, reason = "unknown", some(matched)
        elif undecided:
            outcome = "unknown"
        elif seen.sight == "partial":
            outcome, reason = "unknown", seen.reason
        if undecided:
            reason = f"could not decide {len(undecided)}: {some(undecided)}"
        elif waived and not reason:
            reason = f"{waived} waived"
    return RuleResult(
        rule=rule.id,
        title=rule.file.title,
        severity=rule.severity,
        outcome=outcome,
        reason=reason,
        controls=rule.file.controls,
        rationale=rule.file.rationale.strip(),
        remediation=rule.file.remediation.strip(),
        findings=findings,
    )


def _matches(rule: Rule, survey: Survey, acceptance: Acceptance) -> tuple[tuple[Finding, ...], list[str], list[str]]:
    """Return the findings, the messages of what could not be decided, and those of a rule that only doubts."""
    undecided: dict[str, None] = {}
    doubted: dict[str, None] = {}
    findings: dict[tuple[str, str | None], Finding] = {}
    decide = rule.when.decide
    for view in survey.views(rule.kind):
        truth = decide(view)
        if truth is False:
            continue
        if truth is None:
            undecided[rule.message(view)] = None
        elif rule.file.outcome == "unknown":
            doubted[rule.message(view)] = None
        else:
            print_ = fingerprint(rule.id, view)
            waived_by = acceptance.of(rule, print_, view)
            count = getattr(getattr(view, "record", None), "count", 1)
            known = findings.get((print_, waived_by))
            findings[print_, waived_by] = (
                msgspec.structs.replace(known, count=known.count + count)
                if known
                else _finding(rule, view, print_, count, waived_by)
            )
    return tuple(findings.values()), list(undecided), list(doubted)


def _finding(rule: Rule, view: View, print_: str, count: int, waived_by: str | None) -> Finding:
    return Finding(
        subject=subject_of(view),
        message=rule.message(view),
        because=tuple(rule.when.because(view)),
        record=_record(view),
        count=count,
        fingerprint=print_,
        waived_by=waived_by,
    )


def _record(view: View) -> dict[str, Any]:
    """Show what a finding is about: the record as the rule saw it, with what the policy said of it."""
    shown: dict[str, Any] = msgspec.to_builtins(view)
    shown.pop("policy")
    record = shown.pop("record", {})
    return {**record, **shown}


def fingerprint(rule_id: str, view: View) -> str:
    """Return a digest that is the same tomorrow: no pid, no ephemeral port, no time goes into it."""
    known = fields(type(view))
    parts = [known[path.removeprefix("record.")].read(view) for path in view.identity]
    return sha256(msgspec.json.encode([rule_id, *parts])).hexdigest()[:32]


def subject_of(view: View) -> str:
    """Name what a finding is about in a few words: the process and its workload, a setting, a name, an entry."""
    record: Any = getattr(view, "record", None)
    process: Process | None = getattr(record, "process", None)
    workload: Workload | None = getattr(record, "workload", None)
    if told := _rehearsed(view):
        return told
    words = []
    if name := getattr(view, "name", None) or getattr(record, "name", None):
        words.append(str(name))
    if process:
        words.append(f"{process.name or '?'}[{process.pid}]")
    elif hasattr(record, "process") and not name:
        # Packets name no process, but whoever sent them.
        packet = isinstance(record, Connection) and record.seen in {"capture", "traffic"}
        sender = record.local.address if packet else None
        words.append(sender or (record.subject if isinstance(record, Check) else "unknown process"))
    if workload:
        words.append(f"({workload.kind} {workload.name})")
    if isinstance(view, SettingView | EndpointView) and not process:
        words.append(f"in {view.where}")
    for path in ("record.address", "record.path", "network", "collector"):
        field = fields(type(view)).get(path.removeprefix("record."))
        if not words and field and (value := field.read(view)):
            words.append(str(value))
    return " ".join(words) or "deployment"


def _rehearsed(view: View) -> str | None:
    """Name what a finding of a rehearsal is about, where that is no process."""
    if isinstance(view, VisitView):
        return view.record.label
    if isinstance(view, EncounterView) and view.record.seen == "browser":
        return "a browser"
    return view.by if isinstance(view, ContradictionView) and view.aspect == "never-seen" else None


def some(items: Sequence[str], most: int = 3) -> str:
    """Join the first few items, and say how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
