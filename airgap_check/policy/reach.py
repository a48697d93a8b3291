"""Knows by which addresses an endpoint is judged: its own, and the one that is wrapped in it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from airgap_check.address import Address, parse

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Endpoint


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
