"""One run on one page: load, collect, perhaps watch for a while, judge."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check import engine, host, recording, rulebook, snapshot
from airgap_check.collectors import artifact, environment, resolution, state
from airgap_check.errors import UsageError
from airgap_check.evidence import Answer, Connection, Question, Request, Resolver, Runtime, Setting
from airgap_check.evidence.asset import Artifact, Package
from airgap_check.evidence.inspection import Inspection, PolicyReference
from airgap_check.input import read_bytes
from airgap_check.kernel import netns
from airgap_check.objectos.derive import derive, for_bundle
from airgap_check.policy import file as policyfile
from airgap_check.proposal import Proposal
from airgap_check.remembrance import remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airgap_check.evidence import Evidence
    from airgap_check.finding import Report
    from airgap_check.history.change import Change
    from airgap_check.plan import Plan, Watcher
    from airgap_check.policy import Policy
    from airgap_check.rule import RuleSet
    from airgap_check.watching import Watched

DEFAULT_POLICY = "/etc/airgap-check/policy.yaml"


class Done(NamedTuple):
    """What a run has come to, by which law; ``change`` is None where nothing remembers, for the reason ``trouble``.

    ``in_force`` is the policy by now, where it may be another one than what was seen is judged by.
    """

    plan: Plan
    inspection: Inspection
    report: Report
    policy: Policy
    rules: RuleSet
    change: Change | None = None
    trouble: str = ""
    in_force: Policy | None = None


def load(plan: Plan) -> tuple[RuleSet, Policy | None]:
    """Load rules and policy; None means that one has to be derived. Raises `UsageError` with every fault."""
    rules = rulebook.load(plan.rules)
    path = plan.policy or (DEFAULT_POLICY if os.path.exists(DEFAULT_POLICY) else None)
    if path is None:
        return rules, None
    return rules, policyfile.load(path, read_bytes(path), {rule.id: rule.kind for rule in rules.rules})


def run(plan: Plan, watcher: Watcher) -> Done:
    """Audit this host: look once, or watch it as long as the plan says. It is remembered before anybody reads it."""
    rules, given = load(plan)
    inspection = begin(plan, watcher.clock())
    with remembered(plan, inspection) as remembrance:
        if plan.observing is None:
            seen = snapshot.take(plan, given, inspection, watcher.progress)
            policy, evidence = seen.policy, seen.evidence
        else:
            from airgap_check import watching  # eBPF and packets: nobody else has to wait for their import

            watched = watching.observe(plan, watcher, rules=rules, given=given, inspection=inspection)
            policy, evidence = watched.policy, watched.evidence
            inspection = observed(inspection, watched, *([watched.cut] if watched.cut else []))
        inspection = conclude(inspection, policy, remembrance.with_continuity(evidence), watcher.clock())
        watcher.progress("judging")
        report = engine.judge(inspection, rules, policy, plan.terms)
        change = remembrance.keep(report, watcher.changed)
    return Done(plan, inspection, report, policy, rules, change, remembrance.trouble)


def replay(plan: Plan, path: str, *, archived_policy: bool = False) -> Done:
    """Judge recorded evidence again, under this policy, or that of the archive that it lies in, and these rules.

    Raises `UsageError`, also for an archive that is not whole.
    """
    from airgap_check import archive  # most runs judge what they see themselves

    rules, given = load(plan)
    is_archive = archive.is_archive(path)
    trust: tuple[Evidence, ...] = ()
    if archived_policy:
        if not is_archive:
            raise UsageError(f"{path}: --archived-policy is for an archive; this file holds no policy")
        given, trust = archive.policy(path)
    recorded = archive.evidence(path) if is_archive else recording.read(path)
    policy = given or _derived(recorded)
    # An archived policy is what it was then: this host has no file of it to look at.
    found = trust if archived_policy else (snapshot.trust(policy),)
    inspection = replace(recorded, evidence=(*recorded.evidence, *found))
    return Done(plan, inspection, engine.judge(inspection, rules, policy, plan.terms), policy, rules)


def _derived(recorded: Inspection) -> Policy:
    if recorded.source == "bundle":
        return for_bundle(recorded.of("bundle"))
    return derive(recorded.records(Setting), recorded.records(Resolver))


def inspect(plan: Plan, paths: Sequence[str], clock: Callable[[], datetime], progress: Callable[[str], None]) -> Done:
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
    return Done(plan, inspection, engine.judge(inspection, rules, policy, plan.terms), policy, rules)


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
        gaps=watched.gaps,
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
