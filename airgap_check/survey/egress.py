"""Judges every connection once, and keeps which entries of the allowlist were needed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from airgap_check.address import PUBLIC
from airgap_check.evidence import Connection, EntryUse, Listener, Runtime
from airgap_check.evidence.rehearsed import Encounter
from airgap_check.finding import JudgedConnection
from airgap_check.policy.allowlist import Decision
from airgap_check.policy.selector import selects
from airgap_check.survey.place import shown
from airgap_check.survey.reached import connection_of
from airgap_check.survey.union import united, with_met, without_sorting
from airgap_check.view import ConnectionView, PeerView

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.policy import Policy
    from airgap_check.policy.allowlist import Allowlist


class Egress:
    """The connections of an inspection under a policy, and which entries they needed."""

    def __init__(self, inspection: Inspection, policy: Policy, allowlist: Allowlist) -> None:
        """Judge every connection."""
        self._policy, self._allowlist = policy, allowlist
        self._rehearsed = inspection.source == "rehearsal"  # of which everything is the subject
        self._trusts_callers = policy.file.inbound is not None or not inspection.observed
        self._knows_listeners = inspection.of("listeners").status == "complete"
        self._served = {(one.netns, one.protocol, one.local.port) for one in inspection.records(Listener)}
        self.outbound: list[ConnectionView] = []
        self.peers: list[PeerView] = []
        self.judged: list[JudgedConnection] = []
        self._roles: dict[str | None, str] = {e.name: e.role for e in policy.file.allow if e.for_ is None}
        runtimes = list(inspection.records(Runtime))
        self._product = {one.process.pid for one in runtimes}, {one.workload for one in runtimes if one.workload}
        self.uses: Counter[str | None] = Counter()
        self.owner_unknown = 0
        for use in inspection.records(EntryUse):
            self.uses[use.entry] += use.count
        connections = united(inspection.records(Connection), lambda one: allowlist.decide(one).allowed)
        if self._rehearsed:
            met = (connection_of(one) for one in inspection.records(Encounter) if one.seen == "world")
            connections = with_met(without_sorting(connections), met)
        for connection in connections:
            self._judge(connection)

    def _judge(self, connection: Connection) -> None:
        remote = self._allowlist.scoped(connection.remote)
        terms = self._policy.terms
        if connection.direction == "inbound" and remote.scope in PUBLIC and not self._is_caller(connection):
            connection = replace(connection, direction="unknown")
        if connection.direction == "inbound":
            decision = self._allowlist.peer(connection)
            self.peers.append(PeerView(policy=terms, record=connection, remote=remote, allowed=decision.allowed))
        else:
            decision = self._outbound(connection, remote)
            view = ConnectionView(
                policy=terms,
                record=connection,
                remote=remote,
                target=shown(remote),
                allowed=decision.allowed,
                role=self._roles.get(decision.by),
                of_product=self._of_product(connection),
            )
            self.outbound.append(view)
        self.judged.append(JudgedConnection(record=connection, allowed=decision.allowed, by=decision.by))

    def _of_product(self, connection: Connection) -> Literal["yes", "no", "unknown"]:
        """Tell whether a connection is the product's, by its process or by whoever runs it."""
        pids, workloads = self._product
        process, workload = connection.process, connection.workload
        if (process and process.pid in pids) or (workload and workload in workloads):
            return "yes"
        return "no" if pids and process and (workload is None or workload.kind != "unknown") else "unknown"

    def _is_caller(self, connection: Connection) -> bool:
        """Tell whether a public peer may be left unjudged because it was he who called.

        A snapshot has no more than ports to tell by. Who observes, where the policy does not say who may call, wants to
        see that he did: that he spoke first can be staged, and so can the datagram socket of a server; what remains is
        a TCP connection to a port that somebody listens on, from one that callers have.
        """
        if self._trusts_callers:
            return True
        if connection.seen == "attempts" or connection.protocol != "tcp":
            return False
        served = (connection.netns, "tcp", connection.local.port) in self._served or not self._knows_listeners
        # The port of a caller is left out of the record of a socket, but for one that only services have.
        return served and (connection.seen != "sockets" or not connection.remote.port)

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
        if scope.others == "judge" or scope.subject is None or self._rehearsed:
            return True
        if connection.ownerless and connection.workload is None:
            return True
        return selects(scope.subject, connection.process, connection.workload, connection.user) != "no"
