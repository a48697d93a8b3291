"""Pairs the packets of both directions by columns, with numpy, and tells which end began, as `conversation` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from airgap_check.captures.conversation import (
    ACCEPTED,
    BEGAN,
    EPHEMERAL,
    GUESSED,
    HIGHER,
    RESERVED,
    SURE,
    UNKNOWN,
)
from airgap_check.captures.tally import Flow
from airgap_check.dissect.packet import ICMP, ICMPV6, TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.captures.tally import Tally

Column = NDArray[Any]

_WORDS = 5
_ENOUGH = 1 << 18  # conversations of windows that wait to be merged into the table
_CERTAINTIES = (SURE, GUESSED, UNKNOWN)
_ATTEMPTS = 16


class Rows(NamedTuple):
    """Packets, or what they were merged into, in the order of the capture.

    ``words`` are five 64-bit numbers a row that name the conversation: both halves of the lower end's address and of
    the higher one's, and one with the ports, the protocol and the version of IP. ``signs`` are those of `conversation`.
    """

    words: Column
    signs: Column
    higher_first: Column  # whether the higher end sent the first packet
    first: Column  # nanoseconds
    last: Column
    weight: Column  # packets, or conversations

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Join parts end to end."""
        return parts[0] if len(parts) == 1 else cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def chosen(self, places: Column) -> Rows:
        """Return the rows at some places."""
        return Rows(*(column[places] for column in self))


class Ends(NamedTuple):
    """Who sent packets to whom: halves of addresses (an IPv4 address is a low half), and ports."""

    source_half: Column
    source: Column
    source_port: Column
    target_half: Column
    target: Column
    target_port: Column

    def chosen(self, rows: Column) -> Ends:
        """Return some of the rows."""
        return Ends(*(column[rows] for column in self))

    def followed_by(self, other: Ends) -> Ends:
        """Return these rows and then those."""
        return Ends(*map(np.concatenate, zip(self, other, strict=True)))


def rows(ends: Ends, protocol: Column, version: Column, signs: Column, times: Column) -> Rows:
    """Turn packets into rows, the lower end first."""
    higher = (ends.source_half > ends.target_half) | (
        (ends.source_half == ends.target_half)
        & ((ends.source > ends.target) | ((ends.source == ends.target) & (ends.source_port > ends.target_port)))
    )
    words = np.empty((len(higher), _WORDS), np.uint64)
    words[:, 0] = np.where(higher, ends.target_half, ends.source_half)
    words[:, 1] = np.where(higher, ends.target, ends.source)
    words[:, 2] = np.where(higher, ends.source_half, ends.target_half)
    words[:, 3] = np.where(higher, ends.source, ends.target)
    low_port = np.where(higher, ends.target_port, ends.source_port)
    high_port = np.where(higher, ends.source_port, ends.target_port)
    words[:, 4] = low_port << 32 | high_port << 16 | protocol << 8 | version
    return Rows(words, signs << (higher * HIGHER), higher, times, times, np.ones(len(higher), np.int64))


class FlowTable:
    """Every conversation so far, at most so many as the tally takes; those that came first stay."""

    def __init__(self, tally: Tally) -> None:
        """Tell the tally in the end."""
        self._tally = tally
        self._table: Rows | None = None
        self._waiting: list[Rows] = []
        self._lost = 0

    def add(self, packets: Rows) -> None:
        """Take packets that follow those before."""
        self._waiting.append(_merged(packets))
        known = 0 if self._table is None else len(self._table.weight)
        if sum(len(part.weight) for part in self._waiting) > max(_ENOUGH, known):
            self._merge()

    def close(self) -> int:
        """Tell the tally of every flow; return how many packets belonged to conversations beyond the bound."""
        self._merge()
        if self._table is not None and len(self._table.weight):
            flows = _merged(_flows(self._table))
            for words, first, last, count in zip(
                flows.words.tolist(), flows.first.tolist(), flows.last.tolist(), flows.weight.tolist(), strict=True
            ):
                self._tally.flow(_flow(words), first, last, count)
        return self._lost

    def _merge(self) -> None:
        parts = [] if self._table is None else [self._table]
        parts += self._waiting
        self._waiting = []
        if not parts:
            return
        table = _merged(Rows.joined(parts))
        most = self._tally.most_flows
        self._lost += int(table.weight[most:].sum())
        self._table = table.chosen(np.arange(min(most, len(table.weight))))


def digest(columns: Sequence[Column], seeds: Column) -> Column:
    """Return a 64-bit number a row, as good as random to whoever does not know the seeds (odd, one a column)."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column, seed in zip(columns, seeds, strict=True):
        mixed ^= column.astype(np.uint64)
        mixed *= seed
        mixed ^= mixed >> np.uint64(31)
    return mixed


def new_seeds() -> Column:
    """Draw seeds, so that nobody can prepare packets that collide."""
    return np.random.default_rng().integers(1 << 62, dtype=np.uint64, size=_WORDS) * np.uint64(2) + np.uint64(1)


def _merged(found: Rows) -> Rows:
    """Merge the rows of one conversation into one, in the order of their first appearance."""
    if not len(found.weight):
        return found
    order, starts = _grouped(found.words)
    leaders = order[starts]
    merged = Rows(
        found.words[leaders],
        np.bitwise_or.reduceat(found.signs[order], starts),
        found.higher_first[leaders],
        np.minimum.reduceat(found.first[order], starts),
        np.maximum.reduceat(found.last[order], starts),
        np.add.reduceat(found.weight[order], starts),
    )
    return merged.chosen(np.argsort(leaders))


def _grouped(words: Column) -> tuple[Column, Column]:
    """Order rows so that equal ones stand together, the first one first; return where each group starts too."""
    for _ in range(_ATTEMPTS):
        digests = digest([words[:, number] for number in range(_WORDS)], new_seeds())
        order = np.argsort(digests, kind="stable")
        placed = digests[order]
        starts = np.flatnonzero(np.concatenate(([True], placed[1:] != placed[:-1])))
        group = np.cumsum(np.concatenate(([False], placed[1:] != placed[:-1])))
        if (words[order] == words[order[starts]][group]).all():
            return order, starts
    raise AssertionError("digests collide whatever the seeds")


def _flows(table: Rows) -> Rows:
    """Turn conversations into flows: the initiator first, the responder's port, and how certain that is."""
    last_word = table.words[:, 4].astype(np.int64)
    low_port, high_port, protocol = last_word >> 32, last_word >> 16 & 0xFFFF, last_word >> 8 & 0xFF
    low_began = table.signs & BEGAN != 0
    high_began = table.signs & (BEGAN << HIGHER) != 0
    low_accepted, high_accepted = table.signs & ACCEPTED != 0, table.signs & (ACCEPTED << HIGHER) != 0
    is_icmp = (protocol == ICMP) | (protocol == ICMPV6)
    by_higher, certainty = _guessed(table, low_port, high_port, protocol)
    accepted = (low_accepted | high_accepted) & ~is_icmp
    by_higher = np.where(accepted, low_accepted, by_higher)
    by_higher = np.where(low_began | high_began, ~low_began, by_higher)
    certainty = np.where(accepted | low_began | high_began, SURE, certainty)
    both = np.flatnonzero(low_began & high_began)
    again = np.concatenate((np.arange(len(by_higher)), both))
    order = np.argsort(again, kind="stable")
    again, by_higher = again[order], np.concatenate((by_higher, np.ones(len(both), bool)))[order]
    table, certainty = table.chosen(again), certainty[again]
    low_port, high_port, protocol, version = low_port[again], high_port[again], protocol[again], last_word[again] & 0xFF
    words = np.where(by_higher[:, None], table.words[:, [2, 3, 0, 1, 4]], table.words)
    words[:, 4] = np.where(by_higher, low_port, high_port) << 32 | certainty << 16 | protocol << 8 | version
    return table._replace(words=words, weight=np.ones(len(by_higher), np.int64))


def _guessed(table: Rows, low_port: Column, high_port: Column, protocol: Column) -> tuple[Column, Column]:
    """Tell who began where no packet says so: by the ports, and by who sent the first packet."""
    low_serves, high_serves = _serves(low_port, high_port), _serves(high_port, low_port)
    first = table.higher_first
    by_ports = (protocol == TCP) & (low_serves | high_serves)
    is_answer = (protocol == UDP) & np.where(first, high_serves, low_serves)
    by_higher = np.where(by_ports, low_serves, np.where(is_answer, ~first, first))
    undecided = (protocol == TCP) | (protocol == ICMP) | (protocol == ICMPV6)
    return by_higher, np.where(by_ports | is_answer, GUESSED, np.where(undecided, UNKNOWN, SURE))


def _serves(port: Column, other: Column) -> Column:
    reserved: Column = (port < RESERVED) | (other < RESERVED)
    return np.where(reserved, (port < RESERVED) & (other >= RESERVED), (port < EPHEMERAL) & (other >= EPHEMERAL))


def _flow(words: list[int]) -> Flow:
    source_half, source, target_half, target, rest = words
    size = 4 if rest & 0xFF == 4 else 16
    return Flow(
        (source_half << 64 | source).to_bytes(size, "big"),
        (target_half << 64 | target).to_bytes(size, "big"),
        rest >> 32,
        rest >> 8 & 0xFF,
        _CERTAINTIES[rest >> 16 & 0xFF],
    )
