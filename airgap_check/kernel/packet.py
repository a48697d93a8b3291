"""Captures packets of all interfaces of a network namespace in a ring that the kernel fills; knows none of them.

Source: packet(7), Documentation/networking/packet_mmap.rst (TPACKET_V3), include/uapi/linux/if_packet.h. Nothing of the
host changes: no interface becomes promiscuous, and nothing is ever sent.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HOST, BROADCAST, MULTICAST, OTHER_HOST, OUTGOING = range(5)  # PACKET_*: whether it arrived, for whom, or leaves
BLOCK = 1 << 15  # bytes that the kernel hands over at a time; every block takes `RETIRE_MS` to be overdue
SIZE = 8 << 20
RETIRE_MS = 50  # a block that is not full is handed over after this

_ETH_P_ALL = 3
_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION = 263, 5, 6, 10
_TPACKET_V3 = 2
_FRAME = 2048  # only checked for consistency: in version 3, packets stand in a block one after the other
_KERNEL, _USER = 0, 1  # who owns a block: TP_STATUS_KERNEL, TP_STATUS_USER

_BLOCK = struct.Struct("=8xIII").unpack_from  # status, packets, offset of the first
# next, seconds, nanoseconds, bytes here, bytes on the wire, net offset | sockaddr_ll: protocol, interface, type
_HEADER = struct.Struct("=IIIII4x2xH20x2xHi2xB").unpack_from
_HEADER_SIZE = 68  # tpacket3_hdr, and of sockaddr_ll what stands before the address
_COUNTS = struct.Struct("=III")


class Frame(NamedTuple):
    """A packet from its network header on: when (wall clock), where, and how long it was before it was cut."""

    seconds: int
    nanoseconds: int
    interface: int
    kind: int
    ethertype: int
    data: bytes
    length: int


class Statistics(NamedTuple):
    """What the kernel took for us, what it had no room for, and how often the ring was full; since it was opened."""

    packets: int = 0
    drops: int = 0
    freezes: int = 0


def total(parts: Iterable[Statistics]) -> Statistics:
    """Add up what several rings say."""
    return Statistics(*map(sum, zip(*parts, strict=True)))


class Ring:
    """Packets of the network namespace that the calling thread is in; the ring stays there wherever the thread goes."""

    def __init__(self, attach: Callable[[socket.socket], None], size: int = SIZE) -> None:
        """Start to capture what ``attach`` lets through, which it is given the socket for; raises OSError.

        PermissionError: CAP_NET_RAW is missing. ``size`` is in bytes, a multiple of `BLOCK`.
        """
        self._count = size // BLOCK
        self._at = 0
        self._seen = Statistics()
        # Without a protocol nothing arrives, so that no packet slips in before the filter is in place.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        try:
            attach(self._socket)
            self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
            # tp_block_size, tp_block_nr, tp_frame_size, tp_frame_nr, retire timeout, private bytes, features
            frames = self._count * BLOCK // _FRAME
            self._socket.setsockopt(
                _SOL_PACKET, _RX_RING, struct.pack("=7I", BLOCK, self._count, _FRAME, frames, RETIRE_MS, 0, 0)
            )
            self._memory = mmap.mmap(self._socket.fileno(), self._count * BLOCK)
            _bind(self._socket)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor, readable when a block waits."""
        return self._socket.fileno()

    def ready(self, timeout_ms: int = 0) -> bool:
        """Tell whether a block waits, or one comes in time."""
        if self._socket.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(timeout_ms))

    def blocks(self) -> Iterator[list[Frame]]:
        """Take what waits, block by block, and give each block back at once; ends after one turn of the ring."""
        for _ in range(self._count):
            if self._socket.fileno() < 0:
                return
            base = self._at * BLOCK
            status, count, first = _BLOCK(self._memory, base)
            if not status & _USER:
                return
            found = list(frames(self._memory, base, count, first))
            struct.pack_into("=I", self._memory, base + 8, _KERNEL)
            self._at = (self._at + 1) % self._count
            yield found

    def statistics(self) -> Statistics:
        """Return what happened so far; after `close`, what had happened then."""
        if self._socket.fileno() >= 0:
            data = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size)  # the kernel starts again at 0
            self._seen = total((self._seen, Statistics(*_COUNTS.unpack(data))))
        return self._seen

    def close(self) -> None:
        """Stop capturing and give the memory back."""
        if self._socket.fileno() >= 0:
            self.statistics()
            self._memory.close()
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def frames(memory: mmap.mmap | bytes, base: int, count: int, first: int) -> Iterator[Frame]:
    """Iterate over the packets of the block that begins at ``base``; stops where its numbers make no sense."""
    offset, end = base + first, min(base + BLOCK, len(memory))
    for _ in range(count):
        if offset < base or offset + _HEADER_SIZE > end:
            return
        after, seconds, nanoseconds, size, length, network, protocol, interface, kind = _HEADER(memory, offset)
        begin = offset + network
        if network < _HEADER_SIZE or begin + size > end:
            return
        yield Frame(seconds, nanoseconds, interface, kind, socket.ntohs(protocol), memory[begin : begin + size], length)
        if not after:
            return
        offset += after


def _bind(channel: socket.socket) -> None:
    """Receive every protocol of every interface, also of those that come later: Python has no name for "all"."""
    import ctypes

    # sockaddr_ll: family, protocol in network order, interface (0: all), then what only senders need
    address = struct.pack("=HHi12x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(channel.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number))
