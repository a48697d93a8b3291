"""Packets as rows of numbers, with numpy, and their merging: the rows of one conversation become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from airgap_check.captures.conversation import HIGHER

if TYPE_CHECKING:
    from collections.abc import Sequence

Column = NDArray[Any]

_WORDS = 5
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


def merged(found: Rows) -> Rows:
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
        differs = np.diff(digests[order]) != 0
        columns = (words[order, number] for number in range(_WORDS))
        if not any(((np.diff(column) != 0) & ~differs).any() for column in columns):
            return order, np.flatnonzero(np.concatenate(([True], differs)))
    raise AssertionError("digests collide whatever the seeds")
