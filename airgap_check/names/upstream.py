"""Knows what a forwarder forwards to, and how the servers in its configuration are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import Address, Scope, parse, scope_of
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.names.resolv_conf import ResolvConf

PORT = 53
_SHOWN = 256


class Upstream(NamedTuple):
    """A server that a forwarder asks, and where that is written.

    Without an address, *public* means recursion from the root servers of the internet, *unknown* that nobody can tell.
    """

    source: str
    address: Address | None = None
    port: int = PORT
    scope: Scope = "unknown"
    from_host: bool = False


def unknown(why: str) -> Upstream:
    """State that there is, or may be, a server that could not be found out."""
    return Upstream(printable(why[:_SHOWN]))


def unreadable(path: str, error: OSError) -> Upstream:
    """State that a file which may name servers could not be read."""
    return unknown(f"{path}: {error.strerror or type(error).__name__}")


def server(address: str, port: str, source: str) -> Upstream:
    """Make an upstream of the parts of a written server; one that is not an address is unknown."""
    known = parse(address)
    if known is None:
        return unknown(f"{source}: {address}")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else PORT
    return Upstream(printable(source), known, number if number <= 65535 else PORT, scope_of(known))


def nameservers(conf: ResolvConf, source: str) -> list[Upstream]:
    """Return the servers of a resolv.conf as upstreams."""
    known = [server(str(nameserver.address), "", source) for nameserver in conf.nameservers]
    return [*known, *(unknown(f"{source}: nameserver {value}") for value in conf.unreadable)]


def split_zone_port(text: str, sign: str) -> tuple[str, str]:
    """Split ``address<sign>port``, ``[v6]:port`` included, and take an IPv6 zone off."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        return address, rest.lstrip(sign).partition("%")[0]
    if sign == ":" and text.count(":") > 1:  # an IPv6 address without brackets has no port
        return text, ""
    address, _, port = text.partition(sign)
    return address, port.partition("%")[0]


def unique(upstreams: list[Upstream]) -> list[Upstream]:
    """Drop what was said before: the first source of an address is kept."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for upstream in upstreams:
        key = (upstream.address, upstream.port, upstream.from_host) if upstream.address else (upstream.source,)
        if key not in seen:
            seen.add(key)
            kept.append(upstream)
    return kept
