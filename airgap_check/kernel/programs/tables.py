"""The maps that the programs share with us: what is approved, what was seen, what was lost, who spoke first."""

from __future__ import annotations

import struct
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import bpf
from airgap_check.kernel.programs import event
from airgap_check.kernel.ring import Ring
from airgap_check.kernel.sieve import EVERYTHING, NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.address import Network
    from airgap_check.kernel.sieve import Sieve

RING = 8 << 20  # bytes; seventy thousand events. We map it twice over, and both count as our memory
LOST, UNCOUNTED = 0, 1  # the counters: events that the ring did not take, uses that their table did not take
OURS, THEIRS = 1, 2  # who spoke first

# The key of what was seen is a piece of the event itself, with the process where the cookie of the socket will stand.
SEEN_FROM, SEEN_SIZE, PROCESS = event.CGROUP, event.COMMAND - event.CGROUP, event.COOKIE
COUNT, FIRST, LAST, SEEN_VALUE = 0, 8, 16, 24  # its value
PREFIX_FROM, PREFIX_SIZE = event.ADDRESS - 4, 20  # the key of a prefix: its length (32 bits), then the address
PORT_FROM, PORT_SIZE = event.PORT, 4  # the key of a port: as in the event, while the hook is still 0
USE_SIZE, PEER_SIZE = 16, 32  # classes and cgroup; cookie, address, port and six zeros

_SEEN, _USES, _PEERS, _NETWORKS, _PORTS = 1 << 16, 1 << 14, 1 << 16, 1 << 20, 1 << 16  # entries
_NOWHERE = tuple(map(IPv4Network, ("127.0.0.0/8", "0.0.0.0/32"))), tuple(map(IPv6Network, ("::1/128", "::/128")))
_KEY = struct.Struct("=QQQ16s2sBBBBHQQI4x")
_MAPPED = 0xFFFF << 32


class Repeat(NamedTuple):
    """How often one attempt was made.

    The fields of the attempt are those of its `event.Event`, and ``first`` is its ``at``; but ``process`` is the pid
    that the initial namespace has for it. Times are CLOCK_MONOTONIC in nanoseconds.
    """

    cgroup: int
    netns: int
    process: int
    address: bytes
    port: int
    protocol: int
    hook: int
    family: int
    type: int
    flags: int
    started: int
    times: int
    first: int
    last: int
    executable: int = 0
    device: int = 0


class Use(NamedTuple):
    """How often the processes of a cgroup used what these classes approve (a bit mask)."""

    classes: int
    cgroup: int
    times: int


class Tables:
    """All maps of one observation. Raises BpfError where the kernel or our rights have no room for them."""

    def __init__(self, ring: int = RING, seen: int = _SEEN) -> None:
        self._open: list[Ring | bpf.Map] = []
        try:
            self.events = Ring(ring, name="airgap_events")
            self._open.append(self.events)
            self.seen = self._map(bpf.LRU_HASH, SEEN_SIZE, SEEN_VALUE, seen, name="airgap_seen")
            self.networks = self._map(
                bpf.LPM_TRIE, PREFIX_SIZE, 8, _NETWORKS, flags=bpf.NO_PREALLOC, name="airgap_networks"
            )
            self.ports = self._map(bpf.HASH, PORT_SIZE, 8, _PORTS, flags=bpf.NO_PREALLOC, name="airgap_ports")
            self.uses_made = self._map(bpf.HASH, USE_SIZE, 8, _USES, name="airgap_uses")
            self.counters = self._map(bpf.ARRAY, 4, 8, 2, name="airgap_counters")
            self.peers = self._map(bpf.LRU_HASH, PEER_SIZE, 8, _PEERS, name="airgap_peers")
            self.apply(NOTHING)
        except BaseException:
            self.close()
            raise

    def apply(self, sieve: Sieve) -> None:
        """Let the programs pass what this allowlist approves, and nothing else but what stays on the host."""
        _replace(self.networks, dict(_prefixes(sieve.networks)))
        _replace(self.ports, dict(_ports(sieve.ports)))

    def lost(self) -> int:
        """Return how many events the ring did not take."""
        return self._counter(LOST)

    def uncounted(self) -> int:
        """Return how many approved attempts could not be counted, as too many cgroups make them."""
        return self._counter(UNCOUNTED)

    def counts(self) -> Iterator[Repeat]:
        """Return what was seen, with how often so far. What nobody repeats may have given way to others."""
        for key, value in self.seen.drain(delete=False):
            *before, port, protocol, hook, family, kind, flags, started, file, device = _KEY.unpack(key)
            after = port[0] << 8 | port[1], protocol, hook, family, kind, flags, started
            yield Repeat._make((*before, *after, *struct.unpack("=QQQ", value), file, event.device_of(device)))

    def uses(self) -> list[Use]:
        """Return how often each set of classes was what approved an attempt, by cgroup."""
        return [
            Use(*struct.unpack("=QQ", key), *struct.unpack("=Q", value))
            for key, value in self.uses_made.drain(delete=False)
        ]

    def close(self) -> None:
        """Let go of all maps; programs that are still attached keep theirs."""
        while self._open:
            self._open.pop().close()

    def _map(self, *layout: int, flags: int = 0, name: str) -> bpf.Map:
        made = bpf.Map(*layout, flags=flags, name=name)
        self._open.append(made)
        return made

    def _counter(self, index: int) -> int:
        value = self.counters.lookup(struct.pack("=I", index))
        assert value is not None, "an array has all its entries"
        return int(struct.unpack("=Q", value)[0])


def _replace(table: bpf.Map, wanted: dict[bytes, bytes]) -> None:
    """Make a map hold what is wanted; what is in both is never missing meanwhile."""
    present = dict(table.drain(delete=False))
    for key, value in wanted.items():
        if present.get(key) != value:
            table.update(key, value)
    for key in present.keys() - wanted.keys():
        table.delete(key)


def _prefixes(networks: Mapping[Network, int]) -> Iterator[tuple[bytes, bytes]]:
    """Return keys and values of the prefixes: each has the classes of all that cover it, as the longest alone counts.

    IPv4 becomes part of ::ffff:0:0/96. What stays on the host is of class 0.
    """
    classes: dict[tuple[int, int], int] = {}
    here = dict.fromkeys((network for family in _NOWHERE for network in family), EVERYTHING)
    for source in (here, networks):
        for network, bits in source.items():
            mapped = network.version == 4
            address = int(network.network_address) | (_MAPPED if mapped else 0)
            place = address, network.prefixlen + (96 if mapped else 0)
            classes[place] = classes.get(place, 0) | bits
    covering: list[tuple[int, int, int]] = []  # last address, length, classes: from the shortest prefix to the longest
    for address, length in sorted(classes):
        while covering and covering[-1][0] < address:
            covering.pop()
        bits = classes[address, length] | (covering[-1][2] if covering else 0)
        covering.append((address | (1 << 128 - length) - 1, length, bits))
        yield struct.pack("=I", length) + address.to_bytes(16, "big"), struct.pack("=Q", bits)


def _ports(ports: Mapping[tuple[int, int], int]) -> Iterator[tuple[bytes, bytes]]:
    """Return keys and values of the ports: each has the classes of port 0 too, which stands for all of the protocol."""
    for (protocol, port), bits in ports.items():
        every = ports.get((protocol, 0), 0)
        yield struct.pack("!HBB", port, protocol, 0), struct.pack("=Q", bits | every)
