"""Asks the kernel for a table over netlink and says when the answer is not whole.

Source: RFC 3549, include/uapi/linux/netlink.h, netlink(7). Messages are in the byte order of the host.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER = 16
MULTIPART = 0x2  # NLM_F_MULTI
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DUMP_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
_ERROR, _DONE, _FIRST_DATA = 2, 3, 16  # NLMSG_ERROR, NLMSG_DONE, NLMSG_MIN_TYPE
_SECONDS = 10
_LONGEST = 1 << 16  # the kernel builds no dump datagram above 32 KiB

_HEAD = struct.Struct("=IHHII")
_WORDS = struct.Struct("=IHH").unpack_from
_STATUS = struct.Struct("=i").unpack_from
_ATTRIBUTE = struct.Struct("=HH").unpack_from

Bytes = bytes | memoryview


def connect(protocol: int) -> socket.socket:
    """Open a channel to the kernel in the network namespace of the calling thread; it stays there for life."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    # A dump never has to wait; should the kernel ever not answer, an error is better than a hung audit.
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _SECONDS, 0))
    return channel


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return a message to the kernel."""
    return _HEAD.pack(HEADER + len(body), kind, flags, sequence, 0) + body


def dump_request(kind: int, body: bytes) -> bytes:
    """Return the message that asks for a whole table."""
    return message(kind, _REQUEST_DUMP, 1, body)


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute of a message to the kernel, up to where the next one begins."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def dump(channel: socket.socket, request: bytes, consume: Callable[[memoryview], bool]) -> None:
    """Send a request and give every datagram of the answer to ``consume``, until it says that the answer has ended.

    Raises OSError: what the kernel reports, EMSGSIZE for a datagram that was cut, EAGAIN when the kernel is silent.
    After an error the channel may hold the rest of the answer: close it.
    """
    channel.send(request)
    buffer = memoryview(bytearray(_LONGEST))
    while True:
        size, sender = channel.recvfrom_into(buffer, 0, socket.MSG_TRUNC)
        if size > _LONGEST:
            raise OSError(errno.EMSGSIZE, "the kernel's answer was cut")
        if sender[0] != 0:
            continue  # root of a user namespace may write to our channel in his network namespace; only 0 is the kernel
        if consume(buffer[:size]):
            return


def ends(data: Bytes, position: int) -> bool:
    """Tell whether the message at ``position`` is the last of a dump; raises OSError when it reports a failure.

    A dump that failed says so inside its NLMSG_DONE, where it is easily read as "there are none".
    """
    if position + HEADER > len(data):
        raise malformed()
    length, kind, flags = _WORDS(data, position)
    if length < HEADER or position + length > len(data):
        raise malformed()
    if flags & _DUMP_INTERRUPTED:
        raise InterruptedError(errno.EINTR, "the table changed while the kernel listed it")
    if kind not in {_ERROR, _DONE}:
        return False
    status = _STATUS(data, position + HEADER)[0] if length >= HEADER + 4 else 0
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    return True  # an error of 0 is a bare acknowledgement: nothing follows it either


def messages(data: Bytes) -> Iterator[tuple[int, int, int] | None]:
    """Iterate over the data messages of a datagram as (kind, start and end of the body); None is the end of the dump.

    Raises OSError as `ends` does.
    """
    position = 0
    while position < len(data):
        if ends(data, position):
            yield None
            return
        length, kind, _ = _WORDS(data, position)
        if kind >= _FIRST_DATA:
            yield kind, position + HEADER, position + length
        position += aligned(length)


def attributes(data: Bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Iterate over attributes as (kind, start and end of the value); raises OSError (EBADMSG) for nonsense."""
    while start < end:
        if start + 4 > end:
            raise malformed()
        length, kind = _ATTRIBUTE(data, start)
        if length < 4 or start + length > end:
            raise malformed()
        yield kind & 0x3FFF, start + 4, start + length  # the two high bits are flags (NLA_F_NESTED, NET_BYTEORDER)
        start += aligned(length)


def aligned(length: int) -> int:
    """Round up to where the next message or attribute begins."""
    return (length + 3) & ~3


def malformed() -> OSError:
    """Return the error for bytes that are not what the kernel's headers promise."""
    return OSError(errno.EBADMSG, "the kernel's answer makes no sense")
