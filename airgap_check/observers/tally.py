"""Counts attempts: makes records of events, each fact once however often and through however many hooks it was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from airgap_check.evidence import Connection
from airgap_check.fact import Endpoint
from airgap_check.kernel.programs import event

if TYPE_CHECKING:
    from airgap_check.evidence import Protocol
    from airgap_check.kernel.programs.event import Event
    from airgap_check.kernel.programs.tables import Repeat
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.observer import Epoch

LIMIT = 50_000
_AF_INET6 = 10
# MPTCP is 262, and 6 in the eight bits that an event has for it.
_PROTOCOLS: dict[int, Protocol] = {6: "tcp", 17: "udp", 136: "udp", 1: "icmp", 58: "icmp"}
_WITH_PORTS = frozenset({"tcp", "udp"})
_HERE = frozenset({"own", "host", "loopback"})
_PACKETS = frozenset({event.EGRESS, event.QUEUE})
_NO_ADDRESS = frozenset({bytes(16), bytes(10) + b"\xff\xff" + bytes(4)})

Kind = Literal["connect", "send", "mapped send", "packet"]
Key = tuple[object, ...]


class _Seen:
    """One line of the kernel's table. ``earlier`` counts its earlier lives there, ``now`` this one."""

    __slots__ = ("earlier", "first", "kind", "last", "now", "record")

    def __init__(self, record: Connection, kind: Kind, at: int) -> None:
        self.record, self.kind = record, kind
        self.earlier, self.now = 0, 1
        self.first = self.last = at


class Who(NamedTuple):
    """The process that an event is about, as the kernel has it; see `event.Event`."""

    pid: int
    started: int
    command: bytes


class Tally:
    """The attempts of one observation; ``limit`` facts are kept at most, and ``unkept`` counts those beyond.

    ``by_process`` tells whether the kernel's table can be matched by pid, which it counts in the initial namespace.
    """

    def __init__(self, identity: Identity, epoch: Epoch, *, by_process: bool, limit: int = LIMIT) -> None:
        self._identity, self._epoch = identity, epoch
        self._by_process, self._limit = by_process, limit
        self._seen: dict[Key, _Seen] = {}
        self._records: dict[Connection, Connection] = {}
        self._new: list[tuple[Connection, int]] = []
        self.unkept = self.own = self.replies = 0

    def add(self, attempt: Event, who: Who) -> None:
        """Take in an event of this process."""
        key = self._key_of_event(attempt)
        self.replies += attempt.flags & event.REPLY
        seen = self._seen.get(key)
        if seen is not None:  # its line in the kernel had to make room
            seen.earlier += seen.now
            seen.now, seen.last = 1, max(seen.last, attempt.at)
            return
        record = self._describe(attempt, who)
        if record is None:
            self.own += 1
        elif len(self._seen) >= self._limit:
            self.unkept += 1
        else:
            if record not in self._records:
                self._records[record] = record
                self._new.append((record, attempt.at))
            self._seen[key] = _Seen(self._records[record], _kind(attempt), attempt.at)

    def count(self, repeat: Repeat) -> None:
        """Take in how often the kernel has seen something; what is not known was not kept."""
        seen = self._seen.get(self._key_of_repeat(repeat))
        if seen is not None:
            # The line may have ended and begun again since the event was read; it never counts back.
            seen.now = max(seen.now, repeat.times) if repeat.first <= seen.last else repeat.times
            seen.last = max(seen.last, repeat.last)

    def fresh(self) -> list[Connection]:
        """Return the facts that are new since the last call, as they were first seen."""
        new, self._new = self._new, []
        return [self._dated(record, 1, at, at) for record, at in new]

    def records(self) -> list[Connection]:
        """Return every fact with its count."""
        grouped: dict[Connection, list[_Seen]] = {}
        for seen in self._seen.values():
            grouped.setdefault(seen.record, []).append(seen)
        return [
            self._dated(record, _together(group), min(seen.first for seen in group), max(seen.last for seen in group))
            for record, group in grouped.items()
        ]

    def repeats(self) -> int:
        """Return how often what was seen was seen again."""
        return sum(seen.earlier + seen.now - 1 for seen in self._seen.values())

    def _dated(self, record: Connection, count: int, first: int, last: int) -> Connection:
        at = self._epoch.at_monotonic
        return replace(record, count=count, first=at(first), last=at(last))

    def _key_of_event(self, attempt: Event) -> Key:
        process = attempt.cookie if attempt.hook in _PACKETS else attempt.pid
        return self._key(attempt, process)

    def _key_of_repeat(self, repeat: Repeat) -> Key:
        return self._key(repeat, repeat.process)

    def _key(self, seen: Event | Repeat, process: int) -> Key:
        """Return what a line of the kernel's table and its event share."""
        return (
            seen.cgroup, seen.netns, seen.address, seen.port, seen.protocol, seen.hook, seen.family, seen.type,
            seen.flags, seen.started, process if self._by_process or seen.hook in _PACKETS else 0,
        )  # fmt: skip

    def _describe(self, attempt: Event, who: Who) -> Connection | None:
        """Return the record of an event without its count; None when it goes no further than this host."""
        identity = self._identity
        netns = identity.namespace(attempt.netns)
        protocol: Protocol = "packet" if attempt.hook == event.QUEUE else _PROTOCOLS.get(attempt.protocol, "raw")
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
            process=identity.process(who.pid, who.started, who.command, attempt.uid, attempt.at),
            workload=identity.workload(attempt.cgroup),
            user=identity.user(attempt.uid),
            seen="attempts",
        )

    def _remote(self, attempt: Event, netns: int, protocol: Protocol) -> Endpoint | None:
        """Describe the destination; None is *any address*, by which the kernel means this host."""
        if attempt.hook == event.QUEUE and not attempt.protocol and attempt.address == bytes(16):
            return Endpoint(scope="unspecified", port=attempt.port)  # no IP at all: the port is the ethertype
        if attempt.address in _NO_ADDRESS and attempt.hook not in _PACKETS:
            return None
        has_port = protocol in _WITH_PORTS or (protocol != "icmp" and attempt.port)
        port = attempt.port if has_port and not attempt.flags & event.REPLY else None
        return self._identity.end(netns, attempt.address, port, datagram=protocol != "tcp")


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


def _together(group: list[_Seen]) -> int:
    """Return how many attempts these lines are: a socket that connects and then sends passes several hooks."""
    counts = dict.fromkeys(("connect", "send", "mapped send", "packet"), 0)
    for seen in group:
        counts[seen.kind] += seen.earlier + seen.now
    tried = counts["connect"] + counts["send"]
    return tried + (0 if counts["connect"] else counts["mapped send"]) or counts["packet"]
