"""Reads where a call of the socket API wants to go, from its arguments and the memory that they point to.

Source: connect(2), send(2), sendmmsg(2), struct msghdr and mmsghdr of include/linux/socket.h (64 bits), net/socket.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airgap_check.kernel.seccomp import Notice

    Reader = Callable[[int, int], bytes]  # address and size; gives less where there is less

ENOUGH = 28  # bytes of a name: a struct sockaddr_in6, the longest that we read but for those of socket files
_UNIX, _LONGEST_FILE = b"\1\0", 110  # AF_UNIX, struct sockaddr_un
_LONGEST_NAME = 128  # struct sockaddr_storage
_MOST = 1024  # UIO_MAXIOV: of more messages in one call the kernel takes no notice
_HEADER, _ELEMENT = 56, 64  # struct msghdr, struct mmsghdr
_NAME = struct.Struct("=Qi")  # msg_name, msg_namelen
_HALF = 0xFFFFFFFF


class Sent(NamedTuple):
    """One name that a call gives the kernel: the start of a struct sockaddr. ``connects`` is unset for datagrams."""

    descriptor: int
    name: bytes
    connects: bool
    flags: int = 0


class UnreadableError(Exception):
    """A part of the memory that the call points to cannot be read; ``seen`` is what was read before."""

    def __init__(self, seen: tuple[Sent, ...] = ()) -> None:
        super().__init__("memory that a call points to cannot be read")
        self.seen = seen


def names(notice: Notice, read: Reader) -> tuple[Sent, ...]:
    """Return the names that a call gives, those left out that the kernel refuses; raises UnreadableError, OSError."""
    given = notice.arguments
    descriptor = _signed(given[0])
    if notice.call == "connect":
        return _one(descriptor, given[1], _signed(given[2]), read, connects=True)
    if notice.call == "sendto":
        return _one(descriptor, given[4], _signed(given[5]), read, flags=given[3] & _HALF)
    if notice.call == "sendmsg":
        pointer, length = _NAME.unpack(_exactly(read, given[1], _NAME.size))
        return _of_message(descriptor, pointer, length, read, given[2] & _HALF)
    if notice.call == "sendmmsg":
        return _of_messages(descriptor, given, read)
    return ()


def _of_messages(descriptor: int, given: tuple[int, ...], read: Reader) -> tuple[Sent, ...]:
    wanted = min(given[2] & _HALF, _MOST) * _ELEMENT
    block = read(given[1], wanted) if wanted else b""
    found: list[Sent] = []
    known: dict[tuple[int, int], tuple[Sent, ...]] = {}
    try:
        for pointer, length in _headers(block):
            if (pointer, length) not in known:
                known[pointer, length] = _of_message(descriptor, pointer, length, read, given[3] & _HALF)
            found += known[pointer, length]
    except UnreadableError:
        raise UnreadableError(tuple(found)) from None
    # Where the last header stops is no matter: its first part tells what it names.
    if len(block) + _ELEMENT - _HEADER < wanted:
        raise UnreadableError(tuple(found))
    return tuple(found)


def _headers(block: bytes) -> Iterator[tuple[int, int]]:
    for at in range(0, len(block) - _HEADER + 1, _ELEMENT):
        yield _NAME.unpack_from(block, at)


def _of_message(descriptor: int, pointer: int, length: int, read: Reader, flags: int) -> tuple[Sent, ...]:
    """Read the name of a message: none, where it has no length or no place; one that is too long is cut."""
    return _one(descriptor, pointer, min(length, _LONGEST_NAME), read, flags=flags)


def _one(
    descriptor: int, pointer: int, length: int, read: Reader, *, connects: bool = False, flags: int = 0
) -> tuple[Sent, ...]:
    if (not pointer and not connects) or not 0 < length <= _LONGEST_NAME:
        return ()
    name = _exactly(read, pointer, min(length, ENOUGH))
    if name.startswith(_UNIX) and length > ENOUGH:
        name += _exactly(read, pointer + ENOUGH, min(length, _LONGEST_FILE) - ENOUGH)
    return (Sent(descriptor, name, connects, flags),)


def _exactly(read: Reader, address: int, size: int) -> bytes:
    data = read(address, size)
    if len(data) < size:
        raise UnreadableError
    return data


def _signed(argument: int) -> int:
    """Return an int of C, of which the kernel takes the lower half of the register."""
    low = argument & _HALF
    return low - (1 << 32) if low >> 31 else low
