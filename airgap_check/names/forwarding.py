"""Follows a question from the server that is asked to the servers that it is forwarded to, as far as this host knows.

A server on another machine ends the way: what that one forwards to cannot be seen from here.
"""

from __future__ import annotations

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

# The only places that a question may be sent to; a site's public prefixes (networks.internal) are not among them.
_INTERNAL = frozenset({"loopback", "private", "shared", "link-local", "unspecified"})
_DOCKER = "127.0.0.11"
_DEPTH = 4

_READERS: dict[str, Callable[[Sequence[str], Root], list[Upstream]]] = {
    "dnsmasq": dnsmasq.upstreams,
    "unbound": unbound.upstreams,
    "systemd-resolved": lambda _argv, root: resolved.upstreams(root),
    "systemd-resolve": lambda _argv, root: resolved.upstreams(root),  # as comm(5) cuts it
}
FORWARDERS = frozenset(_READERS)


class Origin(NamedTuple):
    """Where a question starts: a network namespace, and the resolv.conf and files of whoever asks."""

    netns: int
    conf: ResolvConf
    root: Root


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

    def __init__(self, responders: Responders, host: Origin, root_of: Callable[[int], Root]) -> None:
        self._responders = responders
        self._host = host
        self._root_of = root_of

    def follow(self, origin: Origin, address: Address, port: int = PORT) -> Way:
        """Return the way of a question that is asked of a server."""
        walk = _Walk(origin.netns, {})
        obstacle = self._follow(origin, address, port, walk)
        return Way(tuple(walk.found), obstacle)

    def _follow(self, origin: Origin, address: Address, port: int, walk: _Walk) -> str:
        scope = scope_of(address)
        if scope not in _INTERNAL:
            return f"{address} is {scope}"
        responder, upstreams, obstacle = self._behind(origin, address, port)
        if responder is None and not upstreams:
            return "" if walk.passed else obstacle  # a forwarder drops a server that does not exist
        if len(walk.passed) >= _DEPTH:
            return f"{address} forwards through more than {_DEPTH} servers"
        walk = walk._replace(passed=(*walk.passed, _step(origin.netns, address, responder)))
        after = self._after(origin, responder)
        for upstream in upstreams:
            reason = self._one(address, self._host if upstream.from_host else after, upstream, walk)
            obstacle = obstacle or reason
        return obstacle

    def _one(self, via: Address, origin: Origin, upstream: Upstream, walk: _Walk) -> str:
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
            responder = self._responders.find(origin.netns, upstream.address, upstream.port)
            if _step(origin.netns, upstream.address, responder) in walk.passed:
                return ""  # it names itself: a forwarder drops such a server
        walk.found[record] = None
        reason = self._follow(origin, upstream.address, upstream.port, walk)
        return f"{via} forwards to {upstream.address}: {reason}" if reason else ""

    def _behind(self, origin: Origin, address: Address, port: int) -> tuple[Responder | None, list[Upstream], str]:
        """Say who answers at an address, what is behind, and why it must not be asked for its own sake."""
        if str(address) == _DOCKER and origin.conf.external is not None:
            return None, _of_docker(origin.conf), ""
        responder = self._responders.find(origin.netns, address, port)
        if responder is None:
            if scope_of(address) not in {"loopback", "unspecified"}:
                return None, [], ""  # another machine
            if str(address) == _DOCKER:  # the packet filter redirects it to the engine
                return None, [unknown(f"{_DOCKER}: its resolv.conf does not say what the engine forwards to")], ""
            return None, [], f"nothing listens at {address} port {port}"
        if responder.pid is None and str(address) in resolved.STUBS:
            return responder, resolved.upstreams(origin.root), ""
        reader = _READERS.get(responder.program)
        if reader is None or responder.pid is None:
            who = responder.program or "a process that could not be seen"
            return responder, [unknown(f"{who} answers at {address}, its servers are not known")], ""
        return responder, reader(responder.argv, self._root_of(responder.pid)), ""

    def _after(self, origin: Origin, responder: Responder | None) -> Origin:
        if responder is None:
            return origin
        root = self._root_of(responder.pid) if responder.pid is not None else origin.root
        return Origin(responder.netns, origin.conf, root)


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
