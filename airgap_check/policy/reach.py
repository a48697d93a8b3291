"""Knows by what an endpoint is judged: its address, the one wrapped in it, the name it stands for, and its port."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.address import Address, parse
from airgap_check.domain import is_public

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.address import Scope
    from airgap_check.evidence import Connection
    from airgap_check.evidence.fact import Endpoint


# To sort addresses (RFC 6724) resolvers connect a datagram socket to each and send nothing: glibc to the port that was
# asked for or none, Go to 9 or 53, musl to 65535.
_SORTING_PORTS = frozenset({0, 9, 53, 65535})
_BY_NAME = frozenset({"public", "private"})  # what a rehearsal says of an address that stands for a name


@lru_cache(maxsize=4096)
def addresses(end: Endpoint) -> tuple[Address, ...]:
    """Parse an endpoint's address and the one inside it; every entry asks for the same endpoint again."""
    texts = (text for text in (end.address, end.inner) if text)
    return tuple(address for text in texts if (address := parse(text)) is not None)


def approvable(end: Endpoint) -> tuple[Address, ...]:
    """Return the addresses by which an entry may approve an endpoint.

    Behind NAT64 that is the address inside as well. In the other wrappings anybody may write an approved one, and the
    network would still go by the address outside.
    """
    inside = end.wrapped in {None, "mapped", "nat64"}
    return addresses(end) if inside else addresses(end)[:1]


def by_name(end: Endpoint, domains: Iterable[str]) -> Endpoint:
    """Return what stands for a name in a rehearsal with that name's scope, where ``domains`` are the site's own."""
    scope: Scope = "public" if end.name and is_public(end.name, domains) else "private"
    return end if end.scope == scope or end.scope not in _BY_NAME else replace(end, scope=scope)


def spoken(connection: Connection) -> tuple[str | None, int | None]:
    """Return the protocol and port that an entry must carry, None for any: a connected socket that sent nothing."""
    port = connection.remote.port
    if connection.protocol == "udp" and connection.state == "connect":
        return None, None if port in _SORTING_PORTS else port
    return connection.protocol, port
