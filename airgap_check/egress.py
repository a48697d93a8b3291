"""Judges every connection once, by whoever saw it best: what several collectors saw is one fact."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.address import PUBLIC
from airgap_check.allowlist import Decision
from airgap_check.evidence import Connection, EntryUse
from airgap_check.finding import JudgedConnection
from airgap_check.selector import selects
from airgap_check.view import ConnectionView, PeerView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.allowlist import Allowlist
    from airgap_check.fact import Endpoint
    from airgap_check.inspection import Inspection
    from airgap_check.policy import Policy

Place = tuple[str, str | None, int | None]  # protocol, address, and port of whoever serves


class Egress:
    """The connections of an inspection under a policy, and which entries they needed."""

    def __init__(self, inspection: Inspection, policy: Policy, allowlist: Allowlist) -> None:
        """Judge every connection."""
        self._policy, self._allowlist = policy, allowlist
        self.outbound: list[ConnectionView] = []
        self.peers: list[PeerView] = []
        self.judged: list[JudgedConnection] = []
        self.uses: Counter[str | None] = Counter()
        self.owner_unknown = 0
        for use in inspection.records(EntryUse):
            self.uses[use.entry] += use.count
        for connection in united(inspection.records(Connection)):
            self._judge(connection)

    def _judge(self, connection: Connection) -> None:
        remote = self._allowlist.scoped(connection.remote)
        terms = self._policy.terms
        if connection.direction == "inbound":
            decision = self._allowlist.peer(connection)
            self.peers.append(PeerView(policy=terms, record=connection, remote=remote, allowed=decision.allowed))
        else:
            decision = self._outbound(connection, remote)
            self.outbound.append(
                ConnectionView(policy=terms, record=connection, remote=remote, allowed=decision.allowed)
            )
        self.judged.append(JudgedConnection(record=connection, allowed=decision.allowed, by=decision.by))

    def _outbound(self, connection: Connection, remote: Endpoint) -> Decision:
        decision = self._allowlist.connection(connection)
        if decision.allowed == "yes":
            self.uses[decision.by] += 1
            self.owner_unknown += connection.count if connection.ownerless else 0
        elif remote.scope not in PUBLIC and not self._is_subject(connection):
            return Decision("yes", "scope.others: public-only")
        return decision

    def _is_subject(self, connection: Connection) -> bool:
        """Tell whether a connection is judged in full; one whose owner cannot be told is."""
        scope = self._policy.file.scope
        if scope.others == "judge" or scope.subject is None:
            return True
        if connection.ownerless and connection.workload is None:
            return True
        return selects(scope.subject, connection.process, connection.workload, connection.user) != "no"


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
