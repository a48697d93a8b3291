"""Reads classic capture files: either byte order, micro- or nanoseconds.

Source: draft-ietf-opsawg-pcap (PCAP Capture File Format), pcap-savefile(5).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from airgap_check.captures.window import LONGEST, SECOND, SIZE, DamagedError, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def windows(read: Read) -> Iterator[Window]:
    """Yield the packets of a file, window by window; raises `DamagedError` where it stops making sense."""
    header = read(_FILE_HEADER)
    if len(header) < _FILE_HEADER:
        raise DamagedError("cut short", len(header))
    order, unit = MAGIC[header[:4]]
    link = struct.unpack_from(order + "I", header, 20)[0] & 0xFFFF  # above it: the length of a frame check sequence
    fields = struct.Struct(order + "IIII")
    data, base = b"", _FILE_HEADER
    while chunk := read(SIZE):
        data += chunk
        window, position = _index(data, fields, link, unit)
        yield window
        if len(data) - position >= _PACKET_HEADER:
            captured = fields.unpack_from(data, position)[2]
            if captured > LONGEST:
                raise DamagedError(f"a packet claims {captured:,} bytes", base + position)
        data, base = data[position:], base + position
    if data:
        raise DamagedError("cut short", base + len(data))


def _index(data: bytes, fields: struct.Struct, link: int, unit: int) -> tuple[Window, int]:
    """Find the whole packets; return them and where the rest begins. The hot loop: half a microsecond a packet."""
    starts: list[int] = []
    lengths: list[int] = []
    times: list[int] = []
    add_start, add_length, add_time = starts.append, lengths.append, times.append
    position = cut = 0
    unpack, size = fields.unpack_from, len(data)
    while position + _PACKET_HEADER <= size:
        seconds, fraction, captured, original = unpack(data, position)
        start = position + _PACKET_HEADER
        if captured > LONGEST or start + captured > size:
            break
        add_start(start)
        add_length(captured)
        add_time(seconds * SECOND + fraction * unit)
        if captured < original:
            cut += 1
        position = start + captured
    return Window(data, starts, lengths, [link] * len(starts), times, cut), position
