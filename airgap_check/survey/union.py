"""Makes one fact of what several collectors saw: each connection is told by whoever saw it best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.evidence import Connection

Place = tuple[str, str | None, int | None]  # protocol, address, and port of whoever serves


def united(connections: Iterable[Connection]) -> list[Connection]:
    """Return the connections without those that a better observer saw too, directions corrected by attempts.

    Attempts and sockets know the process, packets and sockets that were left behind (TIME-WAIT) never do, and the
    notifications of sockets only sometimes. What was seen to be attempted is outbound, whatever its ports suggest.
    """
    seen = list(connections)
    if all(connection.seen == "sockets" for connection in seen):
        return seen
    attempted = {_place(connection) for connection in seen if connection.seen == "attempts"}
    seen = [_turned(connection, attempted) for connection in seen]
    best = {_place(connection) for connection in seen if connection.seen in {"attempts", "sockets"}}
    addresses = {(protocol, address) for protocol, address, _ in best}
    closed = [one for one in seen if one.seen == "sockdiag" and not _is_explained(one, best, addresses)]
    better = best | {_place(connection) for connection in closed}
    return [
        connection
        for connection in seen
        if not (connection.seen == "sockets" and connection.ownerless and _place(connection) in attempted)
        and (connection.seen != "sockdiag" or not _is_explained(connection, best, addresses))
        and (connection.seen != "traffic" or _place(connection) not in better)
    ]


def _turned(connection: Connection, attempted: set[Place]) -> Connection:
    """Call a socket outbound whose far end was attempted; clients that connected to us are grouped without a port."""
    if connection.seen != "sockets" or connection.direction == "outbound" or connection.remote.port is None:
        return connection
    outbound = replace(connection, direction="outbound")
    return outbound if _place(outbound) in attempted else connection


def _is_explained(connection: Connection, best: set[Place], addresses: set[tuple[str, str | None]]) -> bool:
    """Tell whether a closed socket was seen otherwise; the kernel forgets the port of one that was refused."""
    place = _place(connection)
    return place in best or (not connection.remote.port and place[:2] in addresses)


def _place(connection: Connection) -> Place:
    """Return what is the same for all who see a connection: inbound, the port is ours. Pings have none."""
    protocol, address = connection.protocol, connection.remote.address
    if protocol in {"raw", "icmp"}:
        return "icmp", address, None
    if connection.direction == "inbound":
        return f"{protocol} inbound", address, connection.local.port
    return protocol, address, connection.remote.port
