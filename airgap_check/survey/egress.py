"""Judges every connection once, and keeps which entries of the allowlist were needed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC
from airgap_check.allowlist import Decision
from airgap_check.evidence import Connection, EntryUse
from airgap_check.finding import JudgedConnection
from airgap_check.selector import selects
from airgap_check.survey.union import united
from airgap_check.view import ConnectionView, PeerView

if TYPE_CHECKING:
    from airgap_check.allowlist import Allowlist
    from airgap_check.fact import Endpoint
    from airgap_check.inspection import Inspection
    from airgap_check.policy import Policy


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
