"""Allowlists and destinations made by chance, and what the one says of the other, worked out in Python."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from airgap_check.kernel.sieve import Sieve

if TYPE_CHECKING:
    import random

    from airgap_check.address import Network

PORTS = (0, 53, 80, 443, 5432)


def any_sieve(chance: random.Random) -> Sieve:
    networks: dict[Network, int] = {}
    for _ in range(60):
        version = chance.choice([4, 6])
        length = chance.choice([8, 12, 16, 20, 24, 28, 31, 32] if version == 4 else [32, 48, 64, 96, 127, 128])
        network = ip_network((_any_address(chance, version), length), strict=False)
        networks[network] = 1 << chance.choice([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    ports: dict[tuple[int, int], int] = {}
    for _ in range(30):
        ports[chance.choice([1, 6, 17, 17]), chance.choice(PORTS)] = 1 << chance.randrange(1, 6)
    return Sieve(networks, ports, ((),) * 6, "")


def _any_address(chance: random.Random, version: int) -> str:
    few = [chance.choice(range(4)) for _ in range(4)]
    text = f"10.{few[1]}.{few[2]}.{few[3]}" if version == 4 else f"2001:db8:{few[0]}:{few[1]}:{few[2]}::{few[3]}"
    return str(ip_address(text))


def any_destination(chance: random.Random) -> tuple[int, str, int]:
    return chance.choice([6, 17]), _any_address(chance, chance.choice([4, 6])), chance.choice(PORTS[1:])


def verdict(allowed: Sieve, protocol: int, address: str, port: int) -> int:
    """Return the classes that approve a destination, as `airgap_check.kernel.sieve` says it."""
    classes = 0
    for network, bits in allowed.networks.items():
        classes |= bits if ip_address(address) in network else 0
    if classes & 1:
        return 1
    return classes & (allowed.ports.get((protocol, port), 0) | allowed.ports.get((protocol, 0), 0))
