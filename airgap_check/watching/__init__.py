"""A collection that takes its time: observers from the first second to the last, and a snapshot at each end."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple, Self

from msgspec.structs import replace

from airgap_check import snapshot
from airgap_check.evidence import Evidence, Runtime
from airgap_check.kernel import netns
from airgap_check.kernel.sieve import NOTHING
from airgap_check.observers.observer import Epoch
from airgap_check.plan import Observing
from airgap_check.watching import lapse
from airgap_check.watching.lapse import Sample
from airgap_check.watching.news import News
from airgap_check.watching.observation import Observation
from airgap_check.watching.sieving import sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from types import TracebackType

    from airgap_check.evidence import Interruption
    from airgap_check.evidence.inspection import Inspection, Trial
    from airgap_check.plan import Plan, Watcher
    from airgap_check.policy import Policy
    from airgap_check.rule import RuleSet
    from airgap_check.snapshot import Snapshot
    from airgap_check.watching.news import Notice

_LOOK = 2.0  # seconds between two looks at what is new
_DAY = 86_400  # seconds
_ASK_AGAIN = 600.0  # seconds after which the names of the allowlist are asked for anew
_INTERRUPTIONS = 1000  # that are kept one by one; a machine that sleeps more often than that is a laptop


class Watched(NamedTuple):
    """What was seen, the policy in force, our own attempts, the digest of the policy that the kernel applied.

    ``cut`` says how much shorter than wanted the observation was, when somebody ended it; ``gaps`` are the times within
    it that nobody can vouch for.
    """

    evidence: list[Evidence]
    policy: Policy
    trials: tuple[Trial, ...]
    filtered_by: str | None
    cut: str | None
    gaps: tuple[tuple[datetime, datetime], ...] = ()


class Law(NamedTuple):
    """What is judged by; ``policy`` is None where one has to be derived from what is seen."""

    rules: RuleSet
    policy: Policy | None

    def same(self, other: Law) -> bool:
        """Tell whether another one says the same."""
        mine, theirs = (law.policy.sha256 if law.policy else None for law in (self, other))
        return (mine, self.rules.sha256) == (theirs, other.rules.sha256)


class Stretch:
    """A time under observation: open from its construction on, judged by one policy, closed for good at its end.

    ``last`` is the day until when the kernel may apply the policy: what expires before is decided in user space, by
    the day on which it happened. ``lapses`` are the times that nobody can vouch for, as far as they are known.
    """

    def __init__(self, plan: Plan, watcher: Watcher, law: Law, inspection: Inspection, last: date) -> None:
        """Attach the observers; whatever happens from now on counts. A derived policy filters nothing in the kernel."""
        self.lapses: list[Interruption] = []
        self.news: News | None = None
        self.law, self.inspection = law, inspection
        self._plan, self._watcher = plan, watcher
        self._sifted = sieve(law.policy, last) if law.policy else NOTHING
        self._sample = self._clocks()
        epoch = Epoch(self._sample.wall, self._sample.monotonic, self._sample.boottime)
        watcher.progress("attaching observers")
        self._observation = Observation(plan.observing or Observing(), self._sifted, epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back to the kernel; may be called more than once."""
        self._observation.__exit__(None, None, None)

    def begin(self, elder: News | None = None) -> None:
        """Show that the observers see, take the first snapshot, and know what ``elder`` has told."""
        self._watcher.progress("testing that they see")
        self._observation.begin()
        self.began = self._asked = time.monotonic()
        self._seen = snapshot.take(self._plan, self.law.policy, self.inspection, self._watcher.progress)
        self._observation.look_into({runtime.netns for runtime in _runtimes(self._seen) if runtime.netns})
        self.news = News(self.law.rules, self._seen.policy, self._plan.terms, elder)
        self._watcher.progress("observing")

    def kinds(self) -> str:
        """Name the observers that are at work."""
        return ", ".join(self._observation.kinds())

    def look(self, tell: Callable[[Notice], None]) -> None:
        """Tell what is new. Raises what the observers failed of: while this returns, they are at work."""
        self._notice_lapses()
        now = time.monotonic()
        if now - self._asked > _ASK_AGAIN:
            self._asked = now
            self._ask_again(now)
        names = tuple(item for item in self._seen.evidence if item.kind == "resolution")
        assert self.news is not None, "it has begun"
        for notice in self.news.of(replace(self.inspection, evidence=names), self._observation.fresh(), now):
            tell(notice)

    def end(self) -> Watched:
        """Stop watching, look once more, and return everything that was seen."""
        watched, wanted = time.monotonic() - self.began, self._plan.observing and self._plan.observing.seconds
        evidence = snapshot.again(self._plan, self._seen, self.inspection.started.date(), self._watcher.progress)
        observed = self._observation.finish()
        self._notice_lapses()
        if self.lapses:
            evidence.append(
                Evidence(
                    kind="continuity", status="complete", records=tuple(self.lapses), scope="while this run observed"
                )
            )
        attached = any(item.kind == "attempts" and item.status != "unavailable" for item in observed)
        return Watched(
            [*evidence, *observed],
            self._seen.policy,
            self._observation.trials,
            self._sifted.digest if attached and self._sifted.networks else None,
            f"observed {watched:.0f}s of {wanted:.0f}s" if wanted and wanted - watched > 1 else None,
            lapse.gaps(self.lapses, self.inspection.started, self._watcher.clock()),
        )

    def _ask_again(self, now: float) -> None:
        """Ask anew what the names of the allowlist lead to."""
        namespaces, _ = netns.discover()
        named = snapshot.look_up(self._plan, self._seen, namespaces, now + self._plan.max_time)
        self._seen = self._seen._replace(evidence=snapshot.joined("resolution", self._seen.evidence, named))

    def _notice_lapses(self) -> None:
        before, self._sample = self._sample, self._clocks()
        room = max(0, _INTERRUPTIONS - len(self.lapses))
        self.lapses += list(lapse.lapses((before, self._sample)))[:room]

    def _clocks(self) -> Sample:
        return Sample(self._watcher.clock(), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


def observe(plan: Plan, watcher: Watcher, *, rules: RuleSet, given: Policy | None, inspection: Inspection) -> Watched:
    """Watch this host until the time is over or somebody says stop."""
    seconds = plan.observing.seconds if plan.observing else None
    with Stretch(plan, watcher, Law(rules, given), inspection, last_day(inspection.started, seconds)) as stretch:
        stretch.begin()
        watcher.ready(f"watching: {stretch.kinds()} (Ctrl-C ends with the report)")
        for _ in looks(watcher, stretch.began + seconds if seconds else None):
            stretch.look(lambda notice: watcher.tell(notice.text))
        return stretch.end()


def last_day(started: datetime, seconds: float | None) -> date:
    """Return the last day that an observation may reach."""
    return date.max if seconds is None else started.date() + timedelta(days=1 + seconds // _DAY)


def looks(watcher: Watcher, ends: float | None) -> Iterator[None]:
    """Yield every few seconds, until a time by the monotonic clock, or until somebody says stop."""
    while not watcher.stop.wait(_LOOK if ends is None else max(0.0, min(_LOOK, ends - time.monotonic()))):
        if ends is not None and time.monotonic() >= ends:
            return
        yield


def _runtimes(seen: Snapshot) -> list[Runtime]:
    return [runtime for evidence in seen.evidence for runtime in evidence.of(Runtime)]
