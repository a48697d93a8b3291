"""Turns evidence and policy into the views that rules judge, once a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import msgspec

from airgap_check.address import PUBLIC, may_be_short, scope_of_network
from airgap_check.allowlist import NEVER_EGRESS, Allowlist, Decision, matches
from airgap_check.evidence import Answer, Connection, Listener, PolicyTrust, Posture, Resolver, Runtime, Setting
from airgap_check.fact import Endpoint, Place
from airgap_check.finding import JudgedConnection
from airgap_check.policy import DEFAULT_REQUIRE, Entry, Policy, many, networks_of, normal, port_range
from airgap_check.selector import selects
from airgap_check.view import (
    AnswerView,
    ConnectionView,
    DeploymentView,
    EndpointView,
    ListenerView,
    PeerView,
    PolicyEntryView,
    PolicyFileView,
    PolicyNetworkView,
    PolicyRequirementView,
    ResolvedView,
    ResolverView,
    SettingView,
    View,
    YesNo,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airgap_check.address import Network
    from airgap_check.inspection import Inspection


class Survey:
    """One inspection under one policy: its views by kind, and every connection with what the allowlist says of it."""

    def __init__(self, inspection: Inspection, policy: Policy) -> None:
        """Judge every connection once; the other views are made when a rule asks for them."""
        self._inspection, self._policy = inspection, policy
        self._terms = policy.terms
        self.answers = list(inspection.records(Answer))
        self.allowlist = Allowlist(policy, self.answers, inspection.started.date())
        self._uses: Counter[str | None] = Counter()
        self._views: dict[str, list[View]] = {}
        self.connections: list[JudgedConnection] = []
        self.owner_unknown = 0
        self._judge_connections()

    def views(self, kind: str) -> list[View]:
        """Return the views of one kind, in the order of the evidence."""
        if kind not in self._views:
            makers: dict[str, Callable[[], Iterator[View]]] = {
                "listener": self._listeners,
                "setting": self._settings,
                "endpoint": self._endpoints,
                "deployment": self._deployment,
                "resolver": self._resolvers,
                "answer": self._named,
                "resolved": self._resolved,
                "policy-entry": self._entries,
                "policy-network": self._networks,
                "policy-file": self._file,
                "policy-requirement": self._requirements,
            }
            self._views[kind] = list(makers[kind]())
        return self._views[kind]

    def _judge_connections(self) -> None:
        outbound: list[View] = []
        peers: list[View] = []
        for connection in self._inspection.records(Connection):
            remote = self.allowlist.scoped(connection.remote)
            if connection.direction == "inbound":
                decision = self.allowlist.peer(connection)
                peers.append(PeerView(policy=self._terms, record=connection, remote=remote, allowed=decision.allowed))
            else:
                decision = self._outbound(connection, remote)
                outbound.append(
                    ConnectionView(policy=self._terms, record=connection, remote=remote, allowed=decision.allowed)
                )
            self.connections.append(JudgedConnection(record=connection, allowed=decision.allowed, by=decision.by))
        self._views["connection"], self._views["peer"] = outbound, peers

    def _outbound(self, connection: Connection, remote: Endpoint) -> Decision:
        decision = self.allowlist.connection(connection)
        if decision.allowed == "yes":
            self._uses[decision.by] += 1
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

    def _listeners(self) -> Iterator[View]:
        for listener in self._inspection.records(Listener):
            decision = self.allowlist.listener(listener)
            yield ListenerView(policy=self._terms, record=listener, allowed=decision.allowed)

    def _settings(self) -> Iterator[View]:
        for setting in self._inspection.records(Setting):
            yield SettingView(
                policy=self._terms, record=setting, where=_where(setting.place), meaning=_MEANINGS[setting.posture]
            )

    def _endpoints(self) -> Iterator[View]:
        for setting in self._inspection.records(Setting):
            for end in setting.endpoints:
                decision = self.allowlist.endpoint(setting, end)
                self._uses[decision.by] += decision.allowed == "yes"
                yield EndpointView(
                    policy=self._terms,
                    record=setting,
                    remote=self._located(end),
                    allowed=decision.allowed,
                    where=_where(setting.place),
                    target=_target(end),
                )

    def _located(self, end: Endpoint) -> Endpoint:
        """Give a named endpoint the worst address that its name was seen to have."""
        if not end.name or end.address:
            return self.allowlist.scoped(end)
        found = [
            self.allowlist.scoped(address)
            for answer in self.answers
            if answer.name == end.name
            for address in answer.addresses
        ]
        worst = next((address for address in found if address.scope in PUBLIC), found[0] if found else None)
        return msgspec.structs.replace(worst, port=end.port, name=end.name) if worst else end

    def _deployment(self) -> Iterator[View]:
        yield DeploymentView(policy=self._terms, runtimes=sum(1 for _ in self._inspection.records(Runtime)))

    def _resolvers(self) -> Iterator[View]:
        for resolver in self._inspection.records(Resolver):
            end = self.allowlist.scoped(Endpoint(address=resolver.address, scope=resolver.scope))
            decision = self.allowlist.resolver(resolver.address)
            self._uses[decision.by] += decision.allowed == "yes"
            allowed = "yes" if end.scope in NEVER_EGRESS else decision.allowed
            yield ResolverView(policy=self._terms, record=resolver, scope=end.scope, allowed=allowed)

    def _named(self) -> Iterator[View]:
        for answer in self.answers:
            yield AnswerView(policy=self._terms, record=answer)

    def _resolved(self) -> Iterator[View]:
        for answer in self.answers:
            approved: YesNo = "yes" if self.allowlist.approves_public(answer.name) else "no"
            for end in answer.addresses:
                remote = self.allowlist.scoped(end)
                yield ResolvedView(policy=self._terms, record=answer, remote=remote, public=approved)

    def _entries(self) -> Iterator[View]:
        self.views("endpoint")
        self.views("resolver")
        expired = self.allowlist.expired()
        outside = {
            normal(answer.name)
            for answer in self.answers
            if any(self.allowlist.scoped(end).scope in PUBLIC for end in answer.addresses)
        }
        for entry in self._policy.file.allow:
            yield PolicyEntryView(
                policy=self._terms,
                name=entry.name,
                role=entry.role,
                source=self._policy.sources.get(entry.name, "policy"),
                expired="yes" if entry.name in expired else "no",
                used=self._used(entry),
                public="no"
                if not self._leads_outside(entry, outside)
                else "approved"
                if entry.public
                else "unapproved",
                broad=breadth(entry),
            )

    def _used(self, entry: Entry) -> Literal["yes", "no", "unknown", "unseen"]:
        """Tell whether anything needed an entry; datagrams from sockets without a peer are for nobody to see."""
        sockets = self._inspection.of("sockets")
        if self._uses[entry.name]:
            return "yes"
        if sockets.status != "complete":
            return "unknown"
        return "unseen" if entry.protocol in {"udp", "any"} and sockets.counts.get("unconnected_udp") else "no"

    def _leads_outside(self, entry: Entry, outside: set[str]) -> bool:
        """Tell whether an entry is for public addresses: by its networks, or by what its names were seen to be."""
        if any(scope_of_network(network) in PUBLIC and not self._inside(network) for network in networks_of(entry)):
            return True
        return any(matches(normal(host), name) for host in many(entry.host) for name in outside)

    def _inside(self, network: Network) -> bool:
        return any(
            known.version == network.version and network.subnet_of(known)  # type: ignore[arg-type]
            for known in self._policy.internal
        )

    def _networks(self) -> Iterator[View]:
        for network in self._policy.internal:
            scope = "private" if may_be_short(network) else scope_of_network(network)
            yield PolicyNetworkView(policy=self._terms, network=str(network), scope=scope)

    def _file(self) -> Iterator[View]:
        for trust in self._inspection.records(PolicyTrust):
            yield PolicyFileView(policy=self._terms, record=trust)

    def _requirements(self) -> Iterator[View]:
        for collector in DEFAULT_REQUIRE:
            required: YesNo = "yes" if collector in self._policy.file.require else "no"
            yield PolicyRequirementView(policy=self._terms, collector=collector, required=required)


_MEANINGS: dict[Posture, str] = {
    "unset": "unset",
    "blank": "blank",
    "disabled": "a disabling word",
    "url": "a URL",
    "lookalike": "a look-alike of a disabling word, which does not disable",
    "other": "neither a URL nor a disabling word",
}


def _where(place: Place) -> str:
    """Say where a setting stands."""
    line = f"{place.path}:{place.line}" if place.path and place.line else place.path
    if place.kind == "own":
        return "our own environment"
    if place.kind in {"process", "command-line"}:
        return f"{'the environment' if place.kind == 'process' else 'the command line'} of process {place.pid or '?'}"
    unit = f"unit {place.unit}" if place.unit else None
    return " of ".join(text for text in (line, unit) if text) or "?"


def _target(end: Endpoint) -> str:
    host = end.name or end.address or "?"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{end.port}" if end.port else host


# Wider than this is a part of a campus, not a set of servers: 65,536 IPv4 addresses, a /48 site in IPv6.
_WIDEST = {4: 16, 6: 48}
# With every port open, more than one subnet of hosts is an open door.
_WIDEST_ANY_PORT = {4: 24, 6: 64}
_MANY_PORTS = 4096


def breadth(entry: Entry) -> str | None:
    """Say why an entry approves more than a destination, or None."""
    for network in networks_of(entry):
        if network.prefixlen < _WIDEST[network.version]:
            return f"{network} holds {network.num_addresses:,} addresses"
        if not entry.ports and entry.protocol != "icmp" and network.prefixlen < _WIDEST_ANY_PORT[network.version]:
            return f"every port of {network}"
    for host in many(entry.host):
        if host.startswith("*.") and "." not in host[2:].rstrip("."):
            return f"{host} is a whole top-level domain"
    spans = [span for port in entry.ports if (span := port_range(port))]
    opened = sum(high - low + 1 for low, high in spans)
    return f"{opened:,} ports" if opened > _MANY_PORTS else None
