"""A watch in rounds: each ends with a report of its own, and the next one sees before the last one looks away.

What was seen under a policy is judged by that policy: a new one begins another round. So does a clock that cannot be
vouched for any more, as it is what the times of observations are told by. Memory is that of one round.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check import audit, engine
from airgap_check.errors import AirgapError, UsageError
from airgap_check.evidence import Answer, Evidence
from airgap_check.objectos.derive import derive
from airgap_check.remembrance import remembered
from airgap_check.watching import Law, Stretch, last_day, looks
from airgap_check.watching.news import Notice

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from airgap_check.audit import Done
    from airgap_check.plan import Plan, Watcher
    from airgap_check.remembrance import Remembrance
    from airgap_check.service import Manager

_ANSWERS = 20_000  # that are handed on from round to round; the oldest are forgotten first
_ANOTHER_TRY = 60.0  # seconds until a round that could not begin is tried again
_FAULTS = 20  # of a policy that is refused, told one by one


class Outcome(NamedTuple):
    """What a round has come to; ``final`` is set when none follows."""

    done: Done
    final: bool


class Audience(NamedTuple):
    """Who is with a watch: ``reread`` is set when policy and rules are to be read again, ``tell`` hears each line."""

    reread: threading.Event
    tell: Callable[[Notice], None]
    manager: Manager


def run(plan: Plan, watcher: Watcher, audience: Audience) -> Iterator[Outcome]:
    """Watch until somebody says stop; yield what each round has come to, the last one last. Close it to stop at once.

    Rounds last ``plan.every`` seconds. Raises `UsageError` for a policy or rules that are invalid from the start.
    """
    law = Law(*audit.load(plan))
    inspection = audit.begin(plan, watcher.clock())
    with remembered(plan, inspection) as remembrance:
        rounds = _Rounds(plan, watcher, audience, remembrance)
        try:
            yield from rounds.from_the(rounds.begin(law, None))
        finally:
            rounds.close()


class _Rounds:
    """The rounds of one watch; two of them are open while one hands over to the next."""

    def __init__(self, plan: Plan, watcher: Watcher, audience: Audience, remembrance: Remembrance) -> None:
        self._plan, self._watcher, self._audience, self._remembrance = plan, watcher, audience, remembrance
        self._open: list[Stretch] = []
        self._known: tuple[Answer, ...] = ()
        self._reported = False

    def close(self) -> None:
        """Stop watching."""
        for stretch in self._open:
            stretch.close()

    def begin(self, law: Law, before: Stretch | None) -> Stretch:
        """Begin a round, while the one before still watches."""
        inspection = audit.begin(self._plan, self._watcher.clock())
        stretch = Stretch(self._plan, self._watcher, law, inspection, last_day(inspection.started, None))
        self._open.append(stretch)
        stretch.begin(before.news if before else None)
        return stretch

    def from_the(self, stretch: Stretch) -> Iterator[Outcome]:
        """Yield what this round, and each that follows, has come to."""
        self._watcher.ready(f"watching: {stretch.kinds()} (Ctrl-C ends with the report)")
        status = f"watching: {stretch.kinds()}"
        while True:
            self._audience.manager.ready(status)
            following = self._attend(stretch)
            if following is None:
                self._audience.manager.stopping()
            in_force = (following or stretch).law.policy or derive([])
            done = self._conclude(stretch, following)._replace(in_force=in_force)
            yield Outcome(done, following is None)
            if following is None:
                return
            stretch, status = following, f"watching: {following.kinds()}; the last report: {done.report.verdict}"

    def _attend(self, stretch: Stretch) -> Stretch | None:
        """Look at what is new until another round has begun, and return it; None to stop."""
        law, told, again = None, 0, 0.0
        for _ in looks(self._watcher, None):
            stretch.look(self._audience.tell)
            self._audience.manager.alive()  # the observers are at work: that they fail would have been raised
            if self._audience.reread.is_set():
                self._audience.reread.clear()
                law, again = self._reread(stretch), 0.0
            for one in stretch.lapses[told:]:
                self._audience.tell(Notice("medium", f"nobody can vouch for {abs(one.seconds)} s: {one.cause}"))
            told, now = len(stretch.lapses), time.monotonic()
            due = self._plan.every is not None and now - stretch.began >= self._plan.every
            if (law or due or told) and now >= again:
                if following := self._next(law or stretch.law, stretch):
                    return following
                again = now + _ANOTHER_TRY
        return None

    def _next(self, law: Law, before: Stretch) -> Stretch | None:
        """Begin the round after this one, which goes on where that fails: who looks away sees nothing."""
        try:
            return self.begin(law, before)
        except AirgapError as error:
            for half in (one for one in self._open if one is not before):
                half.close()
            self._open = [before]
            why = f"{error}; it is tried again every {_ANOTHER_TRY:.0f} s"
            self._audience.tell(Notice("high", f"another round cannot begin, and this one not be reported: {why}"))
            return None

    def _reread(self, stretch: Stretch) -> Law | None:
        """Read policy and rules again; None where those in force stay so."""
        tell = self._audience.tell
        self._audience.manager.reloading()
        try:
            law = Law(*audit.load(self._plan))
        except UsageError as error:
            faults = str(error).splitlines()
            tell(Notice("high", "reload: refused; the policy and the rules of before stay in force"))
            for fault in faults[:_FAULTS]:
                tell(Notice("high", f"reload: {fault}"))
            if len(faults) > _FAULTS:
                tell(Notice("high", f"reload: and {len(faults) - _FAULTS} more faults"))
        else:
            if not stretch.law.same(law):
                tell(
                    Notice(None, "reload: a new policy, or new rules, from now on; a report ends what was seen before")
                )
                return law
            tell(Notice(None, "reload: nothing has changed"))
        self._audience.manager.ready(f"watching: {stretch.kinds()}")
        return None

    def _conclude(self, stretch: Stretch, following: Stretch | None) -> Done:
        """End a round, and judge it by its own law. It covers the time until the following one began."""
        watched = stretch.end()
        stretch.close()
        self._open.remove(stretch)
        evidence = _completed(watched.evidence, self._known)
        self._known = _answers(evidence)
        if not self._reported:  # what lies before the first round was asked when it began
            evidence = self._remembrance.with_continuity(evidence)
            self._reported = True
        inspection = audit.observed(stretch.inspection, watched)
        end = following.inspection.started if following else self._watcher.clock()
        inspection = audit.conclude(inspection, watched.policy, evidence, max(end, inspection.started))
        self._watcher.progress("judging")
        report = engine.judge(inspection, stretch.law.rules, watched.policy, self._plan.terms)
        change = self._remembrance.keep(report, self._watcher.changed, final=following is None)
        trouble = self._remembrance.trouble
        return audit.Done(self._plan, inspection, report, watched.policy, stretch.law.rules, change, trouble)


def _answers(evidence: Sequence[Evidence]) -> tuple[Answer, ...]:
    """Return what names were seen to lead to, as it was first seen: connections outlive rounds."""
    found: dict[Answer, Answer] = {}
    for answer in (answer for item in evidence for answer in item.of(Answer)):
        if answer.source == "observed" and answer.status == "ok":
            found.setdefault(replace(answer, first=None, ttl=None), answer)
    return tuple(found.values())[-_ANSWERS:]


def _completed(evidence: Sequence[Evidence], known: Sequence[Answer]) -> list[Evidence]:
    """Add to what was seen on the wire what earlier rounds had seen there."""
    return [
        replace(item, records=tuple(dict.fromkeys((*known, *item.records)))) if item.kind == "traffic" else item
        for item in evidence
    ]
