"""One run on one page: load, collect, perhaps watch for a while, judge."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check import engine, host, policyfile, recording, rulebook, snapshot
from airgap_check.asset import Artifact, Package
from airgap_check.collectors import artifact, environment, resolution, state
from airgap_check.evidence import Answer, Connection, Question, Request, Resolver, Runtime, Setting
from airgap_check.input import read_bytes
from airgap_check.inspection import Inspection, PolicyReference
from airgap_check.kernel import netns
from airgap_check.objectos.derive import derive, for_bundle
from airgap_check.proposal import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airgap_check.evidence import Evidence
    from airgap_check.finding import Report
    from airgap_check.plan import Plan, Watcher
    from airgap_check.policy import Policy
    from airgap_check.rule import RuleSet
    from airgap_check.watching import Watched

DEFAULT_POLICY = "/etc/airgap-check/policy.yaml"


def load(plan: Plan) -> tuple[RuleSet, Policy | None]:
    """Load rules and policy; None means that one has to be derived. Raises `UsageError` with every fault."""
    rules = rulebook.load(plan.rules)
    path = plan.policy or (DEFAULT_POLICY if os.path.exists(DEFAULT_POLICY) else None)
    if path is None:
        return rules, None
    return rules, policyfile.load(path, read_bytes(path), {rule.id: rule.kind for rule in rules.rules})


def run(plan: Plan, watcher: Watcher) -> tuple[Inspection, Report]:
    """Audit this host: look once, or watch it as long as the plan says."""
    rules, given = load(plan)
    inspection = begin(plan, watcher.clock())
    if plan.observing is None:
        seen = snapshot.take(plan, given, inspection, watcher.progress)
        policy, evidence = seen.policy, seen.evidence
    else:
        from airgap_check import watching  # eBPF and packets: nobody else has to wait for their import

        watched = watching.observe(plan, watcher, rules=rules, given=given, inspection=inspection)
        policy, evidence = watched.policy, watched.evidence
        inspection = observed(inspection, watched, *([watched.cut] if watched.cut else []))
    inspection = conclude(inspection, policy, evidence, watcher.clock())
    watcher.progress("judging")
    return inspection, engine.judge(inspection, rules, policy, plan.terms)


def replay(plan: Plan, path: str) -> tuple[Inspection, Report]:
    """Judge recorded evidence again, under this policy and these rules."""
    rules, given = load(plan)
    recorded = recording.read(path)
    policy = given or _derived(recorded)
    inspection = replace(recorded, evidence=(*recorded.evidence, snapshot.trust(policy)))
    return inspection, engine.judge(inspection, rules, policy, plan.terms)


def _derived(recorded: Inspection) -> Policy:
    if recorded.source == "bundle":
        return for_bundle(recorded.of("bundle"))
    return derive(recorded.records(Setting), recorded.records(Resolver))


def inspect(
    plan: Plan, paths: Sequence[str], clock: Callable[[], datetime], progress: Callable[[str], None]
) -> tuple[Inspection, Report]:
    """Judge captures and logs. The time of the run is the time that they cover, as far as they tell."""
    from airgap_check import captures

    rules, given = load(plan)
    inspection = begin(plan, clock())
    captured = captures.read(paths, progress=progress)
    policy = given or derive([])
    window = _window(captured)
    inspection = conclude(inspection, policy, [captured, snapshot.trust(policy)], max(window, default=clock()))
    inspection = replace(
        inspection, started=min(window, default=inspection.started), source="capture", claim="replayed"
    )
    progress("judging")
    return inspection, engine.judge(inspection, rules, policy, plan.terms)


def _window(captured: Evidence) -> list[datetime]:
    """List the times at which something was captured."""
    seen = [record for record in captured.records if isinstance(record, Connection | Question | Request | Answer)]
    ends = [record.last for record in seen if not isinstance(record, Answer)]
    return [moment for moment in (*(record.first for record in seen), *ends) if moment]


def propose() -> Proposal:
    """Derive a policy from this host; no name server is asked."""
    seen, installations = environment.examine(None)
    settings = list(seen.of(Setting))
    namespaces, _ = netns.discover()
    named = resolution.collect((), namespaces, (), ask=False, deadline=None)
    return Proposal(
        derive(settings, list(named.of(Resolver))),
        settings,
        list(seen.of(Runtime)),
        list(artifact.collect(installations, None).of(Artifact)),
        list(state.collect(installations, None).of(Package)),
    )


def begin(plan: Plan, started: datetime) -> Inspection:
    """Say who looks at which host, before anything is seen."""
    return Inspection(
        tool=host.tool(),
        subject=host.subject(),
        run=host.run(list(plan.argv)),
        clock=host.clock(),
        started=started,
        finished=started,
        policy=PolicyReference(path=None, sha256="", derived=True),
        relaxed=plan.relaxed,
    )


def observed(inspection: Inspection, watched: Watched, *relaxed: str) -> Inspection:
    """Say of an inspection that somebody watched, and what made that milder."""
    return replace(
        inspection,
        claim="observed",
        self_test=watched.trials,
        filtered_by=watched.filtered_by,
        relaxed=(*inspection.relaxed, *relaxed),
    )


def conclude(inspection: Inspection, policy: Policy, evidence: Sequence[Evidence], finished: datetime) -> Inspection:
    """Complete an inspection with what was seen, and the policy that was in force."""
    return replace(
        inspection,
        finished=finished,
        policy=PolicyReference(path=policy.shown_path, sha256=policy.sha256, derived=policy.derived),
        evidence=tuple(evidence),
    )
