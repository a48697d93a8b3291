"""Knows hosts(5): which addresses the file gives to the names that somebody asks about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.address import Address, parse

if TYPE_CHECKING:
    from collections.abc import Collection


def bound(text: str, names: Collection[str]) -> dict[str, tuple[Address, ...]]:
    """Return the addresses of each of ``names`` (in lower case, no dot at the end) that the file binds, in order."""
    found: dict[str, list[Address]] = {}
    wanted = frozenset(names)
    for line in text.split("\n") if wanted else ():
        first, *words = line.partition("#")[0].split() or [""]
        here = wanted.intersection(word.rstrip(".").lower() for word in words)
        address = parse(first) if here else None
        for name in here if address else ():
            addresses = found.setdefault(name, [])
            if address and address not in addresses:
                addresses.append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}
