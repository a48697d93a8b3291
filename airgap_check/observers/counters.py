"""Compares the kernel's counters of packets without a route, and of packets that a firewall refused, before and after.

A counter says that something was attempted, not by whom or to where: it is the cross-check of those who see attempts.
What moves ``OutNoRoutes`` (measured, Linux 6.18, ten attempts of each kind):

- One each: TCP connect, UDP connect and sendto, ping sockets, IPv4-mapped ones included, where no route matches, a
  ``throw`` route ends the search, or a rule (ip-rule(8)) says ``unreachable``. Raw sockets for IPv6 only: a raw IPv4
  socket that finds no route counts nowhere.
- None: ``prohibit``, ``unreachable`` and ``blackhole`` routes, ``prohibit`` and ``blackhole`` rules, IPv6 without any
  address, a neighbour that does not answer, looking a route up (``ip route get``), and idle time. Forwarded packets
  without a route count as InNoRoutes.
- Without an attempt: every retransmission of a connection whose route has gone, and every SYN-ACK of a listener to a
  caller that there is no route back to. So an increase may be larger than the number of attempts.

The counters of a firewall count packets, loopback's and retransmitted ones included.
"""

from __future__ import annotations

from collections import Counter as Tally
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Counter, Evidence
from airgap_check.kernel import drop_counter, legacy_tables, netns, nftables, snmp
from airgap_check.kernel.drop_counter import DropCounter, Firewall
from airgap_check.kernel.refusal import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from airgap_check.evidence import AnyRecord, Status
    from airgap_check.kernel.netns import Namespace
    from airgap_check.observers.observer import Epoch

_UNCOUNTED = "that refuse packets and have no counter for the outgoing ones alone"
_BLIND = (
    "attempts that end at a prohibit, unreachable or blackhole route, and raw IPv4 sockets without a route",
    "packets that are refused before they are routed or at ingress (prerouting, ingress), and by eBPF or tc",
    "rules that came and went between the two readings, and network namespaces made after the first",
    "not blind, but louder: retransmissions without a route, and answers to callers without one, count as well",
)


class _Reading(NamedTuple):
    """The counters of one namespace by an identity that lasts; ``sources`` are those that could be read."""

    counters: dict[tuple[str, Hashable], DropCounter]
    sources: frozenset[str]
    uncounted: int


class Counters:
    """Reads the counters of these network namespaces now, and again at the end.

    Without ``legacy`` those of legacy iptables are left out: in namespaces of our own, where nobody may make any.
    """

    kind = "counters"

    def __init__(self, namespaces: Sequence[Namespace], _epoch: Epoch, *, legacy: bool = True) -> None:
        self._sources = {name: read for name, read in _SOURCES.items() if legacy or name not in _LEGACY}
        self._refusals = Refusals()
        self._blind: set[str] = set()
        self._aside: set[int] = set()
        self._vanished = 0
        self._namespaces = {namespace.inode: namespace for namespace in namespaces}
        self._before = {inode: self._read(namespace) for inode, namespace in self._namespaces.items()}

    def set_aside(self, inode: int) -> None:
        """Leave out a network namespace, such as one of our own."""
        self._aside.add(inode)

    def filenos(self) -> tuple[int, ...]:
        """Return nothing: counters do not call."""
        return ()

    def drain(self) -> None:
        """Do nothing: counters keep."""

    def fresh(self) -> list[AnyRecord]:
        """Return nothing: what grew is known at the end."""
        return []

    def finish(self) -> Evidence:
        """Read again and return what grew."""
        records: list[Counter] = []
        counts: Tally[str] = Tally(namespaces=0, counters=0, uncounted=0)
        for inode, before in self._before.items():
            if before is None or inode in self._aside:
                continue
            after = self._read(self._namespaces[inode])
            if after is None:
                continue
            counts["namespaces"] += 1
            counts["counters"] += len(after.counters)
            counts["uncounted"] += after.uncounted
            records += self._compare(inode, before, after)
        counts["vanished"] = self._vanished
        return self._evidence(tuple(records), counts)

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def _evidence(self, records: tuple[Counter, ...], counts: Tally[str]) -> Evidence:
        reasons = self._refusals.sentences()
        status: Status = "partial" if reasons else "complete"
        if not counts["namespaces"]:
            status, reasons = "unavailable", reasons or ["no network namespace could be read twice"]
        uncounted = counts["uncounted"]
        unseen = [f"{uncounted} rules and policies {_UNCOUNTED}"] if uncounted else []
        return Evidence(
            kind=self.kind,
            status=status,
            records=records,
            reason="; ".join(reasons),
            scope=f"packets without a route and refused packets; network namespaces: {counts['namespaces']}",
            counts=dict(counts),
            blind=(*unseen, *sorted(self._blind), *_BLIND),
        )

    def _read(self, namespace: Namespace) -> _Reading | None:
        """Read one namespace; None when it has gone, which is no gap, or may not be joined, which is one."""
        try:
            return netns.inside(namespace, lambda: self._look_around(namespace.inode))
        except (FileNotFoundError, ProcessLookupError):
            self._vanished += 1
        except OSError as error:
            self._refusals.add("could not join a network namespace", f"net:[{namespace.inode}] ({error.strerror})")
        return None

    def _look_around(self, inode: int) -> _Reading:
        """Read the network namespace of the calling thread."""
        counters: dict[tuple[str, Hashable], DropCounter] = {}
        sources = set()
        uncounted = 0
        for source, read in self._sources.items():
            try:
                found = read()
            except FileNotFoundError as error:
                self._blind.add(f"the counters of {source}: {error.strerror}")
                continue
            except OSError as error:
                where = f"net:[{inode}] ({error.strerror})"
                self._refusals.add(f"could not read the counters of {source} of a network namespace", where)
                continue
            sources.add(source)
            uncounted += found.uncounted
            counters |= {(source, identity): counter for identity, counter in found.counters.items()}
        return _Reading(counters, frozenset(sources), uncounted)

    def _compare(self, inode: int, before: _Reading, after: _Reading) -> Iterator[Counter]:
        """Iterate over what grew. A counter that came meanwhile began at 0, and so did one that went backwards."""
        both = before.sources & after.sources
        where = f"net:[{inode}]"
        for key in before.counters.keys() - after.counters.keys():
            if key[0] in both:
                self._refusals.add(
                    "a rule that refuses packets went away, and with it what it had counted", f"{where} {key[0]}"
                )
        for key, (name, packets) in after.counters.items():
            if key[0] not in both:
                continue
            earlier = before.counters.get(key, DropCounter(name, 0)).packets
            if packets < earlier:
                self._refusals.add("a counter was set back, and is counted from 0", f"{where} {name}")
                earlier = 0
            if packets > earlier:
                yield Counter(netns=inode, name=name, increase=packets - earlier)


def _no_routes() -> Firewall:
    return Firewall({name: DropCounter(name, packets) for name, packets in snmp.no_routes().items()}, 0)


def _nftables() -> Firewall:
    ruleset = nftables.read()
    return Firewall({}, 0) if ruleset is None else drop_counter.of_ruleset(ruleset)


def _legacy(family: str) -> Firewall:
    return legacy_tables.read(family) if legacy_tables.in_use(family) else Firewall({}, 0)


_SOURCES: dict[str, Callable[[], Firewall]] = {
    "packets without a route": _no_routes,
    "nftables": _nftables,
    "legacy iptables": partial(_legacy, "iptables"),
    "legacy ip6tables": partial(_legacy, "ip6tables"),
}
_LEGACY = frozenset({"legacy iptables", "legacy ip6tables"})
