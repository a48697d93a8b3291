"""Follows a question from the server that is asked to the servers that it is forwarded to, as far as this host knows.

A server on another machine ends the way: what that one forwards to cannot be seen from here.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import Address, scope_of
from airgap_check.evidence import Resolver
from airgap_check.names import dnsmasq, resolved, unbound
from airgap_check.names.upstream import PORT, Upstream, unknown
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airgap_check.names.resolv_conf import ResolvConf
    from airgap_check.names.responder import Responder, Responders
    from airgap_check.names.root import Root
    from airgap_check.names.vantage import Vantage

# The only places that a question may be sent to; a site's public prefixes (networks.internal) are not among them.
_INTERNAL = frozenset({"loopback", "private", "shared", "link-local", "unspecified"})
_DOCKER = "127.0.0.11"
_STUB = IPv4Address("127.0.0.53")
_DEPTH = 4

_READERS: dict[str, Callable[[Sequence[str], Root], list[Upstream]]] = {
    "dnsmasq": dnsmasq.upstreams,
    "unbound": unbound.upstreams,
    "systemd-resolved": lambda _argv, root: resolved.upstreams(root),
    "systemd-resolve": lambda _argv, root: resolved.upstreams(root),  # as comm(5) cuts it
}
FORWARDERS = frozenset(_READERS)


class Way(NamedTuple):
    """The servers behind a server, and why it must not be asked (empty when it may)."""

    resolvers: tuple[Resolver, ...] = ()
    obstacle: str = ""


class _Walk(NamedTuple):
    """How one question has come here: the responders passed, and the servers found so far, in order."""

    netns: int
    found: dict[Resolver, None]
    passed: tuple[tuple[int, int | str], ...] = ()


class Forwarding:
    """Knows what the forwarders of this host forward to. ``host`` is where the container engine runs."""

    def __init__(self, responders: Responders, host: Vantage, root_of: Callable[[int], Root]) -> None:
        self._responders = responders
        self._host = host
        self._root_of = root_of
        self._ways: dict[tuple[int, ResolvConf, Address, int], Way] = {}

    def follow(self, start: Vantage, address: Address, port: int = PORT) -> Way:
        """Return the way of a question that is asked of a server."""
        key = (start.netns, start.conf, address, port)
        if key not in self._ways:
            walk = _Walk(start.netns, {})
            obstacle = self._follow(start, address, port, walk)
            self._ways[key] = Way(tuple(walk.found), obstacle)
        return self._ways[key]

    def through_resolved(self, start: Vantage) -> Way:
        """Return the way of a question that nss-resolve hands to systemd-resolved; nothing when that does not run."""
        walk = _Walk(start.netns, {}, ((start.netns, str(_STUB)),))
        try:
            start.root.read(resolved.STATE)
        except OSError:
            return Way()
        reasons = [self._one(_STUB, start, upstream, walk) for upstream in resolved.upstreams(start.root)]
        return Way(tuple(walk.found), next(filter(None, reasons), ""))

    def _follow(self, start: Vantage, address: Address, port: int, walk: _Walk) -> str:
        scope = scope_of(address)
        if scope not in _INTERNAL:
            return f"{address} is {scope}"
        responder, upstreams, obstacle = self._behind(start, address, port)
        if responder is None and not upstreams:
            return "" if walk.passed else obstacle  # a forwarder drops a server that does not exist
        if len(walk.passed) >= _DEPTH:
            return f"{address} forwards through more than {_DEPTH} servers"
        walk = walk._replace(passed=(*walk.passed, _step(start.netns, address, responder)))
        after = self._after(start, responder)
        for upstream in upstreams:
            reason = self._one(address, self._host if upstream.from_host else after, upstream, walk)
            obstacle = obstacle or reason
        return obstacle

    def _one(self, via: Address, start: Vantage, upstream: Upstream, walk: _Walk) -> str:
        """Record one upstream and what is behind it; return why nothing may be asked that could reach it."""
        record = Resolver(
            netns=walk.netns,
            address=str(upstream.address) if upstream.address else None,
            scope=upstream.scope,
            source=upstream.source,
            via=str(via),
        )
        if upstream.address is None:
            walk.found[record] = None
            kind = "a resolver that is not known" if upstream.scope == "unknown" else "the public root servers"
            return f"{via} forwards to {kind} ({upstream.source})"
        if upstream.scope in _INTERNAL:
            responder = self._responders.find(start.netns, upstream.address, upstream.port)
            if _step(start.netns, upstream.address, responder) in walk.passed:
                return ""  # it names itself: a forwarder drops such a server
        walk.found[record] = None
        reason = self._follow(start, upstream.address, upstream.port, walk)
        return f"{via} forwards to {upstream.address}: {reason}" if reason else ""

    def _behind(self, start: Vantage, address: Address, port: int) -> tuple[Responder | None, list[Upstream], str]:
        """Say who answers at an address, what is behind, and why it must not be asked for its own sake."""
        if str(address) == _DOCKER and start.conf.external is not None:
            return None, _of_docker(start.conf), ""
        responder = self._responders.find(start.netns, address, port)
        if responder is None:
            if scope_of(address) not in {"loopback", "unspecified"}:
                return None, [], ""  # another machine
            if str(address) == _DOCKER:  # the packet filter redirects it to the engine
                return None, [unknown(f"{_DOCKER}: its resolv.conf does not say what the engine forwards to")], ""
            return None, [], f"nothing listens at {address} port {port}"
        if responder.pid is None and str(address) in resolved.STUBS:
            return responder, resolved.upstreams(start.root), ""
        reader = _READERS.get(responder.program)
        if reader is None or responder.pid is None:
            who = responder.program or "a process that could not be seen"
            return responder, [unknown(f"{who} answers at {address}, its servers are not known")], ""
        return responder, reader(responder.argv, self._root_of(responder.pid)), ""

    def _after(self, start: Vantage, responder: Responder | None) -> Vantage:
        if responder is None:
            return start
        root = self._root_of(responder.pid) if responder.pid is not None else start.root
        return start._replace(netns=responder.netns, root=root)


def _step(netns: int, address: Address, responder: Responder | None) -> tuple[int, int | str]:
    return (responder.netns, responder.pid or str(address)) if responder else (netns, str(address))


def _of_docker(conf: ResolvConf) -> list[Upstream]:
    source = "ExtServers in /etc/resolv.conf (Docker)"
    return [
        Upstream(source, server.address, PORT, scope_of(server.address), server.from_host)
        if server.address
        else unknown(printable(source))
        for server in conf.external or ()
    ]
