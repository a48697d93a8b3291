"""Pairs the packets of both directions by columns, with numpy, and tells which end began, as `conversation` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
from airgap_check.captures.row import Column, Rows, merged
from airgap_check.captures.tally import Flow
from airgap_check.dissect.packet import ICMP, ICMPV6, TCP, UDP

if TYPE_CHECKING:
    from airgap_check.captures.tally import Tally

_ENOUGH = 1 << 17  # conversations of windows that wait to be merged into the table
_AT_ONCE = 1 << 14  # flows that become Python's numbers
_CERTAINTIES = (SURE, GUESSED, UNKNOWN)


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
        self._waiting.append(merged(packets))
        if sum(len(part.weight) for part in self._waiting) > _ENOUGH:
            self._merge()

    def close(self) -> int:
        """Tell the tally of every flow; return how many packets belonged to conversations beyond the bound."""
        self._merge()
        if self._table is not None and len(self._table.weight):
            flows, self._table = merged(_flows(self._table)), None
            for begin in range(0, len(flows.weight), _AT_ONCE):
                part = flows.chosen(np.arange(begin, min(begin + _AT_ONCE, len(flows.weight))))
                columns = (column.tolist() for column in (part.words, part.first, part.last, part.weight))
                for words, first, last, count in zip(*columns, strict=True):
                    self._tally.flow(_flow(words), first, last, count)
        return self._lost

    def _merge(self) -> None:
        parts = [] if self._table is None else [self._table]
        parts += self._waiting
        self._waiting = []
        if not parts:
            return
        table = merged(Rows.joined(parts))
        most = self._tally.most_conversations
        self._lost += int(table.weight[most:].sum())
        self._table = table.chosen(np.arange(min(most, len(table.weight))))


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
