"""Opens one connection from inside a network namespace, and says how far it came and who refused it.

The kernel keeps, for a connection that was refused by an ICMP message, who sent that (ip(7), IP_RECVERR): a router or
the firewall of this very host that says no is the gap at work; the far host itself saying no has been reached.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.kernel import netns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.address import Address
    from airgap_check.kernel.netns import Namespace

CONNECT_SECONDS = 3.0
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_REPORT = struct.Struct("=IBBBBII")  # sock_extended_err: errno, origin, type, code ..., then the offender's sockaddr
_OFFENDER = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}  # sin_addr, sin6_addr
_RESET_ON_CLOSE = struct.pack("=ii", 1, 0)  # SO_LINGER
_REFUSALS = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL})
_ANSWERS = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE})  # the last two: accepted, then thrown out

Fate = Literal["connected", "refused", "unreachable", "timeout", "failed"]


class Dialled(NamedTuple):
    """What became of an attempt; ``by`` is who refused it where that was told, None where it was the far end."""

    fate: Fate
    detail: str = ""
    by: Address | None = None


def sockets(namespace: Namespace, addresses: Sequence[Address]) -> list[socket.socket]:
    """Create a socket for each address inside a namespace, where they stay whoever uses them; raises OSError.

    They are made at once, so that the namespace is joined once.
    """

    def create() -> list[socket.socket]:
        made: list[socket.socket] = []
        try:
            for address in addresses:
                family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
                made.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
        except OSError:
            for end in made:
                end.close()
            raise
        return made

    return netns.inside(namespace, create)


def reach(end: socket.socket, address: Address, port: int, *, until: float, reset: bool = False) -> Dialled:
    """Connect, once, before a time of `time.monotonic`; the socket stays the caller's to close.

    ``reset`` makes closing it leave nothing behind, no socket in TIME-WAIT either.
    """
    with suppress(OSError):
        end.setsockopt(*_RECVERR[end.family], 1)
    if reset:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.settimeout(max(0.001, until - time.monotonic()))
    try:
        end.connect((str(address), port))
    except TimeoutError:
        return Dialled("timeout", "no answer to the first packet")
    except OSError as error:
        return _failure(end, address, error)
    with suppress(OSError):
        end.setsockopt(*_RECVERR[end.family], 0)  # from here on the kernel is to bear what it usually bears
    return Dialled("connected")


def _failure(end: socket.socket, address: Address, error: OSError) -> Dialled:
    by = _offender(end)
    why = error.strerror or type(error).__name__
    if by is not None and by != address:
        return Dialled("unreachable", f"{why}: said by {by}", by)
    if error.errno in _ANSWERS:
        return Dialled("refused", why)
    if error.errno in _REFUSALS:
        return Dialled("refused" if by == address else "unreachable", why, by)
    return Dialled("failed", why)


def _offender(end: socket.socket) -> Address | None:
    """Return who sent the ICMP message that ended an attempt; None where it was no such message."""
    end.settimeout(0)
    try:
        _, ancillary, _, _ = end.recvmsg(1, 128, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    for _, _, data in ancillary:
        if len(data) < _REPORT.size + 2:
            continue
        family = struct.unpack_from("=H", data, _REPORT.size)[0]
        packed = data[_REPORT.size :][_OFFENDER[family]] if family in _OFFENDER else b""
        if packed:
            return ip_address(packed)
    return None
