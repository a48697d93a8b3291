"""Stands in one network namespace, hears of the sockets that end there, and tells who called whom."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.direction import TcpDirection, UdpDirection
from airgap_check.kernel.peer import plain
from airgap_check.kernel.sock_diag import CLOSE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.evidence import Direction, Protocol
    from airgap_check.kernel.destroy_events import DestroyEvents, Ended
    from airgap_check.kernel.netns import Namespace
    from airgap_check.kernel.sock_diag import Row

_LOOPBACK6 = bytes(15) + b"\1"


class Owner(NamedTuple):
    """Who held a socket when the tables were read; ``at`` is CLOCK_MONOTONIC in nanoseconds."""

    pid: int
    uid: int
    cgroup: int
    at: int


class Group(NamedTuple):
    """What sockets share that are one record; a port is None where it is the ephemeral one, or unknown."""

    netns: int
    protocol: Protocol
    direction: Direction
    local: bytes
    local_port: int | None
    remote: bytes
    remote_port: int | None
    owner: Owner | None


class Post:
    """One namespace that we listen in, and what its tables said about who calls whom."""

    def __init__(self, namespace: Namespace, events: DestroyEvents) -> None:
        self.namespace = namespace
        self.events = events
        self.ephemeral = self.initial = range(0)
        self.learn([], [])

    def learn(self, tcp: Iterable[Row], udp: Iterable[Row]) -> None:
        """Note who listens."""
        self.tcp = TcpDirection(tcp, self.ephemeral, self.initial)
        self.udp = UdpDirection(udp, self.ephemeral)

    def direction(self, event: Ended) -> Direction:
        """Tell who called whom; a socket without a port of its own never came to be called."""
        if not event.local_port:
            return "outbound"
        rule = self.tcp if event.protocol == socket.IPPROTO_TCP else self.udp
        return rule.of(CLOSE, event.local, event.local_port, event.remote_port)

    def group(self, event: Ended, owner: Owner | None) -> Group:
        """Return what an event shares with others like it."""
        direction = self.direction(event)
        ours = None if direction == "outbound" and event.local_port in self.ephemeral else event.local_port
        theirs = None if direction == "inbound" else event.remote_port
        protocol: Protocol = "tcp" if event.protocol == socket.IPPROTO_TCP else "udp"
        return Group(
            self.namespace.inode, protocol, direction, event.local, ours or None, event.remote, theirs or None, owner
        )

    def where(self) -> str:
        """Name the namespace."""
        return f"net:[{self.namespace.inode}]"


def is_loopback(packed: bytes) -> bool:
    """Tell whether an address is of 127.0.0.0/8, mapped or not, or ::1."""
    bare = plain(packed)
    return bare[0] == 127 if len(bare) == 4 else bare == _LOOPBACK6
