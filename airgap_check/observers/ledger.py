"""Keeps the facts of an observation with their counts, in a memory that has an end however long we observe.

A fact is counted by the lines of the kernel's table that it was seen in: one for each process, hook and socket.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

if TYPE_CHECKING:
    from airgap_check.evidence import Connection

_PROCESSES = 8  # that are told apart where nothing but the process differs; one fact stands for all beyond
_OWN_LINES = 2  # of each fact that are kept as long as it is
_LINES = 1 << 14  # kept beyond those, of all facts together

Kind = Literal["connect", "send", "mapped send", "packet"]
Key = tuple[object, ...]


class Sum(NamedTuple):
    """A fact with how often it was seen, and when first and last (CLOCK_MONOTONIC, nanoseconds)."""

    record: Connection
    times: int
    first: int
    last: int


class _Fact:
    """A fact. ``record`` names the latest of its processes; ``past`` counts what lines that were given up had seen."""

    __slots__ = ("first", "kinds", "last", "lines", "past", "record")

    def __init__(self, record: Connection, at: int) -> None:
        self.record = record
        self.kinds: set[Kind] = set()
        self.past: Counter[Kind] = Counter()
        self.first = self.last = at
        self.lines = 0

    def stated(self) -> Connection:
        """Return the record; nobody has seen data go where an UDP socket was connected only (RFC 6724 2)."""
        if self.record.protocol == "udp" and self.record.state == "attempt" and self.kinds == {"connect"}:
            return replace(self.record, state="connect")
        return self.record


class _Line:
    """A line of the kernel's table. ``earlier`` counts its earlier lives there, ``now`` this one."""

    __slots__ = ("earlier", "fact", "kind", "last", "now")

    def __init__(self, fact: _Fact, kind: Kind, at: int) -> None:
        self.fact, self.kind = fact, kind
        self.earlier, self.now = 0, 1
        self.last = at


class Ledger:
    """At most ``limit`` facts; ``unkept`` counts the lines of those beyond.

    Where many processes do the same, the first few are facts of their own, and all others together are one. What is
    seen again in a line that had to be given up is not counted.
    """

    def __init__(self, limit: int) -> None:
        self.unkept = 0
        self._limit = limit
        self._lines: dict[Key, _Line] = {}
        self._passing: dict[Key, _Line] = {}  # those that may be given up, the oldest first
        self._given_up = 0  # what they had seen again
        self._facts: dict[Connection, _Fact] = {}
        self._alike: dict[Connection, int] = {}  # how many facts differ by nothing but the process
        self._fresh: list[Sum] = []

    def again(self, key: Key, at: int) -> bool:
        """Count a line that began again; False for one that is not known."""
        line = self._line(key)
        if line is None:
            return False
        line.earlier += line.now
        line.now, line.last = 1, max(line.last, at)
        return True

    def add(self, key: Key, record: Connection, kind: Kind, at: int) -> None:
        """Keep a line that is not known, and its fact, whose state is *connect* until data was seen."""
        fact = self._fact(record, at)
        if fact is None:
            self.unkept += 1
            return
        before = fact.stated().state if fact.kinds else None
        fact.kinds.add(kind)
        if fact.stated().state != before:
            self._fresh.append(Sum(fact.stated(), 1, at, at))
        line = _Line(fact, kind, at)
        if fact.lines < _OWN_LINES:
            fact.lines += 1
            self._lines[key] = line
            return
        self._passing[key] = line
        if len(self._passing) > _LINES:
            self._give_up(next(iter(self._passing)))

    def count(self, key: Key, times: int, first: int, last: int) -> None:
        """Take in what the kernel's table says of a line. It may have ended and begun again: it never counts back."""
        line = self._line(key)
        if line is not None:
            line.now = max(line.now, times) if first <= line.last else times
            line.last = max(line.last, last)

    def fresh(self) -> list[Sum]:
        """Return the facts that are new, or in a new state, since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def sums(self) -> list[Sum]:
        """Return every fact."""
        counts = {fact: Counter(fact.past) for fact in self._facts.values()}
        lasts = {fact: fact.last for fact in self._facts.values()}
        for line in (*self._lines.values(), *self._passing.values()):
            counts[line.fact][line.kind] += line.earlier + line.now
            lasts[line.fact] = max(lasts[line.fact], line.last)
        return [Sum(fact.stated(), _together(seen), fact.first, lasts[fact]) for fact, seen in counts.items()]

    def repeats(self) -> int:
        """Return how often what was seen was seen again."""
        kept = (*self._lines.values(), *self._passing.values())
        return self._given_up + sum(line.earlier + line.now - 1 for line in kept)

    def _line(self, key: Key) -> _Line | None:
        return self._lines.get(key) or self._passing.get(key)

    def _fact(self, record: Connection, at: int) -> _Fact | None:
        """Return the fact of a record, a new one if need be; None where there is no room."""
        fact = self._facts.get(record)
        if fact is not None:
            return fact
        alike, key = _of_any_process(record), record
        if self._alike.get(alike, 0) >= _PROCESSES:
            key, fact = alike, self._facts.get(alike)
        if fact is not None:
            fact.record = record
            return fact
        if len(self._facts) >= self._limit:
            return None
        self._alike[alike] = self._alike.get(alike, 0) + 1
        fact = self._facts[key] = _Fact(record, at)
        return fact

    def _give_up(self, key: Key) -> None:
        line = self._passing.pop(key)
        line.fact.past[line.kind] += line.earlier + line.now
        line.fact.last = max(line.fact.last, line.last)
        self._given_up += line.earlier + line.now - 1


def _of_any_process(record: Connection) -> Connection:
    """Return what records share that differ by nothing but the number and start of the process."""
    return record if record.process is None else replace(record, process=replace(record.process, pid=0, started=None))


def _together(counts: Counter[Kind]) -> int:
    """Return how many attempts these lines are: a socket that connects and then sends passes several hooks."""
    tried = counts["connect"] + counts["send"]
    return tried + (0 if counts["connect"] else counts["mapped send"]) or counts["packet"]
