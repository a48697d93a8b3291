"""What the policy says of one connection, endpoint, listener or name server: yes, no, or unknown, and by which entry.

*Unknown* is the honest answer where a host entry could explain a non-public peer but its name was not asked, did not
answer, or is a wildcard; where an entry is only for somebody, and who it was could not be seen; and where the network
namespace had gone, so that a non-public peer may have been an address of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airgap_check.address import PUBLIC, Network, covers, parse, scope_of_network
from airgap_check.domain import normal
from airgap_check.evidence.binding import Bindings
from airgap_check.evidence.fact import GONE
from airgap_check.policy.permission import Permission
from airgap_check.policy.reach import addresses, approvable, by_name, spoken
from airgap_check.policy.selector import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date, datetime

    from airgap_check.address import Address
    from airgap_check.evidence import Allowed, Answer, Connection, Listener, Resolver, Setting
    from airgap_check.evidence.asset import Reference
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.policy import Policy, Selector

NEVER_EGRESS = frozenset({"loopback", "own", "host"})
RAW_ICMP = frozenset({"proto 1", "proto 58"})  # what collectors.sockets says of a raw socket for ICMP, ICMPv6
_RAW = frozenset({"raw", "packet", "icmp"})
_NOBODYS = frozenset({"unspecified", "multicast", "broadcast"})  # on no interface


class Decision(NamedTuple):
    """The verdict of the allowlist; ``by`` names the entry, or says why there is no certainty."""

    allowed: Allowed
    by: str | None


NO = Decision("no", None)
_GONE = Decision("unknown", "its network namespace had gone, and the address may have been its own")


class Allowlist:
    """A policy bound to the answers that were seen, on one day."""

    def __init__(
        self,
        policy: Policy,
        answers: Iterable[Answer],
        today: date,
        resolvers: Iterable[Resolver] = (),
        *,
        rehearsed: bool = False,
    ) -> None:
        """Bind names to addresses; an answer binds every address of its chain to the name that was asked.

        ``resolvers`` are those that the host uses, our own first: who else answers on the wire binds nothing. In a
        rehearsal (``rehearsed``) our own name server gave every address its name: names are certain there, and no entry
        or network of the site is for the address that stands for one. The command stands for the subject of the policy,
        or for the workload that it was said to be: who runs it there says nothing of who will run it later.
        """
        self._rehearsed, self._subject = rehearsed, policy.file.scope.subject
        self._allow = [Permission(entry, today) for entry in policy.file.allow]
        self._inbound = [Permission(entry, today) for entry in policy.file.inbound or ()]
        self._judges_peers = policy.file.inbound is not None
        self._internal, self._domains = policy.internal, policy.file.networks.domains
        self._is_internal = policy.is_internal
        self._bindings = Bindings(answers, resolvers)
        self._scoped: dict[Endpoint, Endpoint] = {}
        self._databases = {rule.name for rule in self._allow if rule.role == "database" and rule.selector is None}
        self._live = [rule for rule in self._allow if not rule.expired]

    def expired(self) -> set[str]:
        """Name the entries that no longer allow anything."""
        return {rule.name for rule in self._allow if rule.expired}

    def scoped(self, end: Endpoint) -> Endpoint:
        """Return the endpoint with the scope *internal* where the policy calls its network the site's own.

        What stands for a name in a rehearsal has the scope of that name, under this policy: evidence may be older.
        """
        if self._rehearsed and end.name:
            return by_name(end, self._domains)
        if not self._internal or end.scope in NEVER_EGRESS:
            return end
        known = self._scoped.get(end)
        if known is None:
            inside = any(address in network for address in addresses(end) for network in self._internal)
            known = self._scoped[end] = msgspec.structs.replace(end, scope="internal") if inside else end
        return known

    def decide(self, connection: Connection) -> Decision:
        """Judge a connection by the list for whoever opened it."""
        return self.peer(connection) if connection.direction == "inbound" else self.connection(connection)

    def wants_owner(self, connection: Connection) -> bool:
        """Tell whether it matters who it is: for a finding, or for a database that is approved for everybody."""
        decision = self.decide(connection)
        return decision.allowed != "yes" or decision.by in self._databases

    def connection(self, connection: Connection) -> Decision:
        """Judge an outbound, or undecidable, connection."""
        remote = self.scoped(connection.remote)
        # A raw or packet socket may send elsewhere whatever it is connected to.
        if remote.scope in NEVER_EGRESS and connection.protocol not in {"raw", "packet"}:
            return Decision("yes", f"{remote.scope} addresses are never egress")
        names = self._named(remote, connection.netns, connection.first)
        decision = _best(self._entry(rule, connection, remote, names) for rule in self._live)
        return _GONE if decision.allowed == "no" and _may_be_its_own(connection, remote) else decision

    def _entry(self, rule: Permission, connection: Connection, remote: Endpoint, names: set[str]) -> Decision:
        if connection.last and rule.has_lapsed(connection.last.date()):
            return NO
        if connection.protocol in _RAW:
            approved = NO if remote.scope in PUBLIC and not rule.public else _raw(rule, connection)
            if approved.allowed != "no" or connection.protocol != "icmp":
                return approved
        if not rule.carries(*spoken(connection)):
            return NO
        reached = self._reaches(rule, remote, names, connection.netns)
        if reached.allowed == "no" or rule.selector is None:
            return reached
        chosen = self._chooses(rule.selector, connection)
        if chosen == "unknown" and reached.allowed == "yes":
            return Decision("unknown", f"{rule.name}: is only for some, and the owner could not be seen")
        return NO if chosen == "no" else reached

    def _chooses(self, selector: Selector, connection: Connection) -> Allowed:
        if self._rehearsed:
            if selector == self._subject:
                return "yes"
            return selects(selector, connection.process, connection.workload or GONE, None)
        return selects(
            selector, connection.process, connection.workload, connection.user, ownerless=connection.ownerless
        )

    def _named(self, remote: Endpoint, netns: int | None = None, began: datetime | None = None) -> set[str]:
        """Return the names that lead there from a network namespace; without one, those that do for everybody."""
        if self._rehearsed and remote.name:
            return {normal(remote.name)}
        return self._bindings.names(map(str, self._approvable(remote)), netns, began)

    def _approvable(self, end: Endpoint) -> tuple[Address, ...]:
        """Return the addresses by which an entry may approve an endpoint; one that was made up for a name is none."""
        return () if self._rehearsed and end.name else approvable(end)

    def _reaches(self, rule: Permission, remote: Endpoint, names: set[str], netns: int | None = None) -> Decision:
        """Judge where traffic leads, to an address that has these names."""
        if remote.scope in PUBLIC and not rule.public:
            return NO
        if rule.holds(self._approvable(remote)):
            return Decision("yes", rule.name)
        if any(map(rule.names, names)):
            return Decision("yes", rule.name)
        if remote.scope in PUBLIC or self._rehearsed:
            return NO
        for host in rule.hosts:
            if host.startswith("*."):
                return Decision("unknown", f"{rule.name}: {host} is a wildcard, whose addresses nobody can ask for")
            if not self._bindings.answered(host, netns):
                return Decision("unknown", f"{rule.name}: {host} was not asked or did not answer")
        return NO

    def near_misses(self, connection: Connection) -> list[tuple[str, str]]:
        """List the entries that hold the address of a connection that nothing allows, and why each does not."""
        remote = self.scoped(connection.remote)
        misses = []
        for rule in self._allow:
            if not rule.holds(self._approvable(remote)):
                continue
            if rule.expired:
                misses.append((rule.name, "holds the address, but has expired"))
            elif not rule.carries(connection.protocol, remote.port):
                ports = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in rule.ports) or "any"
                misses.append((rule.name, f"holds the address, but is for {rule.protocol} ports {ports}"))
            elif remote.scope in PUBLIC and not rule.public:
                misses.append((rule.name, "holds the address, which is public, and does not say public: true"))
            else:
                misses.append((rule.name, "holds the address, but is only for some"))
        return misses

    def endpoint(self, names: Setting | Reference, end: Endpoint) -> Decision:
        """Judge a place that a setting or an asset names: by name, or by address as if somebody had connected."""
        remote = self.scoped(end)
        if remote.scope in NEVER_EGRESS:
            return Decision("yes", f"{remote.scope} addresses are never egress")
        return _best(self._names(rule, names, remote) for rule in self._live)

    def _names(self, rule: Permission, setting: Setting | Reference, remote: Endpoint) -> Decision:
        if rule.protocol == "icmp" or not rule.carries(None, remote.port):
            return NO
        process, workload = setting.process, setting.workload
        if rule.selector and process and workload:
            chosen = selects(rule.selector, process, workload, process.user)
            if chosen == "no":
                return NO
        if not remote.name:
            return self._reaches(rule, remote, self._named(remote))
        if rule.names(normal(remote.name)):
            return Decision("yes", rule.name)
        if rule.networks and not rule.hosts:
            return Decision("unknown", f"{rule.name}: has no host {remote.name}, but may hold its address")
        return NO

    def opening(self, network: Network, spans: Iterable[tuple[int, int]], protocol: str) -> Decision:
        """Judge what a network policy lets pass: all of it, every address and port, must be approved."""
        for span in spans or ((0, 65535),):
            held = self._approved_by_address(network, span, protocol)
            if not covers(held, network):
                return NO
        return Decision("yes", "entries of the allowlist hold all of it")

    def _approved_by_address(self, network: Network, span: tuple[int, int], protocol: str) -> Iterator[Network]:
        """Yield what is approved on a whole range of ports; a name, by the addresses that it was seen to have."""
        public = scope_of_network(network) in PUBLIC and not self._is_internal(network)
        for rule in self._live:
            if rule.selector is None and rule.spans(protocol, span) and (rule.public or not public):
                yield from rule.networks
                for address in () if network.num_addresses > 1 else (network.network_address,):
                    if any(map(rule.names, self._bindings.names([str(address)], None, None))):
                        yield network

    def resolver(self, address: str | None) -> Decision:
        """Judge a name server as a destination of UDP or TCP port 53."""
        parsed = parse(address) if address else None
        for rule in self._live:
            if parsed and rule.carries(None, 53) and rule.holds((parsed,)):
                return Decision("yes", rule.name)
        return NO

    def listener(self, listener: Listener) -> Decision:
        """Judge a listening socket by its port: some inbound entry must expect it."""
        for rule in self._inbound:
            if not rule.expired and rule.carries(listener.protocol, listener.local.port):
                return Decision("yes", rule.name)
        return NO

    def peer(self, connection: Connection) -> Decision:
        """Judge who connected to us."""
        remote = self.scoped(connection.remote)
        if remote.scope in NEVER_EGRESS:
            return Decision("yes", f"{remote.scope} addresses are of this host")
        if not self._judges_peers:
            return Decision("unknown", "the policy has no inbound section")
        for rule in self._inbound:
            expects = not rule.expired and rule.carries(connection.protocol, connection.local.port)
            if expects and rule.holds(approvable(remote)):
                return Decision("yes", rule.name)
        return NO

    def approves_public(self, name: str) -> bool:
        """Tell whether an entry for this name approves public addresses."""
        return any(rule.public and rule.names(normal(name)) for rule in self._live)

    def covers_name(self, name: str) -> bool:
        """Tell whether any entry, wildcards included, is for this name."""
        return any(rule.names(normal(name)) for rule in self._live)


def _best(decisions: Iterable[Decision]) -> Decision:
    """Return the first yes, else the first unknown, else no."""
    unknown: Decision | None = None
    for decision in decisions:
        if decision.allowed == "yes":
            return decision
        if decision.allowed == "unknown":
            unknown = unknown or decision
    return unknown or NO


def _raw(rule: Permission, connection: Connection) -> Decision:
    """Judge a socket that can send anything anywhere: only an entry that says for whom can approve it."""
    fits = rule.protocol in ("any", connection.protocol) or rule.role == "dhcp"
    fits = fits or (rule.protocol == "icmp" and connection.state in RAW_ICMP)
    if not fits or rule.selector is None:
        return NO
    chosen = selects(rule.selector, connection.process, connection.workload, connection.user)
    reason = f"{rule.name}: is only for some, and the owner could not be seen" if chosen == "unknown" else rule.name
    return Decision(chosen, reason) if chosen != "no" else NO


def _may_be_its_own(connection: Connection, remote: Endpoint) -> bool:
    """Tell whether an attempt was made where nobody could look, to what may have been an address of that place.

    What a raw or packet socket sends may go elsewhere all the same.
    """
    unseen = connection.netns == 0 and connection.seen == "attempts" and connection.protocol not in {"raw", "packet"}
    return unseen and remote.scope not in PUBLIC and remote.scope not in _NOBODYS
