"""Hears what arrives at a laboratory host: the first packet of every connection, and every datagram."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from airgap_check.kernel import syscalls

if TYPE_CHECKING:
    from types import TracebackType

    from tests.live.lab_host import Host

_ROOM = 8 << 20
_INCOMING = 0  # PACKET_HOST
_EVERYTHING = 3  # ETH_P_ALL
_SYN, _ACK = 2, 16


class Heard(NamedTuple):
    """A packet by its source, so that what is sent twice can be told from what is tried twice."""

    protocol: str
    source: tuple[str, int]
    target: tuple[str, int]


class Wiretap:
    """Listens at ``eth0`` of a host from its start to its end."""

    def __init__(self, host: Host) -> None:
        self._made: list[socket.socket] = []
        thread = threading.Thread(target=self._open, args=(host.netns,))
        thread.start()
        thread.join()
        (self._socket,) = self._made

    def _open(self, namespace: int) -> None:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        made.setsockopt(socket.SOL_SOCKET, 33, _ROOM)  # SO_RCVBUFFORCE
        made.bind(("eth0", _EVERYTHING))
        made.settimeout(0)
        self._made.append(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def heard(self) -> list[Heard]:
        """Return what has arrived since the last call."""
        found = []
        with suppress(BlockingIOError):
            while True:
                data, address = self._socket.recvfrom(1 << 16)
                if address[2] == _INCOMING and (packet := _READERS.get(address[1], _ignore)(data)):
                    found.append(packet)
        return found

    def tried(self) -> list[tuple[str, int]]:
        """Return the targets of TCP connections, one for each attempt."""
        attempts = {(packet.source, packet.target) for packet in self.heard() if packet.protocol == "tcp"}
        return sorted(target for _, target in attempts)


def _ignore(_: bytes) -> Heard | None:
    return None


def _four(data: bytes) -> Heard | None:
    header = (data[0] & 15) * 4
    return _read(data[header:], data[9], socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20]))


def _six(data: bytes) -> Heard | None:
    """Read an IPv6 packet; what neighbours say to each other is left out."""
    if data[6] in {0, 58}:  # multicast listeners, ICMPv6
        return None
    source, target = (socket.inet_ntop(socket.AF_INET6, data[at : at + 16]) for at in (8, 24))
    return _read(data[40:], data[6], source, target)


_READERS = {0x0800: _four, 0x86DD: _six}


def _read(data: bytes, protocol: int, source: str, target: str) -> Heard | None:
    """Read what a packet carries; of TCP only what opens a connection."""
    name = {6: "tcp", 17: "udp"}.get(protocol)
    if name is None:
        return Heard(f"protocol {protocol}", (source, 0), (target, 0))
    ports = struct.unpack_from("!HH", data)
    if name == "tcp" and data[13] & (_SYN | _ACK) != _SYN:
        return None
    return Heard(name, (source, ports[0]), (target, ports[1]))
