"""Adds up what was seen on the wire: each fact once, with its count and its first and last time, in a bounded table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from airgap_check.evidence import Answer, Connection, Question, Request
from airgap_check.observers.observer import Epoch

if TYPE_CHECKING:
    from collections.abc import Hashable

    from airgap_check.dissect.dns import Status

Fact: TypeAlias = Connection | Question | Request | Answer
Moment: TypeAlias = tuple[int, int]  # seconds and nanoseconds of the wall clock, as the kernel stamps packets

_WORST = {
    status: rank for rank, status in enumerate(("asked", "ok", "nodata", "nxdomain", "error", "refused", "servfail"))
}


@dataclass(slots=True)
class _Sighting:
    fact: Fact
    first: Moment
    last: Moment
    count: int = 1


class Sightings:
    """Facts by key. Beyond ``limit`` different ones, new ones are only counted, in ``overflow``."""

    def __init__(self, limit: int) -> None:
        self.overflow = 0
        self._limit = limit
        self._seen: dict[Hashable, _Sighting] = {}
        self._fresh: list[Hashable] = []

    def again(self, key: Hashable, at: Moment) -> bool:
        """Count a fact that is known, or for which there is no room; False: it is to be described and added."""
        sighting = self._seen.get(key)
        if sighting is not None:
            sighting.count += 1
            sighting.first = min(sighting.first, at)
            sighting.last = max(sighting.last, at)
            return True
        if len(self._seen) < self._limit:
            return False
        self.overflow += 1
        return True

    def add(self, key: Hashable, at: Moment, fact: Fact) -> None:
        """Keep a fact that `again` did not know."""
        self._seen[key] = _Sighting(fact, at, at)
        self._fresh.append(key)

    def answered(self, key: Hashable, status: Status) -> None:
        """Note how a question was answered, if that is the worst answer to it so far."""
        sighting = self._seen.get(key)
        if (
            sighting is not None
            and isinstance(sighting.fact, Question)
            and _WORST[status] > _WORST[sighting.fact.status]
        ):
            sighting.fact = replace(sighting.fact, status=status)

    def fresh(self) -> list[Fact]:
        """Return what was added since the last call."""
        keys, self._fresh = self._fresh, []
        return [_record(self._seen[key]) for key in keys]

    def all(self) -> list[Fact]:
        """Return every fact."""
        return [_record(sighting) for sighting in self._seen.values()]


def _record(sighting: _Sighting) -> Fact:
    first = Epoch.at_realtime(*sighting.first)
    if isinstance(sighting.fact, Answer):
        return replace(sighting.fact, first=first)
    return replace(sighting.fact, count=sighting.count, first=first, last=Epoch.at_realtime(*sighting.last))


class Recent:
    """Remembers which keys came lately: at least the last ``span`` different ones, at most twice as many."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._newer: set[Hashable] = set()
        self._older: set[Hashable] = set()

    def is_new(self, key: Hashable) -> bool:
        """Tell whether a key did not come lately, and remember it."""
        if key in self._newer:
            return False
        new = key not in self._older
        self._newer.add(key)
        if len(self._newer) >= self._span:
            self._older, self._newer = self._newer, set()
        return new
