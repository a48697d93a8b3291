"""Reads captures by columns, with numpy: the same answers as packet by packet, sooner.

Plain packets (a link layer of fixed length, VLAN tags, IPv4 without options or fragments, IPv6 without extension
headers, TCP or UDP) are read a window at a time. All others are dissected one by one and join them as rows, in their
place. Headers are copied in one go: the buffer is seen as overlapping items, one at each offset, and indexed by the
offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airgap_check.captures import flow_table, speech
from airgap_check.captures.conversation import ACCEPTED, BEGAN, sign
from airgap_check.captures.flow_table import Column, Ends, FlowTable, Rows
from airgap_check.captures.plain import packets
from airgap_check.dissect.packet import ACK, IPV4, IPV6, SYN, TCP, UDP, Packet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.captures.speech import Key, Speech
    from airgap_check.captures.tally import Tally
    from airgap_check.captures.window import Window

_HEADERS = 64  # bytes that are copied of each packet: IPv6 and TCP take 60
_LINK = 24  # bytes of link layer that are copied: cooked v2 takes 20, Ethernet with two tags 22
_TAGS = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS = 2
# link type -> the length of its header, and where in it the ethertype stands (None: IP follows, and says its version)
_LINKS: dict[int, tuple[int, int | None]] = {
    1: (14, 12), 113: (16, 14), 276: (20, 0), 12: (0, None), 14: (0, None), 101: (0, None),
}  # fmt: skip
_DNS = np.array(list(speech.DNS_PORTS))
_QUIC_PORTS = np.array(list(speech.QUIC_PORTS))
_METHODS = np.frombuffer(b"".join(speech.METHODS), ">u4")
_QUIC_VERSIONS = np.frombuffer(b"".join(speech.QUIC_VERSIONS), ">u4")
_HALF = (1 << 64) - 1


class _Plain(NamedTuple):
    """The plain packets of a window, by column; ``payload`` and ``end`` are offsets into its data."""

    place: Column  # which packets of the window they are
    version: Column
    ends: Ends
    protocol: Column
    flags: Column
    sequence: Column
    payload: Column
    end: Column


class Columns:
    """Takes packets a window at a time."""

    def __init__(self, tally: Tally, hearer: Speech) -> None:
        """Bring what is said to ``hearer`` at once, and the flows to ``tally`` in the end."""
        self._speech = hearer
        self._table = FlowTable(tally)
        self._seeds = flow_table.new_seeds()
        self.other = 0

    def take(self, window: Window) -> None:
        """Take the packets of a window."""
        if not window.starts:
            return
        plain, data = _read(window)
        odd = np.ones(len(window.starts), bool)
        odd[plain.place] = False
        dissected: list[tuple[int, Packet]] = []
        for place in np.flatnonzero(odd).tolist():
            start = window.starts[place]
            found = list(packets(window.links[place], window.data[start : start + window.lengths[place]]))
            dissected += ((place, packet) for packet in found)
            self.other += not found
        times = np.array(window.times, np.int64)
        rows = flow_table.rows(plain.ends, plain.protocol, plain.version, _signs(plain), times[plain.place])
        if dissected:
            places = np.array([place for place, _ in dissected])
            rows = Rows.joined([rows, _dissected_rows([packet for _, packet in dissected], times[places])])
            rows = rows.chosen(np.argsort(np.concatenate((plain.place, places)), kind="stable"))
        self._table.add(rows)
        spoken = dissected + self._speaking(plain, data)
        spoken.sort(key=lambda item: item[0])
        for place, packet in spoken:
            self._speech.hear(packet, window.times[place])

    def close(self) -> int:
        """Tell the tally of every flow."""
        return self._table.close()

    def _speaking(self, plain: _Plain, data: bytes) -> list[tuple[int, Packet]]:
        """Return the packets that may name somebody, with their places."""
        head = _copied(data, plain.payload, 12)
        size = plain.end - plain.payload
        hello = (plain.protocol == TCP) & _begins_hello(head, size)
        chosen = hello | _begins_others(plain, head, size)
        unfinished = hello & _unfinished(head, size)
        if unfinished.any() or self._speech.pending:
            chosen |= self._continues(plain, unfinished) & (size > 0)
        places = np.flatnonzero(chosen)
        return list(zip(plain.place[places].tolist(), _made(plain, places, data), strict=True))

    def _continues(self, plain: _Plain, unfinished: Column) -> Column:
        """Choose segments of connections with a ClientHello that did not end in its first segment."""
        ends, pending = plain.ends, _pending(list(self._speech.pending))
        seeds = self._seeds
        direction = flow_table.digest(_direction(ends), seeds)
        wanted = np.concatenate((direction[unfinished], flow_table.digest(_direction(pending), seeds)))
        found: Column = (plain.protocol == TCP) & np.isin(direction, wanted)
        return found


# --- headers ----------------------------------------------------------------------------------------------------------


def _read(window: Window) -> tuple[_Plain, bytes]:
    """Read the headers of plain packets; return the window's data too, with room for copies past its end."""
    data = window.data + bytes(_HEADERS)
    index = np.arange(len(window.starts))
    starts, lengths = np.array(window.starts, np.int64), np.array(window.lengths, np.int64)
    header, ethertype = _link(data, starts, lengths, np.array(window.links))
    header = np.minimum(header, lengths)  # a frame that is shorter is none of the plain ones
    network = starts + header
    ip = _copied(data, network, _HEADERS)
    left = lengths - header
    is_v4 = (ip[:, 0] == 0x45) & (ethertype != IPV6) & (ethertype >= 0) & (left >= 28)
    is_v4 &= (_number(ip, 6, 2) & 0x3FFF == 0) & ((ip[:, 9] == TCP) | (ip[:, 9] == UDP))
    is_v6 = (ip[:, 0] >> 4 == 6) & (ethertype != IPV4) & (ethertype >= 0) & (left >= 48)
    is_v6 &= (ip[:, 6] == TCP) | (ip[:, 6] == UDP)
    total = np.where(is_v6, _number(ip, 4, 2) + 40, _number(ip, 2, 2))
    room = np.minimum(left, total)
    transport = np.where(is_v6, 40, 20)
    protocol = np.where(is_v6, ip[:, 6], ip[:, 9]).astype(np.int64)
    least = np.where(protocol == TCP, 20, 8)
    stated = ~is_v6 | (total > 40)  # 0 is a jumbogram, or the card cuts it up later
    kept = np.flatnonzero((is_v4 | is_v6) & stated & (room >= transport + least))
    return _transport(index[kept], ip[kept], is_v6[kept], network[kept], room[kept]), data


def _link(data: bytes, starts: Column, lengths: Column, links: Column) -> tuple[Column, Column]:
    """Return how long the link layer of each frame is, and its ethertype: 0 where IP says it, -1 where unknown."""
    header = np.zeros(len(starts), np.int64)
    ethertype = np.full(len(starts), -1, np.int64)
    for number in np.unique(links).tolist():
        if number not in _LINKS:
            continue
        here = np.flatnonzero(links == number)
        size, at = _LINKS[number]
        if at is None:
            ethertype[here] = 0
            continue
        frames = _copied(data, starts[here], _LINK)
        kinds, sizes = _number(frames, at, 2), np.full(len(here), size, np.int64)
        if number == 1:
            for tag in range(_MOST_TAGS):
                tagged = np.isin(kinds, _TAGS) & (sizes == size + 4 * tag)
                kinds = np.where(tagged, _number(frames, at + 4 + 4 * tag, 2), kinds)
                sizes += tagged * 4
        header[here] = sizes
        ethertype[here] = np.where((kinds == IPV4) | (kinds == IPV6), kinds, -1)
    return np.where(header < lengths, header, lengths), np.where(header < lengths, ethertype, -1)


def _transport(index: Column, ip: Column, is_v6: Column, network: Column, room: Column) -> _Plain:
    """Read addresses and transport of packets that have both; drop those whose transport header makes no sense."""
    transport = np.where(is_v6[:, None], ip[:, 40:60], ip[:, 20:40])
    protocol = np.where(is_v6, ip[:, 6], ip[:, 9]).astype(np.int64)
    is_tcp = protocol == TCP
    before = np.where(is_v6, 40, 20)
    offset = (transport[:, 12] >> 4).astype(np.int64) * 4
    length = _number(transport, 4, 2)
    sound = np.where(is_tcp, (offset >= 20) & (before + offset <= room), length >= 8)
    payload = network + before + np.where(is_tcp, offset, 8)
    end = network + np.where(is_tcp, room, np.minimum(room, before + length))
    ends = Ends(
        np.where(is_v6, _number(ip, 8, 8), 0),
        np.where(is_v6, _number(ip, 16, 8), _number(ip, 12, 4).astype(np.uint64)),
        _number(transport, 0, 2),
        np.where(is_v6, _number(ip, 24, 8), 0),
        np.where(is_v6, _number(ip, 32, 8), _number(ip, 16, 4).astype(np.uint64)),
        _number(transport, 2, 2),
    )
    flags = np.where(is_tcp, transport[:, 13], 0).astype(np.int64)
    sequence = np.where(is_tcp, _number(transport, 4, 4), 0)
    kept = np.flatnonzero(sound)
    columns = (np.where(is_v6, 6, 4), protocol, flags, sequence, payload, end)
    version, protocol, flags, sequence, payload, end = (column[kept] for column in columns)
    ends = Ends(*(column[kept] for column in ends))
    return _Plain(index[kept], version, ends, protocol, flags, sequence, payload, end)


def _copied(data: bytes, offsets: Column, size: int) -> Column:
    """Copy ``size`` bytes at each offset: an array of (offsets, size)."""
    overlapping: Column = np.ndarray((len(data) - size + 1,), f"V{size}", data, 0, (1,))
    return overlapping[offsets].view(np.uint8).reshape(len(offsets), size)


def _number(rows: Column, at: int, size: int) -> Column:
    """Read a big-endian number of each row: as int64, or uint64 where it fills one."""
    kind = np.uint64 if size == 8 else np.int64
    return np.ascontiguousarray(rows[:, at : at + size]).view(f">u{size}")[:, 0].astype(kind)


# --- rows, and packets again ------------------------------------------------------------------------------------------


def _signs(plain: _Plain) -> Column:
    flags = np.where(plain.protocol == TCP, plain.flags & (SYN | ACK), 0)
    return np.where(flags == SYN, BEGAN, np.where(flags == SYN | ACK, ACCEPTED, 0))


def _dissected_rows(found: list[Packet], times: Column) -> Rows:
    sources = [int.from_bytes(packet.source, "big") for packet in found]
    targets = [int.from_bytes(packet.target, "big") for packet in found]
    ends = _ends(
        sources, [packet.source_port for packet in found], targets, [packet.target_port for packet in found]
    )  # fmt: skip
    protocol, version = np.array([packet.protocol for packet in found]), np.array([packet.version for packet in found])
    return flow_table.rows(ends, protocol, version, np.array([sign(packet) for packet in found]), times)


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


def _made(plain: _Plain, places: Column, data: bytes) -> list[Packet]:
    """Make packets out of some rows."""
    made = []
    columns = [plain.version, plain.protocol, plain.flags, plain.sequence, plain.payload, plain.end, *plain.ends]
    for row in zip(*(column[places].tolist() for column in columns), strict=True):
        version, protocol, flags, sequence, payload, end, source_half, source, source_port, *target = row
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


# --- what is worth hearing: as `speech` has it, or more ---------------------------------------------------------------


def _begins_hello(head: Column, size: Column) -> Column:
    begins: Column = (size > 0) & (head[:, 0] == speech.HANDSHAKE)
    begins &= (size < 2) | (head[:, 1] == speech.TLS_MAJOR)
    begins &= (size < 6) | (head[:, 5] == speech.CLIENT_HELLO)
    return begins


def _unfinished(head: Column, size: Column) -> Column:
    """As `speech.unfinished`."""
    record, message = _number(head, 3, 2), _number(head, 5, 4) & 0xFFFFFF
    unfinished: Column = (size < 9) | (message + 9 > size) | (message + 4 > record)
    return unfinished


def _begins_others(plain: _Plain, head: Column, size: Column) -> Column:
    """Choose DNS by its ports, HTTP by its methods, QUIC by its versions or ports."""
    ports = plain.ends.source_port, plain.ends.target_port
    is_tcp, is_udp = plain.protocol == TCP, plain.protocol == UDP
    dns: Column = is_udp & (np.isin(ports[0], _DNS) | np.isin(ports[1], _DNS))
    stream = is_tcp & ((ports[0] == speech.DNS) | (ports[1] == speech.DNS)) & ((size > 0) | (plain.flags & SYN != 0))
    http = is_tcp & (size >= 4) & np.isin(_number(head, 0, 4), _METHODS)
    quic = is_udp & (size >= 5) & (head[:, 0] & speech.LONG_HEADER == speech.LONG_HEADER)
    quic &= np.isin(_number(head, 1, 4), _QUIC_VERSIONS) | np.isin(ports[1], _QUIC_PORTS)
    dns |= stream | http | quic
    return dns
