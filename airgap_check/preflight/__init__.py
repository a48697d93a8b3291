"""The gate before going live: an audit that watches, and meanwhile reaches what is needed and tries the gap itself.

The order is what keeps our own doings out of the evidence. Canaries are tried before anybody watches. What is needed is
tried while the observers are at work: they know our process, and of the packets, which have none, exactly as many
connections are left out as we made from that network namespace to that address and port.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check import audit, engine, snapshot
from airgap_check.collectors import resolution
from airgap_check.errors import UsageError
from airgap_check.evidence import Answer, Evidence
from airgap_check.evidence.asset import Probe
from airgap_check.finding import DEFAULT_FAIL_ON, at_least
from airgap_check.history import store
from airgap_check.history.clearance import Clearance, clearance
from airgap_check.history.memory import recalled
from airgap_check.kernel import netns
from airgap_check.plan import Observing
from airgap_check.preflight import itinerary, own_attempts
from airgap_check.probes import canary, performance, whereabouts
from airgap_check.probes.performance import Outcome
from airgap_check.remembrance import remembered
from airgap_check.result import some
from airgap_check.survey.place import target_of

if TYPE_CHECKING:
    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.plan import Plan, Watcher
    from airgap_check.policy import Policy
    from airgap_check.preflight.itinerary import Itinerary
    from airgap_check.snapshot import Snapshot

VALID = timedelta(hours=24)
AFTERWARDS = 2.0  # seconds for which the observers go on when the last probe has come back

_OWN = "our own probes: they are left out of what was observed, by process, and by number where there is none"


class Bound(NamedTuple):
    """What a green preflight holds for: this boot, this policy, these images and artifacts, and not for long."""

    clearance: Clearance
    until: datetime

    def line(self) -> str:
        """Say it in a line."""
        return f"green until {self.until:%Y-%m-%d %H:%M} UTC for this boot, image, artifact and policy"


class Preflight(NamedTuple):
    """What a preflight has come to; ``bound`` is None unless it is green."""

    done: audit.Done
    bound: Bound | None


def list_probes(plan: Plan, watcher: Watcher) -> list[str]:
    """Say what `run` would send, and send nothing: no name is asked, and no database either."""
    _, given = audit.load(plan)
    inspection = audit.begin(plan, watcher.clock())
    _, ahead = _look_ahead(replace(plan, resolve=False, database=False), given, inspection, watcher)
    unread = ["note     what rows of the database name is not listed: to read them is to connect"]
    return ahead.lines(resolve=plan.resolve) + (unread if plan.database else [])


def run(plan: Plan, watcher: Watcher, seconds: float | None = None) -> Preflight:
    """Audit this host while it is observed and probed, for so many seconds or as long as the probes take."""
    from airgap_check import watching  # eBPF and packets: who only lists has not to wait for their import

    rules, given = audit.load(plan)
    inspection = audit.begin(plan, watcher.clock())
    with remembered(plan, inspection) as remembrance:
        seen, ahead = _look_ahead(plan, given, inspection, watcher)
        canaries = _try_canaries(plan, seen, ahead, watcher)
        outing = _Outing(seen, ahead, watcher, seconds)
        forever = replace(plan, observing=replace(plan.observing or Observing(), seconds=None))
        watched = watching.observe(
            forever, watcher._replace(ready=outing.go), rules=rules, given=given, inspection=inspection
        )
        inspection = audit.observed(inspection, watched, *outing.cut)
        own, window = netns.own_inode(), outing.window
        evidence = [own_attempts.without(item, outing.outcome.attempts, own, window) for item in watched.evidence]
        evidence = remembrance.with_continuity([*evidence, _evidence(plan, ahead, canaries, outing.outcome)])
        inspection = audit.conclude(inspection, watched.policy, evidence, watcher.clock())
        watcher.progress("judging")
        report = engine.judge(inspection, rules, watched.policy, plan.terms)
        as_strict = at_least(DEFAULT_FAIL_ON, plan.terms.fail_on)  # a milder run vouches for less than a gate does
        cleared = bound(inspection) if report.exit_code == 0 and as_strict else None
        change = remembrance.keep(report, watcher.changed)
    trouble = remembrance.trouble
    try:
        _remember(plan, cleared, inspection)
    except UsageError as error:  # a disk that is full by now is no reason to withhold the report
        trouble = str(error)
    return Preflight(audit.Done(plan, inspection, report, watched.policy, rules, change, trouble), cleared)


def _remember(plan: Plan, cleared: Bound | None, inspection: Inspection) -> None:
    """Keep what a green preflight vouches for, and forget an earlier one that this one does not repeat."""
    with recalled(plan.state) as memory:
        if memory.store is None:
            return
        if cleared is None:
            memory.store.forget_preflight()
        else:
            memory.store.keep_preflight(store.Preflight(inspection.finished, cleared.until, cleared.clearance.text()))


def bound(inspection: Inspection) -> Bound:
    """Say what a green preflight was green of."""
    cleared = clearance(inspection.subject.boot_id, inspection.policy.sha256, inspection.evidence)
    return Bound(cleared, inspection.finished + VALID)


def _look_ahead(
    plan: Plan, given: Policy | None, inspection: Inspection, watcher: Watcher
) -> tuple[Snapshot, Itinerary]:
    """Look at this host once, remember nothing of it, and settle from that what is going to be sent."""
    today = inspection.started.date()
    if given is not None:
        itinerary.useful_canaries(given, today)  # a faulty policy is to be told before anything else is done
    seen = snapshot.take(replace(plan, state=""), given, inspection, watcher.progress)
    namespaces, _ = netns.discover()
    return seen, itinerary.settle(seen.policy, seen.evidence, namespaces, seen.names, today)


def _try_canaries(plan: Plan, seen: Snapshot, ahead: Itinerary, watcher: Watcher) -> Outcome:
    """Ask the routing tables, then try each address once, and ask for each name."""
    watcher.progress("trying canaries")
    checks: list[AnyRecord] = list(canary.routed(ahead.canaries, ahead.lookouts))
    errands = [errand for errand in ahead.errands if errand.need.purpose == "canary"]
    tried = performance.perform(errands, watcher.clock(), watcher.stop, seen.policy.internal)
    gaps = list(tried.gaps)
    failed = [probe for probe in tried.records if isinstance(probe, Probe) and probe.outcome == "failed"]
    gaps += [f"canary {target_of(probe.remote)} could not be tried: {probe.detail}" for probe in failed]
    if ahead.canary_names and plan.resolve:
        namespaces, _ = netns.discover()
        deadline = time.monotonic() + plan.max_time
        told = resolution.collect(ahead.canary_names, namespaces, seen.subjects, ask=True, deadline=deadline)
        checks += canary.answered(ahead.canary_names, told)
    elif ahead.canary_names:
        gaps.append("canary names were not asked for: --no-resolve")
    return Outcome((*checks, *tried.records), tried.attempts, tuple(gaps))


class _Outing:
    """The probes, done while the observers watch; when they are, the observation may end."""

    def __init__(self, seen: Snapshot, ahead: Itinerary, watcher: Watcher, seconds: float | None) -> None:
        self.outcome = Outcome()
        self.cut: tuple[str, ...] = ()
        now = watcher.clock()
        self.window = (now, now)
        self._seen, self._ahead, self._watcher, self._seconds = seen, ahead, watcher, seconds

    def go(self, ready: str) -> None:
        """Do it all, then let the observers see what comes of it; called when they are at work."""
        watcher = self._watcher
        watcher.ready(ready)
        began, started = time.monotonic(), watcher.clock()
        watcher.progress("probing")
        answers = [answer for item in self._seen.evidence for answer in item.of(Answer)]
        internal = self._seen.policy.internal
        errands = [
            errand if errand.address else whereabouts.errand(errand, answers, internal)
            for errand in self._ahead.errands
            if errand.need.purpose != "canary"
        ]
        self.outcome = performance.perform(errands, started, watcher.stop)
        watcher.progress("observing")
        ends = time.monotonic() + AFTERWARDS if self._seconds is None else began + self._seconds
        watcher.stop.wait(max(0.0, ends - time.monotonic()))
        observed = time.monotonic() - began
        if self._seconds is not None and self._seconds - observed > 1:
            self.cut = (f"observed {observed:.0f}s of {self._seconds:.0f}s",)
        self.window = (started, watcher.clock())
        watcher.stop.set()


def _evidence(plan: Plan, ahead: Itinerary, canaries: Outcome, needed: Outcome) -> Evidence:
    """Put together what the probes have shown, and say how much of what they should."""
    records = (*canaries.records, *needed.records)
    probes = [record for record in records if isinstance(record, Probe)]
    gaps = [*ahead.faults, *canaries.gaps, *needed.gaps]
    untried = [f"{target_of(probe.remote)} ({probe.detail})" for probe in probes if probe.outcome == "skipped"]
    if untried and not plan.resolve:
        gaps.append("names were not asked for: --no-resolve")
    if untried:
        gaps.append(f"not tried: {some(untried)}")
    counts = Tally[str](probe.outcome for probe in probes)
    return Evidence(
        kind="probes",
        status="partial" if gaps else "complete",
        records=records,
        reason="; ".join(dict.fromkeys(gaps)),
        scope=f"what the policy names, from {', '.join(map(str, ahead.points))}",
        counts={"errands": len(probes), "attempts": len(canaries.attempts) + len(needed.attempts), **counts},
        blind=(*map(str, ahead.omissions), _OWN),
    )
