"""A stretch of a capture: packets as offsets into one buffer, whatever container they came in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SIZE = 8 << 20  # bytes read at a time; what bounds the memory of every reader
LONGEST = 1 << 20  # bytes of one packet; libpcap itself stops at 256 KiB
UNKNOWN_TIME = -1
SECOND = 1_000_000_000  # nanoseconds

Read = Callable[[int], bytes]  # up to so many bytes; none at the end


class Window(NamedTuple):
    """Packets in the order of the file: packet ``i`` is ``data[starts[i] : starts[i] + lengths[i]]``.

    ``links`` are LINKTYPE_ numbers, ``times`` nanoseconds since 1970 or `UNKNOWN_TIME`. ``cut`` counts the packets of
    which the file holds less than there was on the wire.
    """

    data: bytes
    starts: list[int]
    lengths: list[int]
    links: list[int]
    times: list[int]
    cut: int = 0


class DamagedError(Exception):
    """The file makes no sense from here on; ``args`` are the reason in words, and the offset in bytes."""

    def __init__(self, reason: str, offset: int) -> None:
        """Say what is wrong, and where."""
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset
