"""Makes of an allowlist what the kernel can decide without ever being wrong; the rest is decided in user space.

That leaves out names, entries that are only for some, what wraps another address, and public addresses that no entry
approves as such.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import PUBLIC, scopes_in
from airgap_check.kernel.sieve import CLASSES, Sieve
from airgap_check.policy import networks_of, port_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from airgap_check.address import Network
    from airgap_check.policy import Entry, Policy

_PORTS_OF_AN_ENTRY = 4096
_PORTS_OF_ALL = 1 << 15  # half of the kernel's table
_NETWORKS = 1 << 17
_NUMBERS = {"tcp": (6,), "udp": (17,), "icmp": (1, 58), "any": (6, 17, 1, 58)}  # IP protocols
# Mapped and compatible, NAT64 (two prefixes), 6to4, Teredo: see airgap_check.address.unwrap.
_WRAPPINGS = tuple(map(IPv6Network, ("::/80", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
_ISATAP = tuple(prefix << 32 for prefix in (0x00005EFE, 0x02005EFE))  # in the low 64 bits (RFC 5214)


class _Share(NamedTuple):
    """What one entry, or several with equal ports, may let pass."""

    entries: tuple[str, ...]
    networks: tuple[Network, ...]
    ports: frozenset[tuple[int, int]]  # IP protocol, port


def sieve(policy: Policy, last: date) -> Sieve:
    """Return the part of a policy that the kernel may apply up to and including a day."""
    own: dict[Network, int] = {}
    ports: dict[tuple[int, int], int] = {}
    names: list[tuple[str, ...]] = []
    for share in _shares(policy, last):
        wanted = len(ports.keys() | share.ports), len(own.keys() | set(share.networks))
        if len(names) >= CLASSES - 1 or wanted[0] > _PORTS_OF_ALL or wanted[1] > _NETWORKS:
            continue
        names.append(share.entries)
        bit = 1 << len(names)  # class 0 is nobody's
        for key in share.ports:
            ports[key] = ports.get(key, 0) | bit
        for network in share.networks:
            own[network] = own.get(network, 0) | bit
    return Sieve(_carried(own), ports, tuple(names), policy.sha256)


def _shares(policy: Policy, last: date) -> list[_Share]:
    """List what entries may let pass; where there are too many for a class each, those with equal ports share one."""
    shares = [
        _Share((entry.name,), networks, ports)
        for entry in policy.file.allow
        if (entry.expires is None or last <= entry.expires) and entry.for_ is None
        if (networks := tuple(_networks(entry, policy))) and (ports := _ports(entry))
    ]
    if len(shares) < CLASSES:
        return shares
    joined: dict[frozenset[tuple[int, int]], _Share] = {}
    for share in shares:
        known = joined.get(share.ports, _Share((), (), share.ports))
        joined[share.ports] = _Share(known.entries + share.entries, known.networks + share.networks, share.ports)
    return list(joined.values())


def _ports(entry: Entry) -> frozenset[tuple[int, int]]:
    """Return the protocols and ports of an entry, none when they are too many; pings have no port."""
    spans = [span for port in entry.ports if (span := port_range(port))]
    if sum(high - low + 1 for low, high in spans) > _PORTS_OF_AN_ENTRY:
        return frozenset()
    numbers = _NUMBERS[entry.protocol]
    if not spans:
        return frozenset((number, 0) for number in numbers)
    opened = {port for low, high in spans for port in range(low, high + 1)}
    return frozenset((number, port) for number in numbers if number in {6, 17} for port in opened)


def _networks(entry: Entry, policy: Policy) -> Iterator[Network]:
    """Yield the networks of an entry of which every address is approved."""
    for network in networks_of(entry):
        scopes = scopes_in(network)
        if "documentation" in scopes or any(network.overlaps(wrapping) for wrapping in _WRAPPINGS):
            continue  # our own marked attempts must be reported, and so must what we would have to unwrap
        if entry.public or policy.is_internal(network):
            yield network
        elif not scopes & PUBLIC:
            yield from _bare(network)


def _bare(network: Network) -> Iterator[Network]:
    """Yield a network without the ISATAP addresses in it, which may lead to public ones: they stand in every /64.

    Of a shorter prefix nothing is left, as it would have to be cut to too many pieces.
    """
    if network.version == 4:
        yield network
        return
    if network.prefixlen < 64:
        return
    base = int(network.network_address) >> 64 << 64
    pieces = [network]
    for identifier in _ISATAP:
        hole = IPv6Network((base | identifier, 96))
        pieces = [rest for piece in pieces for rest in _without(piece, hole)]
    yield from pieces


def _without(network: IPv6Network, hole: IPv6Network) -> Iterable[IPv6Network]:
    if network.subnet_of(hole):
        return ()
    return network.address_exclude(hole) if hole.subnet_of(network) else (network,)


def _carried(own: dict[Network, int]) -> dict[Network, int]:
    """Give every prefix the classes of those that cover it, as the kernel finds the longest only."""
    classes: dict[int, dict[int, dict[int, int]]] = {4: {}, 6: {}}  # by version, by length, by leading bits
    for network, bits in own.items():
        leading = int(network.network_address) >> network.max_prefixlen - network.prefixlen
        classes[network.version].setdefault(network.prefixlen, {})[leading] = bits
    carried = {}
    for network in own:
        address, width, bits = int(network.network_address), network.max_prefixlen, 0
        for length, known in classes[network.version].items():
            if length <= network.prefixlen:
                bits |= known.get(address >> width - length, 0)
        carried[network] = bits
    return carried
