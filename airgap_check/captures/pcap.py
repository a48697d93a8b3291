"""Reads classic capture files: either byte order, micro- or nanoseconds.

Source: draft-ietf-opsawg-pcap (PCAP Capture File Format), pcap-savefile(5).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.captures.window import LONGEST, SECOND, SIZE, DamagedError, Frame, FrameColumns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.captures.window import Read

_MICROSECOND = 1000
# the first four bytes -> byte order, and nanoseconds in a unit of the fraction
MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", _MICROSECOND),
    b"\xa1\xb2\xc3\xd4": (">", _MICROSECOND),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_FILE_HEADER, _PACKET_HEADER = 24, 16
_CAPTURED = 8  # where in a packet's header the number of its bytes stands


class _Format(NamedTuple):
    """What the file's header says: the byte order, nanoseconds in a unit of the fraction, the link type."""

    order: str
    unit: int
    link: int


class _Window:
    """Packets whose headers are read when somebody asks: one by one, or all at once."""

    def __init__(self, data: bytes, places: list[int], form: _Format) -> None:
        """Take the offsets of the headers."""
        self.data = data
        self._places = places
        self._form = form

    def __len__(self) -> int:
        """Count the packets."""
        return len(self._places)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the packets."""
        order, unit, link = self._form
        unpack, data = struct.Struct(order + "IIII").unpack_from, self.data
        for place in self._places:
            seconds, fraction, captured, original = unpack(data, place)
            yield Frame(place + _PACKET_HEADER, captured, original, link, seconds * SECOND + fraction * unit)

    def columns(self) -> FrameColumns:
        """Return all packets by column."""
        import numpy as np

        order, unit, link = self._form
        places = np.array(self._places, np.int64)
        overlapping = np.ndarray((len(self.data) - _PACKET_HEADER + 1,), "V16", self.data, 0, (1,))
        fields = overlapping[places].view(order + "u4").reshape(-1, 4).astype(np.int64)
        times = fields[:, 0] * SECOND + fields[:, 1] * unit
        return FrameColumns(places + _PACKET_HEADER, fields[:, 2], fields[:, 3], np.full(len(places), link), times)

    def links(self) -> Mapping[int, int]:
        """Count the packets of each link type: there is but one."""
        return {self._form.link: len(self._places)}


def windows(read: Read) -> Iterator[_Window]:
    """Yield the packets of a file, window by window; raises `DamagedError` where it stops making sense."""
    header = read(_FILE_HEADER)
    if len(header) < _FILE_HEADER:
        raise DamagedError("cut short", len(header))
    order, unit = MAGIC[header[:4]]
    link = struct.unpack_from(order + "I", header, 20)[0] & 0xFFFF  # above it: the length of a frame check sequence
    length = struct.Struct(order + "I")
    data, base = b"", _FILE_HEADER
    while chunk := read(SIZE):
        data += chunk
        places, position = _places(data, length)
        if places:
            yield _Window(data, places, _Format(order, unit, link))
        if len(data) - position >= _PACKET_HEADER:
            captured = length.unpack_from(data, position + _CAPTURED)[0]
            if captured > LONGEST:
                raise DamagedError(f"a packet claims {captured:,} bytes", base + position)
        data, base = data[position:], base + position
    if data:
        raise DamagedError("cut short", base + len(data))


def _places(data: bytes, length: struct.Struct) -> tuple[list[int], int]:
    """Find the whole packets; return where they are and where the rest begins. The hot loop: the chain of lengths."""
    places: list[int] = []
    add, unpack, size = places.append, length.unpack_from, len(data)
    position, last = 0, size - _PACKET_HEADER
    while position <= last:
        captured = unpack(data, position + _CAPTURED)[0]
        end = position + _PACKET_HEADER + captured
        if end > size or captured > LONGEST:
            break
        add(position)
        position = end
    return places, position
