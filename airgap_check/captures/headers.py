"""Reads the headers of plain packets by columns, with numpy.

Plain is what needs no second look: a link layer of fixed length, VLAN tags, IPv4 without options or fragments, IPv6
without extension headers, TCP or UDP. Headers are copied in one go: the buffer is seen as overlapping items, one at
each offset, and indexed by the offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airgap_check.captures.row import Column, Ends
from airgap_check.dissect.packet import IPV4, IPV6, TCP, UDP

if TYPE_CHECKING:
    from airgap_check.captures.window import FrameColumns

ROOM = 160  # bytes that must follow the beginning of a frame in the buffer: headers, and the first of the payload
_TAGS = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS = 2
_ANY, _NONE = 0, -1  # ethertypes: IP says its version itself; nothing plain
# link type -> the length of its header, and where in it the ethertype stands
_LINKS: dict[int, tuple[int, int | None]] = {
    1: (14, 12), 113: (16, 14), 276: (20, 0), 12: (0, None), 14: (0, None), 101: (0, None),
}  # fmt: skip


class _Family(NamedTuple):
    """A version of IP: its ethertype, how long its header is, and where in it and in the transport fields stand."""

    version: int
    ethertype: int
    header: int
    layout: np.dtype[np.void]


_BEFORE_PORTS = {
    4: {
        "total": (">u2", 2), "fragment": (">u2", 6), "protocol": ("u1", 9),
        "source": (">u4", 12), "target": (">u4", 16),
    },
    6: {
        "total": (">u2", 4), "protocol": ("u1", 6), "source_half": (">u8", 8), "source": (">u8", 16),
        "target_half": (">u8", 24), "target": (">u8", 32),
    },
}  # fmt: skip
_FROM_PORTS = {
    "source_port": (">u2", 0), "target_port": (">u2", 2), "sequence": (">u4", 4), "length": (">u2", 4),
    "offset": ("u1", 12), "flags": ("u1", 13),
}  # fmt: skip


def _family(version: int, ethertype: int, header: int) -> _Family:
    fields = {"first": ("u1", 0), **_BEFORE_PORTS[version]}
    fields |= {name: (kind, header + at) for name, (kind, at) in _FROM_PORTS.items()}
    formats, offsets = zip(*fields.values(), strict=True)
    layout = np.dtype({"names": [*fields], "formats": formats, "offsets": offsets, "itemsize": header + 20})
    return _Family(version, ethertype, header, layout)


_V4, _V6 = _family(4, IPV4, 20), _family(6, IPV6, 40)


class Headers(NamedTuple):
    """Plain packets by column: ``payload`` and ``end`` are offsets into the data, ``place`` says which frame it was."""

    place: Column
    version: Column
    ends: Ends
    protocol: Column
    flags: Column
    sequence: Column
    payload: Column
    end: Column

    def chosen(self, rows: Column) -> Headers:
        """Return some of the rows."""
        place, version, ends, *rest = self
        return Headers(place[rows], version[rows], ends.chosen(rows), *(column[rows] for column in rest))

    def followed_by(self, other: Headers) -> Headers:
        """Return these rows and then those."""
        place, version, ends, *rest = self
        place2, version2, ends2, *rest2 = other
        pairs = zip(rest, rest2, strict=True)
        return Headers(
            np.concatenate((place, place2)), np.concatenate((version, version2)), ends.followed_by(ends2),
            *map(np.concatenate, pairs),
        )  # fmt: skip


def read(data: bytes, frames: FrameColumns) -> Headers:
    """Read the headers of the plain packets among the frames."""
    place = np.flatnonzero(frames.start + ROOM <= len(data))
    start, length = frames.start[place], frames.length[place]
    header, ethertype = _link(data, start, length, frames.link[place])
    network, end = start + header, start + length
    found = []
    for family in (_V4, _V6):
        here = np.flatnonzero((ethertype == family.ethertype) | (ethertype == _ANY))
        found.append(_packets(data, family, place[here], network[here], end[here]))
    if not len(found[1].place):
        return found[0]
    both = found[0].followed_by(found[1])
    return both.chosen(np.argsort(both.place, kind="stable"))


def copied(data: bytes, offsets: Column, kind: str | np.dtype[np.void]) -> Column:
    """Copy an item of a kind at each offset."""
    layout = np.dtype(kind)
    plain = np.dtype(f"V{layout.itemsize}")
    overlapping: Column = np.ndarray((max(0, len(data) - layout.itemsize + 1),), plain, data, 0, (1,))
    return overlapping[offsets].view(layout)


def _link(data: bytes, start: Column, length: Column, links: Column) -> tuple[Column, Column]:
    """Return how long the link layer of each frame is, and its ethertype."""
    header, ethertype = np.zeros(len(start), np.int64), np.full(len(start), _NONE)
    for number in np.unique(links).tolist():
        if number not in _LINKS:
            continue
        here = np.flatnonzero(links == number)
        size, at = _LINKS[number]
        header[here] = size
        ethertype[here] = _ANY if at is None else copied(data, start[here] + at, ">u2")
    tagged = np.flatnonzero(links == 1)
    for _ in range(_MOST_TAGS):
        tagged = tagged[np.isin(ethertype[tagged], _TAGS)]
        ethertype[tagged] = copied(data, start[tagged] + header[tagged] + 2, ">u2")
        header[tagged] += 4
    return header, np.where(header < length, ethertype, _NONE)


def _packets(data: bytes, family: _Family, place: Column, network: Column, end: Column) -> Headers:
    """Read the packets of one version of IP; those that are not plain, or make no sense, are left out."""
    version, _, before, _ = family
    ip = copied(data, network, family.layout)
    protocol, is_tcp = ip["protocol"], ip["protocol"] == TCP
    if version == 4:
        total = ip["total"].astype(np.int64)
        plain = (ip["first"] == 0x45) & (ip["fragment"] & 0x3FFF == 0)
    else:
        total = ip["total"].astype(np.int64) + before
        plain = (ip["first"] >> 4 == 6) & (total > before)  # 0 is a jumbogram, or the card cuts it up later
    end = np.minimum(end, network + total)
    transport = network + before
    offset = np.where(is_tcp, (ip["offset"] >> 4).astype(np.int64) * 4, 8)
    plain &= (is_tcp & (offset >= 20)) | ((protocol == UDP) & (ip["length"] >= 8))
    plain &= transport + offset <= end
    end = np.where(is_tcp, end, np.minimum(end, transport + ip["length"]))
    kept = np.flatnonzero(plain)
    ip, is_tcp = ip[kept], is_tcp[kept]
    none = np.zeros(len(kept), np.uint64)
    ends = Ends(
        ip["source_half"] if version == 6 else none, ip["source"].astype(np.uint64), ip["source_port"].astype(np.int64),
        ip["target_half"] if version == 6 else none, ip["target"].astype(np.uint64), ip["target_port"].astype(np.int64),
    )  # fmt: skip
    flags, sequence = np.where(is_tcp, ip["flags"], 0).astype(np.int64), np.where(is_tcp, ip["sequence"], 0)
    return Headers(
        place[kept], np.full(len(kept), version), ends, ip["protocol"].astype(np.int64), flags, sequence,
        transport[kept] + offset[kept], end[kept],
    )  # fmt: skip
