"""A rehearsal: a command in a sealed world that answers like the internet, judged by what it reaches for.

What is seen there is evidence as any other: the same rules judge it by the same policy. Nothing of it is remembered as
a run of this host.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check import audit, engine, snapshot
from airgap_check.errors import AirgapError, UsageError
from airgap_check.evidence import Evidence, Resolver, Setting
from airgap_check.objectos.derive import derive
from airgap_check.policy.allowlist import Allowlist
from airgap_check.rehearsal import line
from airgap_check.rehearsal.inside import Rehearsal
from airgap_check.world.enclosure import Enclosure, SealError, Surroundings
from airgap_check.world.meeting import Orders

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.plan import Plan, Watcher
    from airgap_check.policy import Policy
    from airgap_check.rehearsal.wish import Wish


_TICK = 0.1  # seconds


class FaultError(AirgapError):
    """A fault of ours, inside; the text is its traceback."""


class Stage:
    """A rehearsal that has begun: made before any thread, as processes are forked; `play` waits for its end."""

    def __init__(self, plan: Plan, wish: Wish, clock: Callable[[], datetime]) -> None:
        """Load policy and rules, seal the world and let the command start. Raises `UsageError` with every fault.

        Where this machine does not let us seal a world nothing starts, and the report says why.
        """
        self._plan = plan
        self._rules, self._given = audit.load(plan)
        _check_through(wish, self._given, clock().date())
        self._inspection = replace(audit.begin(plan, clock()), source="rehearsal", claim="observed")
        inner = replace(plan, resolve=False, state="", every_owner=True)
        rehearsal = Rehearsal(wish, inner, self._given, self._inspection, clock)
        orders = Orders(world=wish.world, through=dict(wish.through), trusted=wish.trusted)
        self._enclosure: Enclosure | None = None
        self._unsealed = ""
        try:
            around = Surroundings(self._inspection.started, wish.environ, wish.published)
            self._enclosure = Enclosure(orders, around, rehearsal.perform)
        except SealError as error:
            self._unsealed = str(error)
        finally:
            for listener in wish.published.values():
                listener.close()

    def play(self, watcher: Watcher) -> audit.Done:
        """Wait until the rehearsal is over, or somebody says stop, and judge it. Raises `UsageError`."""
        if self._enclosure is None:
            return self._judge(_unseen(self._unsealed), self._inspection, watcher)
        with self._enclosure as enclosure:
            told = _listen(enclosure, watcher)
        if isinstance(told, line.Unseen):
            return self._judge(_unseen(told.reason), self._inspection, watcher)
        relaxed = (*self._inspection.relaxed, *([told.cut] if told.cut else []))
        inspection = replace(self._inspection, self_test=told.trials, relaxed=relaxed)
        return self._judge(told.evidence, inspection, watcher)

    def _judge(self, evidence: tuple[Evidence, ...], inspection: Inspection, watcher: Watcher) -> audit.Done:
        policy = self._given or _derived(evidence)
        inspection = audit.conclude(inspection, policy, [*evidence, snapshot.trust(policy)], watcher.clock())
        watcher.progress("judging")
        report = engine.judge(inspection, self._rules, policy, self._plan.terms)
        return audit.Done(self._plan, inspection, report, policy, self._rules)


def _listen(enclosure: Enclosure, watcher: Watcher) -> line.Outcome | line.Unseen:
    """Hear what the rehearsal tells, until its outcome; whoever says stop ends it, and has the outcome, too."""
    ended = threading.Event()

    def pass_on() -> None:
        while not (watcher.stop.wait(_TICK) or ended.is_set()):
            pass
        if not ended.is_set():
            enclosure.halt()

    passing = threading.Thread(target=pass_on, name="stop", daemon=True)
    passing.start()
    try:
        for told in line.read(enclosure.output):
            match told:
                case line.Stage():
                    watcher.progress(told.text)
                case line.Refused():
                    raise UsageError(told.reason)
                case line.Failed():
                    raise FaultError(told.traceback)
                case line.Outcome() | line.Unseen():
                    return told
    finally:
        ended.set()
        passing.join()
    raise FaultError("the rehearsal ended without a word: somebody has killed it")


def _unseen(reason: str) -> tuple[Evidence, ...]:
    return (Evidence(kind="world", status="unavailable", reason=reason),)


def _derived(evidence: tuple[Evidence, ...]) -> Policy:
    settings = [record for item in evidence for record in item.of(Setting)]
    resolvers = [record for item in evidence for record in item.of(Resolver)]
    return derive(settings, resolvers)


def _check_through(wish: Wish, policy: Policy | None, today: date) -> None:
    """Refuse to connect a name to a real service that the policy does not approve."""
    if not wish.through:
        return
    if policy is None:
        raise UsageError("--allow-through is for names that a policy approves: add --policy FILE")
    allowlist = Allowlist(policy, (), today)
    for name, place in wish.through.items():
        host = name.rpartition(":")[0] or name
        if not allowlist.covers_name(host):
            raise UsageError(f"--allow-through {name}={place}: no entry of the policy allows that name")
