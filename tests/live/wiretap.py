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
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        made.setsockopt(socket.SOL_SOCKET, 33, _ROOM)  # SO_RCVBUFFORCE
        made.bind(("eth0", 0x0800))
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
                if address[2] == _INCOMING and (packet := _read(data)):
                    found.append(packet)
        return found

    def tried(self) -> list[tuple[str, int]]:
        """Return the targets of TCP connections, one for each attempt."""
        attempts = {(packet.source, packet.target) for packet in self.heard() if packet.protocol == "tcp"}
        return sorted(target for _, target in attempts)


def _read(data: bytes) -> Heard | None:
    """Read an IPv4 packet; of TCP only what opens a connection."""
    header = (data[0] & 15) * 4
    source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    name = {6: "tcp", 17: "udp"}.get(data[9])
    if name is None:
        return Heard(f"protocol {data[9]}", (source, 0), (target, 0))
    ports = struct.unpack_from("!HH", data, header)
    if name == "tcp" and data[header + 13] & (_SYN | _ACK) != _SYN:
        return None
    return Heard(name, (source, ports[0]), (target, ports[1]))
