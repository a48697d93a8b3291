"""Finds the times that nobody can vouch for, from what three clocks said at moments that were close to each other.

CLOCK_MONOTONIC stands still while the machine sleeps, CLOCK_BOOTTIME does not, and CLOCK_REALTIME is what somebody
says that it is, or a time server (clock_gettime(2)). Pure: who looks at the clocks hands over what they said.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Interruption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NANOSECONDS = 1_000_000_000
_SLEPT = 1.0  # seconds; the two clocks are read one after the other, which takes microseconds
_JUMPED = 1.0  # seconds; a time server that steps the clock by less moves no evidence to another place
_DRIFT = 0.001  # a clock that is slewed runs up to this much faster or slower (adjtimex(2): 500 ppm, and as much again)


class Sample(NamedTuple):
    """What the clocks said at one moment: the wall clock, and the kernel's in nanoseconds."""

    wall: datetime
    monotonic: int
    boottime: int


def lapses(samples: Iterable[Sample]) -> Iterator[Interruption]:
    """Yield where the machine slept, or its wall clock jumped, between one sample and the next.

    A wall clock that was set back has the two times change places, as it passes what lies between them twice.
    """
    for before, after in pairwise(samples):
        awake = (after.monotonic - before.monotonic) / _NANOSECONDS
        passed = (after.boottime - before.boottime) / _NANOSECONDS
        first, last = sorted((before.wall, after.wall))
        if passed - awake > _SLEPT:
            yield Interruption(cause="suspended", first=first, last=last, seconds=round(passed - awake))
        jump = (after.wall - before.wall).total_seconds() - passed
        if abs(jump) > _JUMPED + passed * _DRIFT:
            yield Interruption(cause="clock", first=first, last=last, seconds=round(jump))


def gaps(
    interruptions: Sequence[Interruption], start: datetime, end: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the intervals inside a window that interruptions leave uncovered: in order, and none touches another."""
    found: list[tuple[datetime, datetime]] = []
    for one in sorted(interruptions, key=lambda one: one.first):
        first, last = max(one.first, start), min(one.last, end)
        if last - first <= timedelta():
            continue
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)
