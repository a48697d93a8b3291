"""What a driver did and when: the visits that what a command reached for can be tied to."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

Outcome = Literal["done", "failed", "skipped"]

MOST_VISITS = 10_000
_LABEL, _DETAIL = 256, 160  # characters


class Entry(NamedTuple):
    """A visit that has ended; the times are CLOCK_MONOTONIC in nanoseconds."""

    label: str
    outcome: Outcome
    detail: str
    began_ns: int
    ended_ns: int


class Remark:
    """What is to be said of a visit under way; *done* unless somebody says otherwise."""

    def __init__(self) -> None:
        self.outcome: Outcome = "done"
        self.detail = ""

    def say(self, outcome: Outcome, detail: str) -> None:
        """Say how it went, in words that hold no secret."""
        self.outcome, self.detail = outcome, detail


class Diary:
    """The visits of all drivers of a rehearsal, and the processes that are theirs and not the command's.

    One thread writes; another may read. ``own_pids`` are leaders of sessions, so their offspring can be told as well.
    ``lost`` counts visits beyond `MOST_VISITS`, which are not kept; ``omitted`` says what was left out on purpose.
    """

    def __init__(self) -> None:
        self.visits: list[Entry] = []
        self.own_pids: set[int] = set()
        self.lost = 0
        self.omitted: list[str] = []
        self._under_way: list[tuple[str, int]] = []

    @contextmanager
    def visiting(self, label: str) -> Iterator[Remark]:
        """Keep a visit for as long as the context lasts; visits may lie within one another."""
        label = printable(label)[:_LABEL]
        remark = Remark()
        began = time.monotonic_ns()
        self._under_way.append((label, began))
        try:
            yield remark
        except BaseException as error:
            remark.say("failed", remark.detail or type(error).__name__)
            raise
        finally:
            self._under_way.pop()
            detail = printable(remark.detail)[:_DETAIL]
            self._keep(Entry(label, remark.outcome, detail, began, time.monotonic_ns()))

    def skip(self, label: str, reason: str) -> None:
        """Keep that a visit was not made, and why."""
        with self.visiting(label) as remark:
            remark.say("skipped", reason)

    def at(self, nanoseconds: int) -> str | None:
        """Return the label of the innermost visit under way at a moment; None where there was none."""
        past = [
            (entry.began_ns, entry.label) for entry in self.visits if entry.began_ns <= nanoseconds < entry.ended_ns
        ]
        now = [(began, label) for label, began in tuple(self._under_way) if began <= nanoseconds]
        return max(past + now, key=lambda found: found[0])[1] if past or now else None

    def _keep(self, entry: Entry) -> None:
        if len(self.visits) < MOST_VISITS:
            self.visits.append(entry)
        else:
            self.lost += 1
