"""Makes one fact of what several collectors saw: each connection is told by whoever saw it best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.policy.allowlist import RAW_ICMP
from airgap_check.policy.reach import spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airgap_check.evidence import Allowed, Connection

Place = tuple[str, str | None, int | None]  # protocol, address, and port of whoever serves

_BEST = frozenset({"attempts", "sockets"})
_SILENT = "connect"  # the state of a datagram socket that was connected and sent nothing: it explains no packet
_HARSHER: tuple[Allowed, ...] = ("yes", "unknown", "no")
_SOMEWHERE = 0  # the network namespace of an attempt that had gone before it could be told


class _Known:
    """What was seen of connections by those who know them well, by network namespace and place."""

    def __init__(self, connections: Iterable[Connection], judge: Callable[[Connection], Allowed]) -> None:
        self._judge = judge
        self._by_place: dict[Place, dict[int, Connection]] = {}
        self._addresses: set[tuple[int, str, str | None]] = set()
        for connection in connections:
            place = _place(connection)
            self._by_place.setdefault(place, {}).setdefault(connection.netns, connection)
            self._addresses.add((connection.netns, *place[:2]))

    def here(self, connection: Connection) -> bool:
        """Tell whether the same was seen in the same network namespace."""
        return connection.netns in self._by_place.get(_place(connection), ())

    def closed(self, socket: Connection) -> bool:
        """Tell whether a closed socket was seen otherwise; the kernel forgets the port of one that was refused."""
        if socket.remote.port:
            return self.here(socket)
        protocol, address, _ = _place(socket)
        return any((netns, protocol, address) in self._addresses for netns in (socket.netns, _SOMEWHERE))

    def forwarded(self, packet: Connection) -> bool:
        """Tell whether a packet is another network namespace's, which this one forwards.

        Nothing in the packet says so. It is taken for that only if what is known of the other is judged no milder than
        the packet would be there: what one program may do never hides what another did.
        """
        return any(
            _HARSHER.index(self._judge(other)) >= _HARSHER.index(self._judge(replace(packet, netns=netns)))
            for netns, other in self._by_place.get(_place(packet), {}).items()
        )


def united(connections: Iterable[Connection], judge: Callable[[Connection], Allowed]) -> list[Connection]:
    """Return the connections without those that a better observer saw too, directions corrected by attempts.

    Attempts and sockets know the process, packets and sockets that were left behind (TIME-WAIT) never do, and the
    notifications of sockets only sometimes. What was seen to be attempted is outbound, whatever its ports suggest.
    ``judge`` says what the allowlist says of a connection.
    """
    seen = list(connections)
    if all(connection.seen == "sockets" for connection in seen):
        return seen
    attempted = _Known((one for one in seen if one.seen == "attempts"), judge)
    seen = [_turned(connection, attempted) for connection in seen]
    best = _Known((one for one in seen if one.seen in _BEST), judge)
    closed = [one for one in seen if one.seen == "sockdiag" and not best.closed(one)]
    better = _Known([*(one for one in seen if one.seen in _BEST and one.state != _SILENT), *closed], judge)
    return [
        connection
        for connection in seen
        if not (connection.seen == "sockets" and connection.ownerless and attempted.here(connection))
        and (connection.seen != "sockdiag" or not best.closed(connection))
        and (connection.seen != "traffic" or not (better.here(connection) or better.forwarded(connection)))
    ]


def without_sorting(connections: list[Connection]) -> list[Connection]:
    """Return the connections of a rehearsal without the sockets that only sorted the addresses of a name (RFC 6724).

    Such a one sent nothing, and its program dialled the same name and port by TCP, which is judged no milder.
    """
    dialled: set[tuple[str | None, int | None, int | None]] = set()
    for one in connections:
        if one.protocol == "tcp" and one.remote.name:
            pid = one.process.pid if one.process else None
            dialled |= {(one.remote.name, one.remote.port, pid), (one.remote.name, None, pid)}

    def only_sorts(one: Connection) -> bool:
        if one.protocol != "udp" or one.state != _SILENT:
            return False
        return (one.remote.name, spoken(one)[1], one.process.pid if one.process else None) in dialled

    return [one for one in connections if not only_sorts(one)]


def with_met(connections: list[Connection], met: Iterable[Connection]) -> list[Connection]:
    """Return the connections of a rehearsal with what the world met and nobody else told.

    A program that connects a datagram socket and then writes to it makes no call that names a place, and looks to the
    observer of calls like one that sorts addresses: whoever was spoken to knows better.
    """
    known: set[tuple[Place, int | None]] = set()
    for one in connections:
        if one.state != _SILENT:
            known |= {(_place(one), one.process.pid if one.process else None), (_place(one), None)}
    return [
        *connections,
        *(one for one in met if (_place(one), one.process.pid if one.process else None) not in known),
    ]


def _turned(connection: Connection, attempted: _Known) -> Connection:
    """Call a socket outbound whose far end was attempted; clients that connected to us are grouped without a port."""
    if connection.seen != "sockets" or connection.direction == "outbound" or connection.remote.port is None:
        return connection
    outbound = replace(connection, direction="outbound")
    return outbound if attempted.here(outbound) else connection


def _place(connection: Connection) -> Place:
    """Return what is the same for all who see a connection: inbound, the port is ours. Pings have none."""
    protocol, address = connection.protocol, connection.remote.address
    if protocol == "icmp" or (protocol == "raw" and connection.state in RAW_ICMP):
        return "icmp", address, None
    if protocol == "raw":
        return "raw", address, None
    if connection.direction == "inbound":
        return f"{protocol} inbound", address, connection.local.port
    return protocol, address, connection.remote.port
