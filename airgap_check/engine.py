"""Judges evidence: rules, policy and what was seen become one report. Pure: no I/O, and now is when evidence began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airgap_check.address import PUBLIC
from airgap_check.evidence import Coverage, Evidence, Runtime
from airgap_check.evidence.fact import Fact
from airgap_check.finding import (
    DEFAULT_FAIL_ON,
    ExitCode,
    Limitation,
    Report,
    ReportedEntry,
    ReportedPolicy,
    ReportSubject,
    RuleResult,
    Severity,
    Verdict,
    Window,
    at_least,
)
from airgap_check.policy import DEFAULT_REQUIRE, Policy
from airgap_check.policy.acceptance import Acceptance, Baseline
from airgap_check.result import result_of, some
from airgap_check.survey import Survey
from airgap_check.view import PeerView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.rule import Rule, RuleSet


class Terms(Fact, frozen=True, kw_only=True):
    """What the caller asked of this verdict."""

    fail_on: Severity = DEFAULT_FAIL_ON
    accept_derived: bool = False
    baseline: Baseline | None = None


_UNSEEN = {
    "database": (
        "Rows of the business database were not examined: webhooks, identity providers and settings that live only "
        "there are not covered; use --database."
    ),
    "deployment": "Deployment files were not examined; use --deployment PATH.",
}

_NOBODYS = "the policy was derived from this host, and nobody approved it: airgap-check init prints it"
_NOBODYS_REHEARSED = (
    "the policy was derived from what the command was given, and nobody approved it: --suggest-policy drafts one"
)
_REHEARSED = (
    "A rehearsal: the command ran in a sealed world whose every answer was made up, and addresses in 198.18.0.0/15 and "
    "2001:2::/48 stand for names there. What other data, requests or answers, or more time, would make it reach "
    "for is not covered, nor is the host that it will run on."
)


def judge(inspection: Inspection, rules: RuleSet, policy: Policy, terms: Terms) -> Report:
    """Judge what was seen by the rules under a policy."""
    survey = Survey(inspection, policy)
    coverage = tuple(_coverage(evidence, policy, survey) for evidence in inspection.evidence)
    acceptance = Acceptance(policy, terms.baseline, inspection.started.date())
    judged: dict[str, RuleResult] = {}
    for rule in sorted(rules.rules, key=_about_waivers):
        if _about_waivers(rule):
            survey.judge_waivers(judged)
        judged[rule.id] = result_of(rule, survey, policy, coverage, acceptance)
    results = tuple(judged[rule.id] for rule in rules.rules)
    violations = _violations(results, terms)
    doubts = _doubts(inspection, policy, terms, coverage, results)
    verdict: Verdict = "not_compliant" if violations else "inconclusive" if doubts else "compliant"
    codes = {
        "compliant": ExitCode.COMPLIANT, "not_compliant": ExitCode.NOT_COMPLIANT, "inconclusive": ExitCode.INCONCLUSIVE
    }  # fmt: skip
    return Report(
        tool=inspection.tool,
        subject=ReportSubject(
            **msgspec.structs.asdict(inspection.subject), runtimes=tuple(inspection.records(Runtime))
        ),
        run=inspection.run,
        clock=inspection.clock,
        started=inspection.started,
        finished=inspection.finished,
        claim=inspection.claim,
        window=Window(start=inspection.started, end=inspection.finished, gaps=inspection.gaps),
        policy=_policy(policy),
        rules_sha256=rules.sha256,
        relaxed_by=_relaxed_by(inspection, policy, terms, results, acceptance),
        limitations=_limitations(inspection, survey, policy),
        verdict=verdict,
        exit_code=int(codes[verdict]),
        reasons=(*violations, *doubts)
        or (f"no finding at or above {terms.fail_on}, and everything required was seen",),
        coverage=coverage,
        self_test=inspection.self_test,
        results=results,
        connections=tuple(survey.connections),
        baseline=acceptance.reported(results, coverage, inspection),
        reached=survey.reached,
        predicted_unseen=survey.predicted_unseen,
    )


def _about_waivers(rule: Rule) -> bool:
    """Tell whether a rule has to wait for the results of the others."""
    return rule.kind == "policy-waiver"


def _coverage(evidence: Evidence, policy: Policy, survey: Survey) -> Coverage:
    coverage = evidence.coverage()
    if evidence.kind == "resolution" and evidence.status == "complete":
        answered = {answer.name for answer in survey.answers if answer.source != "observed"}
        missing = [name for name in policy.names() if name not in answered]
        if missing:
            return msgspec.structs.replace(coverage, status="partial", reason=f"not asked: {some(missing)}")
    if evidence.kind == "sockets":
        counts = {**evidence.counts, "owner_unknown": survey.owner_unknown}
        return msgspec.structs.replace(coverage, counts=counts)
    return coverage


def _violations(results: Sequence[RuleResult], terms: Terms) -> list[str]:
    reasons = []
    for result in results:
        count = sum(1 for finding in result.findings if not finding.waived_by)
        if count and at_least(result.severity, terms.fail_on):
            reasons.append(f"{result.rule} ({result.severity}): {count} finding{'s' if count > 1 else ''}")
    return reasons


def _doubts(
    inspection: Inspection, policy: Policy, terms: Terms, coverage: Sequence[Coverage], results: Sequence[RuleResult]
) -> list[str]:
    """List everything that forbids a clean bill of health, whatever else was found."""
    doubts = []
    seen = {item.collector: item for item in coverage}
    for collector in _required(inspection, policy):
        item = seen.get(collector)
        if item is None:
            doubts.append(f"required evidence is missing: {collector} was not collected")
        elif item.status != "complete":
            doubts.append(f"required evidence is {item.status}: {collector}: {item.reason}")
    runtime_due = policy.file.runtime.expected and inspection.source == "host"
    no_runtime = runtime_due and next(inspection.records(Runtime), None) is None
    undecided: dict[str, list[str]] = {}
    for result in results:
        said_below = no_runtime and result.rule == "runtime.not-found"
        if result.outcome == "unknown" and at_least(result.severity, terms.fail_on) and not said_below:
            undecided.setdefault(result.reason, []).append(result.rule)
    doubts += [f"undecided: {', '.join(names)}: {reason}" for reason, names in undecided.items()]
    if all(result.outcome in {"unknown", "not_applicable"} for result in results):
        doubts.append("no rule could be decided")
    if policy.derived and not terms.accept_derived and inspection.source != "bundle":
        doubts.append(_NOBODYS_REHEARSED if inspection.source == "rehearsal" else _NOBODYS)
    if no_runtime:
        doubts.append("no ObjectOS runtime was found, and the policy does not say runtime: {expected: false}")
    if inspection.filtered_by and inspection.filtered_by != policy.sha256:
        doubts.append("the evidence was filtered by another policy than this one")
    return doubts


def _required(inspection: Inspection, policy: Policy) -> tuple[str, ...]:
    """Name the collectors without which there is no clean bill of health; of a capture it is the only one there is."""
    if inspection.source in {"capture", "bundle"}:
        return (inspection.source,)
    required: list[str] = list(policy.file.require)
    if policy.file.inbound is not None:
        required.append("listeners")
    if inspection.observed:
        required.append("attempts")
    if any(evidence.kind == "probes" for evidence in inspection.evidence):
        required.append("probes")
    if inspection.source == "rehearsal":
        required += ["world", *(one.kind for one in inspection.evidence if one.kind == "drive")]
    return tuple(dict.fromkeys(required))


def _relaxed_by(
    inspection: Inspection, policy: Policy, terms: Terms, results: Sequence[RuleResult], acceptance: Acceptance
) -> tuple[str, ...]:
    """List whatever made this run milder than the default."""
    relaxed = list(inspection.relaxed)
    if not at_least(DEFAULT_FAIL_ON, terms.fail_on):
        relaxed.append(f"fail-on {terms.fail_on}")
    if terms.accept_derived and policy.derived:
        relaxed.append("accept-derived")
    accepted = [finding for result in results for finding in result.findings if finding.waived_by]
    baselined = sum(1 for finding in accepted if finding.is_baselined)
    if waived := len(accepted) - baselined:
        relaxed.append(f"waivers ({waived} finding{'s' if waived > 1 else ''})")
    if terms.baseline:
        whose = " of another host" if acceptance.foreign(inspection.subject) else ""
        relaxed.append(f"baseline{whose} ({baselined} finding{'s' if baselined != 1 else ''})")
    missing = [collector for collector in DEFAULT_REQUIRE if collector not in policy.file.require]
    if missing and inspection.source in {"host", "rehearsal"}:
        relaxed.append(f"policy require (without {', '.join(missing)})")
    if policy.file.scope.others == "public-only":
        relaxed.append("policy scope.others public-only")
    if not policy.file.runtime.expected and inspection.source == "host":
        relaxed.append("policy runtime.expected false")
    return tuple(relaxed)


def _limitations(inspection: Inspection, survey: Survey, policy: Policy) -> tuple[Limitation, ...]:
    texts = {
        "self-asserted": "Self-asserted by this host; its root can forge it.",
        "controls": "Controls are supported by this evidence, never satisfied by it.",
    }
    if inspection.source == "capture":
        texts["capture"] = (
            "Only what these files hold was judged: packets have no process, and attempts that failed before a packet "
            "existed left nothing in them."
        )
        return tuple(Limitation(id=name, text=text) for name, text in texts.items())
    if inspection.source == "bundle":
        texts["bundle"] = "Files were judged as they lie there: what an installation makes of them was not seen."
        return tuple(Limitation(id=name, text=text) for name, text in texts.items())
    if inspection.source == "rehearsal":
        texts["rehearsal"] = _REHEARSED
    took_part = {evidence.kind for evidence in inspection.evidence}
    if inspection.source != "rehearsal":
        texts |= {collector: unseen for collector, unseen in _UNSEEN.items() if collector not in took_part}
    texts["initial-environment"] = (
        "Environments are those that processes were started with; later changes are invisible."
    )
    if not inspection.observed:
        texts["snapshot"] = (
            "A snapshot of one moment: connections shorter than an instant, and attempts that failed before it, "
            "are not covered."
        )
    if policy.file.inbound is None:
        peers = [view.remote.scope for view in survey.views("peer") if isinstance(view, PeerView)]
        public = sum(1 for scope in peers if scope in PUBLIC)
        texts["inbound"] = (
            "The policy has no inbound section: who listens here, and who connects, was not judged "
            f"({len(peers)} groups of such connections, {public} of them with public addresses)."
        )
    if inspection.subject.scope == "namespace" and inspection.source != "rehearsal":
        texts["namespace"] = "Seen from inside a container: processes outside its pid namespace are not covered."
    return tuple(Limitation(id=name, text=text) for name, text in texts.items())


def _policy(policy: Policy) -> ReportedPolicy:
    approved = policy.file.approved
    return ReportedPolicy(
        path=policy.shown_path,
        sha256=policy.sha256,
        derived=policy.derived,
        entries=tuple(
            ReportedEntry(name=entry.name, role=entry.role, from_=policy.sources.get(entry.name, "policy"))
            for entry in policy.file.allow
        ),
        approved={"by": approved.by, "on": approved.on.isoformat()} if approved else None,
    )
