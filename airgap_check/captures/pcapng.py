"""Reads pcapng files: sections of either byte order, interfaces with a link type and a clock each.

Source: draft-ietf-opsawg-pcapng (PCAP Next Generation Capture File Format), section 4. Blocks of other kinds are
stepped over, however long.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.captures.window import LONGEST, SECOND, SIZE, UNKNOWN_TIME, DamagedError, Frame, Frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.captures.window import Read

MAGIC = b"\x0a\x0d\x0d\x0a"  # reads the same in either byte order
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6
_KNOWN = frozenset({_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _STATISTICS, _PACKET})
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_LEAST, _LONGEST_BLOCK = 12, LONGEST + 65536  # a packet and its options
_MOST_INTERFACES = 65536
_TSRESOL, _TSOFFSET, _IFDROP, _OSDROP = 9, 14, 5, 7
_LATEST = 1 << 62  # nanoseconds; beyond the year 2116 it is no clock


class _Interface(NamedTuple):
    link: int
    snaplen: int
    multiplier: int = 1000  # nanoseconds = ticks * multiplier // divisor + offset
    divisor: int = 1
    offset: int = 0


class Reader:
    """The blocks of one file; ``lost`` counts the packets that the capturing host says it dropped."""

    def __init__(self, read: Read) -> None:
        """Read from a function that yields bytes."""
        self._read = read
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._drops: dict[int, int] = {}
        self._gone = 0
        self._window = Frames(b"")

    @property
    def lost(self) -> int:
        """Return the drops of all sections so far; each statistics block replaces the one before."""
        return self._gone + sum(self._drops.values())

    def windows(self) -> Iterator[Frames]:
        """Yield the packets, window by window; raises `DamagedError` where the file stops making sense."""
        data, base = b"", 0
        while chunk := self._read(SIZE):
            data += chunk
            self._window = Frames(data)
            position, damage = self._blocks(data)
            yield self._window
            if damage:
                raise DamagedError(damage, base + position)
            data, base = data[position:], base + position
            if beyond := self._skip(data, base):
                data, base = b"", base + beyond
        if data:
            raise DamagedError("cut short", base + len(data))

    def _skip(self, data: bytes, base: int) -> int:
        """Step over a block that is longer than any packet; return how many bytes it was, 0 for no such block."""
        if len(data) < 8:
            return 0
        kind, length = struct.unpack_from(self._order + "II", data)
        if kind in _KNOWN or length <= _LONGEST_BLOCK:
            return 0
        left = length - len(data)
        while left > 0:
            chunk = self._read(min(left, SIZE))
            if not chunk:
                raise DamagedError("cut short", base + length - left)
            left -= len(chunk)
        return int(length)

    def _blocks(self, data: bytes) -> tuple[int, str]:
        """Take every whole block; return where the rest begins, and what is wrong with it."""
        position, size = 0, len(data)
        while size - position >= _LEAST:
            if data.startswith(MAGIC, position):
                order = _ORDERS.get(data[position + 8 : position + 12])
                if order is None:
                    return position, "a section without a byte order"
                self._begin_section(order)
            kind, length = struct.unpack_from(self._order + "II", data, position)
            if length < _LEAST or length % 4 or (kind in _KNOWN and length > _LONGEST_BLOCK):
                return position, f"a block claims {length:,} bytes"
            if position + length > size:
                break
            if struct.unpack_from(self._order + "I", data, position + length - 4)[0] != length:
                return position, "the two lengths of a block differ"
            if damage := self._block(kind, position + 8, position + length - 4):
                return position, damage
            position += length
        return position, ""

    def _begin_section(self, order: str) -> None:
        self._order = order
        self._gone += sum(self._drops.values())
        self._drops = {}
        self._interfaces = []

    def _block(self, kind: int, start: int, end: int) -> str:
        """Take the body of one block; return what is wrong with it."""
        if kind == _PACKET:
            return self._packet("IIIII", start, end)
        if kind == _OLD_PACKET:
            return self._packet("HxxIIII", start, end)
        if kind == _SIMPLE_PACKET:
            return self._simple_packet(start, end)
        if kind == _INTERFACE:
            return self._interface(start, end)
        if kind == _STATISTICS and end - start >= 12:
            number = struct.unpack_from(self._order + "I", self._window.data, start)[0]
            if number < len(self._interfaces):
                drops = [value for option, value in self._options(start + 12, end) if option in {_IFDROP, _OSDROP}]
                self._drops[number] = sum(int.from_bytes(value, self._byteorder) for value in drops if len(value) == 8)
        return ""

    @property
    def _byteorder(self) -> Literal["little", "big"]:
        return "little" if self._order == "<" else "big"

    def _packet(self, layout: str, start: int, end: int) -> str:
        if end - start < 20:
            return "a packet block without a header"
        number, high, low, captured, original = struct.unpack_from(self._order + layout, self._window.data, start)
        if number >= len(self._interfaces):
            return "a packet of an interface that was never described"
        if captured > end - start - 20 or captured > LONGEST:
            return f"a packet claims {captured:,} bytes"
        interface = self._interfaces[number]
        ticks = high << 32 | low
        time = ticks * interface.multiplier // interface.divisor + interface.offset
        time = time if 0 <= time < _LATEST else UNKNOWN_TIME
        self._window.add(Frame(start + 20, captured, original, interface.link, time))
        return ""

    def _simple_packet(self, start: int, end: int) -> str:
        if end - start < 4 or not self._interfaces:
            return "a packet of an interface that was never described"
        original = struct.unpack_from(self._order + "I", self._window.data, start)[0]
        interface = self._interfaces[0]
        captured = min(original, end - start - 4, interface.snaplen or original)
        self._window.add(Frame(start + 4, captured, original, interface.link, UNKNOWN_TIME))
        return ""

    def _interface(self, start: int, end: int) -> str:
        if end - start < 8:
            return "an interface without a description"
        if len(self._interfaces) >= _MOST_INTERFACES:
            return "more interfaces than anybody has"
        link, snaplen = struct.unpack_from(self._order + "HxxI", self._window.data, start)
        multiplier, divisor, offset = 1000, 1, 0
        for option, value in self._options(start + 8, end):
            if option == _TSRESOL and len(value) == 1:
                exponent = value[0] & 0x7F
                multiplier, divisor = SECOND, 1 << exponent if value[0] & 0x80 else 10**exponent
            elif option == _TSOFFSET and len(value) == 8:
                offset = int.from_bytes(value, self._byteorder, signed=True) * SECOND
        self._interfaces.append(_Interface(link, snaplen, multiplier, divisor, offset))
        return ""

    def _options(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield the options of a block as far as they make sense."""
        while end - start >= 4:
            option, length = struct.unpack_from(self._order + "HH", self._window.data, start)
            if not option or start + 4 + length > end:
                return
            yield option, self._window.data[start + 4 : start + 4 + length]
            start += 4 + (length + 3 & ~3)
