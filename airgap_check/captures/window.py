"""A stretch of a capture: packets as offsets into one buffer, whatever container they came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 4 << 20  # bytes read at a time; what bounds the memory of every reader
LONGEST = 1 << 20  # bytes of one packet; libpcap itself stops at 256 KiB
UNKNOWN_TIME = -1
SECOND = 1_000_000_000  # nanoseconds

Read = Callable[[int], bytes]  # up to so many bytes; none at the end


class Frame(NamedTuple):
    """Where a packet is: ``length`` bytes from ``start`` on, of ``original`` on the wire.

    ``link`` is a LINKTYPE_ number, ``time`` nanoseconds since 1970 or `UNKNOWN_TIME`.
    """

    start: int
    length: int
    original: int
    link: int
    time: int


class FrameColumns(NamedTuple):
    """The same of many packets, as arrays of int64."""

    start: NDArray[Any]
    length: NDArray[Any]
    original: NDArray[Any]
    link: NDArray[Any]
    time: NDArray[Any]


class Window(Protocol):
    """Packets in the order of the file: one by one, or by columns for those who have numpy."""

    @property
    def data(self) -> bytes:
        """Return the buffer that offsets count from."""
        ...

    def __len__(self) -> int:
        """Count the packets."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the packets."""
        ...

    def columns(self) -> FrameColumns:
        """Return all packets by column."""
        ...

    def links(self) -> Mapping[int, int]:
        """Count the packets of each link type."""
        ...


class Frames:
    """A window of frames that were found one by one."""

    def __init__(self, data: bytes) -> None:
        """Begin without any."""
        self.data = data
        self._frames: list[Frame] = []
        self.add = self._frames.append

    def __len__(self) -> int:
        """Count the packets."""
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the packets."""
        return iter(self._frames)

    def columns(self) -> FrameColumns:
        """Return all packets by column."""
        import numpy as np

        return FrameColumns(*np.array(self._frames, np.int64).reshape(-1, 5).T)

    def links(self) -> Mapping[int, int]:
        """Count the packets of each link type."""
        return Counter(frame.link for frame in self._frames)


class DamagedError(Exception):
    """The file makes no sense from here on; ``args`` are the reason in words, and the offset in bytes."""

    def __init__(self, reason: str, offset: int) -> None:
        """Say what is wrong, and where."""
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset
