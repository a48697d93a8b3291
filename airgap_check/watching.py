"""A collection that takes its time: observers from the first second to the last, and a snapshot at each end."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check import snapshot
from airgap_check.evidence import Runtime
from airgap_check.kernel import netns
from airgap_check.kernel.sieve import NOTHING
from airgap_check.news import News
from airgap_check.observation import Observation
from airgap_check.observers.observer import Epoch
from airgap_check.plan import Observing
from airgap_check.sieving import sieve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import Evidence
    from airgap_check.inspection import Inspection, Trial
    from airgap_check.plan import Plan, Watcher
    from airgap_check.policy import Policy
    from airgap_check.rule import RuleSet
    from airgap_check.snapshot import Snapshot

_LOOK = 2.0  # seconds between two looks at what is new
_DAY = 86_400  # seconds
_ASK_AGAIN = 600.0  # seconds after which the names of the allowlist are asked for anew


class Watched(NamedTuple):
    """What was seen, the policy in force, our own attempts, the digest of the policy that the kernel applied.

    ``cut`` says how much shorter than wanted the observation was, when somebody ended it.
    """

    evidence: list[Evidence]
    policy: Policy
    trials: tuple[Trial, ...]
    filtered_by: str | None
    cut: str | None


def observe(plan: Plan, watcher: Watcher, *, rules: RuleSet, given: Policy | None, inspection: Inspection) -> Watched:
    """Watch this host until the time is over or somebody says stop. A derived policy filters nothing in the kernel."""
    observing = plan.observing or Observing()
    today = inspection.started.date()
    epoch = Epoch(inspection.started, time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    # What expires while we watch is decided in user space, by the day on which it happened.
    last = date.max if observing.seconds is None else today + timedelta(days=1 + observing.seconds // _DAY)
    sifted = sieve(given, last) if given else NOTHING
    watcher.progress("attaching observers")
    with Observation(observing, sifted, epoch) as observation:
        watcher.progress("testing that they see")
        observation.begin()
        began = time.monotonic()
        ends = began + observing.seconds if observing.seconds else None
        first = snapshot.take(plan, given, inspection, watcher.progress)
        observation.look_into({runtime.netns for runtime in _runtimes(first) if runtime.netns})
        watcher.progress("observing")
        watcher.ready(f"watching: {', '.join(observation.kinds())} (Ctrl-C ends with the report)")
        news = News(rules, first.policy, plan.terms)
        for seen in _while_time_passes(plan, watcher, first, ends):
            first = seen
            context = replace(inspection, evidence=tuple(item for item in seen.evidence if item.kind == "resolution"))
            for line in news.of(context, observation.fresh()):
                watcher.tell(line)
        watched = time.monotonic() - began
        evidence = snapshot.again(plan, first, today, watcher.progress)
        observed = observation.finish()
    attached = any(item.kind == "attempts" and item.status != "unavailable" for item in observed)
    filtered = sifted.digest if attached and sifted.networks else None
    missing = observing.seconds is not None and observing.seconds - watched > 1
    cut = f"observed {watched:.0f}s of {observing.seconds:.0f}s" if missing and observing.seconds else None
    return Watched([*evidence, *observed], first.policy, observation.trials, filtered, cut)


def _runtimes(seen: Snapshot) -> list[Runtime]:
    return [runtime for evidence in seen.evidence for runtime in evidence.of(Runtime)]


def _while_time_passes(plan: Plan, watcher: Watcher, seen: Snapshot, ends: float | None) -> Iterator[Snapshot]:
    """Yield every few seconds until it is over: the snapshot, with what names lead to asked anew now and then."""
    asked = time.monotonic()
    while not watcher.stop.wait(_LOOK if ends is None else max(0.0, min(_LOOK, ends - time.monotonic()))):
        now = time.monotonic()
        if ends is not None and now >= ends:
            return
        if now - asked > _ASK_AGAIN:
            asked = now
            namespaces, _ = netns.discover()
            named = snapshot.look_up(plan, seen, namespaces, now + plan.max_time)
            seen = seen._replace(evidence=snapshot.joined("resolution", seen.evidence, named))
        yield seen
