"""Counts attempts: makes records of events, each fact once however often and through however many hooks it was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check.evidence import Connection
from airgap_check.evidence.fact import Endpoint
from airgap_check.kernel.programs import event
from airgap_check.observers.callers import Caller
from airgap_check.observers.ledger import Ledger

if TYPE_CHECKING:
    from airgap_check.evidence import Protocol
    from airgap_check.evidence.fact import Workload
    from airgap_check.kernel.programs.event import Event
    from airgap_check.kernel.programs.tables import Repeat
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.ledger import Key, Kind, Sum
    from airgap_check.observers.observer import Epoch
    from airgap_check.observers.program import Clue

LIMIT = 50_000
_AF_INET6 = 10
# MPTCP is 262, and 6 in the eight bits that an event has for it.
_PROTOCOLS: dict[int, Protocol] = {6: "tcp", 17: "udp", 136: "udp", 1: "icmp", 58: "icmp"}
_WITH_PORTS = frozenset({"tcp", "udp"})
_HERE = frozenset({"own", "host", "loopback"})
_PACKETS = frozenset({event.EGRESS, event.QUEUE})
_NO_ADDRESS = frozenset({bytes(16), bytes(10) + b"\xff\xff" + bytes(4)})


class Who(NamedTuple):
    """The process that an event is about, as the kernel has it; see `event.Event`."""

    pid: int
    started: int
    clue: Clue


class Tally:
    """The attempts of one observation; ``limit`` facts are kept at most, and ``unkept`` counts those beyond.

    ``by_process`` tells whether the kernel's table can be matched by pid, which it counts in the initial namespace.
    """

    def __init__(self, identity: Identity, epoch: Epoch, *, by_process: bool, limit: int = LIMIT) -> None:
        self._identity, self._epoch = identity, epoch
        self._by_process = by_process
        self._ledger = Ledger(limit)
        self.own = self.replies = 0

    @property
    def unkept(self) -> int:
        """Return how many attempts were of facts for which there was no room."""
        return self._ledger.unkept

    def add(self, attempt: Event, who: Who | Caller) -> bool:
        """Take in an event of this process; False where it goes no further than this host."""
        key = self._key_of_event(attempt)
        self.replies += attempt.flags & event.REPLY
        if self._ledger.again(key, attempt.at):  # its line in the kernel had to make room
            return True
        record = self._describe(attempt, who)
        if record is None:
            self.own += 1
            return False
        self._ledger.add(key, record, _kind(attempt), attempt.at)
        return True

    def count(self, repeat: Repeat) -> None:
        """Take in how often the kernel has seen something; what is not known was not kept."""
        self._ledger.count(self._key_of_repeat(repeat), repeat.times, repeat.first, repeat.last)

    def fresh(self) -> list[Connection]:
        """Return the facts that are new since the last call, as they were first seen."""
        return [self._dated(found) for found in self._ledger.fresh()]

    def records(self) -> list[Connection]:
        """Return every fact with its count."""
        return [self._dated(found) for found in self._ledger.sums()]

    def repeats(self) -> int:
        """Return how often what was seen was seen again."""
        return self._ledger.repeats()

    def _dated(self, found: Sum) -> Connection:
        at = self._epoch.at_monotonic
        return replace(found.record, count=found.times, first=at(found.first), last=at(found.last))

    def _key_of_event(self, attempt: Event) -> Key:
        process = attempt.cookie if attempt.hook in _PACKETS else attempt.pid
        return self._key(attempt, process)

    def _key_of_repeat(self, repeat: Repeat) -> Key:
        return self._key(repeat, repeat.process)

    def _key(self, seen: Event | Repeat, process: int) -> Key:
        """Return what a line of the kernel's table and its event share."""
        return (
            seen.cgroup, seen.netns, seen.address, seen.port, seen.protocol, seen.hook, seen.family, seen.type,
            seen.flags, seen.started, seen.executable, seen.device,
            process if self._by_process or seen.hook in _PACKETS else 0,
        )  # fmt: skip

    def _describe(self, attempt: Event, who: Who | Caller) -> Connection | None:
        """Return the record of an event without its count; None when it goes no further than this host."""
        identity = self._identity
        placed = who.netns if isinstance(who, Caller) else 0
        netns = placed or identity.namespace(attempt.netns, who.pid, attempt.cgroup, attempt.at)
        protocol = protocol_of(attempt)
        remote = self._remote(attempt, netns, protocol)
        if remote is None or remote.scope in _HERE:
            return None
        reply = bool(attempt.flags & event.REPLY)
        return Connection(
            netns=netns,
            protocol=protocol,
            state="reply" if reply else "attempt",
            direction="inbound" if reply else "outbound",
            local=Endpoint(scope="unspecified", port=_local_port(attempt)),
            remote=remote,
            process=who.process if isinstance(who, Caller) else identity.process(*who, attempt.uid, attempt.at),
            workload=who.workload if isinstance(who, Caller) else self._workload(attempt, who),
            user=identity.user(attempt.uid),
            seen="attempts",
        )

    def _workload(self, attempt: Event, who: Who) -> Workload | None:
        return self._identity.workload_of(attempt.cgroup, who.pid, who.started, attempt.at)

    def _remote(self, attempt: Event, netns: int, protocol: Protocol) -> Endpoint | None:
        """Describe the destination; None is *any address*, by which the kernel means this host."""
        if attempt.hook == event.QUEUE and not attempt.protocol and attempt.address == bytes(16):
            return Endpoint(scope="unspecified", port=attempt.port)  # no IP at all: the port is the ethertype
        if attempt.address in _NO_ADDRESS and attempt.hook not in _PACKETS:
            return None
        has_port = protocol in _WITH_PORTS or (protocol != "icmp" and attempt.port)
        port = attempt.port if has_port and not attempt.flags & event.REPLY else None
        return self._identity.end(netns, attempt.address, port, datagram=protocol != "tcp")


def protocol_of(attempt: Event) -> Protocol:
    """Name what an event was attempted by."""
    return "packet" if attempt.hook == event.QUEUE else _PROTOCOLS.get(attempt.protocol, "raw")


def _local_port(attempt: Event) -> int | None:
    """Return the local port where it tells what is spoken; any other one would only make many facts of one."""
    return attempt.source if attempt.flags & event.FROM_DHCP_CLIENT else None


def _kind(attempt: Event) -> Kind:
    if attempt.hook in _PACKETS:
        return "packet"
    if attempt.hook in {event.CONNECT4, event.CONNECT6}:
        return "connect"
    # A connected IPv6 socket passes here with every datagram that it sends to a mapped address.
    return "mapped send" if attempt.hook == event.SENDMSG4 and attempt.family == _AF_INET6 else "send"
