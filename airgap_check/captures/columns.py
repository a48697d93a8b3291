"""Reads captures by columns, with numpy: the same answers as packet by packet, sooner.

Plain packets are read a window at a time. All others are dissected one by one and join them as rows, in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airgap_check.captures import headers, opening, row
from airgap_check.captures.conversation import ACCEPTED, BEGAN, sign
from airgap_check.captures.dissection import Dissection
from airgap_check.captures.flow_table import FlowTable
from airgap_check.captures.row import Column, Ends, Rows
from airgap_check.dissect.packet import ACK, SYN, TCP, Packet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.captures.headers import Headers
    from airgap_check.captures.speech import Key, Speech
    from airgap_check.captures.tally import Tally
    from airgap_check.captures.window import FrameColumns, Window

_HALF = (1 << 64) - 1


class Columns:
    """Takes packets a window at a time."""

    def __init__(self, tally: Tally, hearer: Speech) -> None:
        """Bring what is said to ``hearer`` at once, and the flows to ``tally`` in the end."""
        self._speech = hearer
        self._table = FlowTable(tally)
        self._seeds = row.new_seeds()
        self.dissection = Dissection()
        self.cut = 0

    def take(self, window: Window) -> None:
        """Take the packets of a window."""
        if not len(window):
            return
        data, frames = window.data, window.columns()
        self.cut += int(np.count_nonzero(frames.length < frames.original))
        plain = headers.read(data, frames)
        dissected = self._dissected(data, frames, plain)
        rows = row.rows(plain.ends, plain.protocol, plain.version, _signs(plain), frames.time[plain.place])
        if dissected:
            places = np.array([place for place, _ in dissected])
            rows = Rows.joined([rows, _dissected_rows([packet for _, packet in dissected], frames.time[places])])
            rows = rows.chosen(np.argsort(np.concatenate((plain.place, places)), kind="stable"))
        self._table.add(rows)
        spoken = self._speaking(plain, data)
        if dissected:
            spoken = sorted(dissected + spoken, key=lambda item: item[0])
        times = frames.time[[place for place, _ in spoken]].tolist() if spoken else []
        for (_, packet), time in zip(spoken, times, strict=True):
            self._speech.hear(packet, time)

    def close(self) -> int:
        """Tell the tally of every flow."""
        return self._table.close()

    def _dissected(self, data: bytes, frames: FrameColumns, plain: Headers) -> list[tuple[int, Packet]]:
        """Dissect the packets that are not plain; return them with their places."""
        odd = np.ones(len(frames.start), bool)
        odd[plain.place] = False
        places = np.flatnonzero(odd)
        columns = (column[places].tolist() for column in (frames.start, frames.length, frames.link))
        dissected: list[tuple[int, Packet]] = []
        for place, start, length, link in zip(places.tolist(), *columns, strict=True):
            dissected += ((place, packet) for packet in self.dissection.packets(link, data[start : start + length]))
        return dissected

    def _speaking(self, plain: Headers, data: bytes) -> list[tuple[int, Packet]]:
        """Return the packets that may name somebody, with their places."""
        chosen, unfinished = opening.find(data, plain)
        if len(unfinished) or self._speech.pending:
            chosen |= self._continues(plain, unfinished)
        spoken = plain.chosen(np.flatnonzero(chosen))
        return list(zip(spoken.place.tolist(), _made(spoken, data), strict=True))

    def _continues(self, plain: Headers, unfinished: Column) -> Column:
        """Choose segments of connections with a ClientHello that did not end in its first segment."""
        seeds = self._seeds
        direction = row.digest(_direction(plain.ends), seeds)
        pending = row.digest(_direction(_pending(list(self._speech.pending))), seeds)
        found: Column = (plain.protocol == TCP) & (plain.payload < plain.end)
        found &= np.isin(direction, np.concatenate((direction[unfinished], pending)))
        return found


def _signs(plain: Headers) -> Column:
    flags = np.where(plain.protocol == TCP, plain.flags & (SYN | ACK), 0)
    return np.where(flags == SYN, BEGAN, np.where(flags == SYN | ACK, ACCEPTED, 0))


def _dissected_rows(found: list[Packet], times: Column) -> Rows:
    sources = [int.from_bytes(packet.source, "big") for packet in found]
    targets = [int.from_bytes(packet.target, "big") for packet in found]
    ends = _ends(
        sources, [packet.source_port for packet in found], targets, [packet.target_port for packet in found]
    )  # fmt: skip
    protocol, version = np.array([packet.protocol for packet in found]), np.array([packet.version for packet in found])
    return row.rows(ends, protocol, version, np.array([sign(packet) for packet in found]), times)


def _ends(
    sources: Sequence[int], source_ports: Sequence[int], targets: Sequence[int], target_ports: Sequence[int]
) -> Ends:
    return Ends(
        np.array([address >> 64 for address in sources], np.uint64),
        np.array([address & _HALF for address in sources], np.uint64),
        np.array(source_ports, np.int64),
        np.array([address >> 64 for address in targets], np.uint64),
        np.array([address & _HALF for address in targets], np.uint64),
        np.array(target_ports, np.int64),
    )


def _pending(keys: list[Key]) -> Ends:
    sources = [int.from_bytes(key[0], "big") for key in keys]
    targets = [int.from_bytes(key[2], "big") for key in keys]
    return _ends(sources, [key[1] for key in keys], targets, [key[3] for key in keys])


def _direction(ends: Ends) -> tuple[Column, ...]:
    return ends.source_half, ends.source, ends.target_half, ends.target, ends.source_port << 16 | ends.target_port


def _made(spoken: Headers, data: bytes) -> list[Packet]:
    """Make packets out of rows."""
    made = []
    columns = [spoken.version, spoken.protocol, spoken.flags, spoken.sequence, spoken.payload, spoken.end, *spoken.ends]
    for packet in zip(*(column.tolist() for column in columns), strict=True):
        version, protocol, flags, sequence, payload, end, source_half, source, source_port, *target = packet
        target_half, lower, target_port = target
        size = 4 if version == 4 else 16
        made.append(
            Packet(
                version, protocol, (source_half << 64 | source).to_bytes(size, "big"),
                (target_half << 64 | lower).to_bytes(size, "big"), source_port, target_port, flags, sequence,
                data[payload:end],
            )
        )  # fmt: skip
    return made
