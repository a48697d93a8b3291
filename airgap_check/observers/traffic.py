"""Watches the packets that leave network namespaces: what begins, which names are asked for, whom clients name."""

from __future__ import annotations

import math
import select
import time
from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING

from airgap_check.evidence import Evidence
from airgap_check.kernel import netns, packet
from airgap_check.observers.lookout import HelloProgram, Lookout
from airgap_check.observers.observer import UnobservableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence import AnyRecord
    from airgap_check.kernel.netns import Namespace
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.observer import Epoch
    from airgap_check.observers.wire import Wire

FACTS = 50_000  # different ones that are kept
_ASIDE = 1000
_NAMESPACES = 32  # watched at most
_FIRST, _OTHERS = packet.SIZE, 1 << 20  # bytes of a ring
_LOOK_AFTER = 5.0  # seconds between two looks whether a namespace is still there: our sockets would keep it alive
_LIBRARIES = ("cryptography", "scapy")  # for names in QUIC, and for what stands behind IPv6 extension headers
_COUNTED = ("flows", "questions", "answers", "requests", "undissected")
_BLIND = (
    "which process a packet is of",
    "packets that bypass the queueing discipline (PACKET_QDISC_BYPASS) or leave by XDP",
    "names inside a proxy connection, and in connections that had begun before",
    "answers of name servers that whoever is root in another network namespace forges there",
    "UDP other than DNS and QUIC, and protocols other than TCP, UDP, SCTP and ICMP",
)


class Traffic:
    """Watches the packets of network namespaces."""

    kind = "traffic"

    def __init__(self, namespaces: Sequence[Namespace], epoch: Epoch, identity: Identity) -> None:
        """Start to watch; raises UnobservableError when that is possible in none of the namespaces."""
        del epoch  # packets carry the time of the wall clock
        self._identity = identity
        self._own = netns.own_inode()
        self._lookouts: dict[int, Lookout] = {}
        self._watched: set[int] = set()
        self._aside: set[int] = set()
        self._unreadable: dict[int, str] = {}
        self._ended = packet.Statistics()
        self._next_look = 0.0
        self._wire: Wire | None = None
        self._test: Wire | None = None
        self._poll = select.epoll()
        self._program = HelloProgram()
        for namespace in namespaces:
            self.add(namespace)
        if not self._lookouts:
            self.close()
            raise UnobservableError(next(iter(self._unreadable.values()), "there is no network namespace to watch"))

    def add(self, namespace: Namespace) -> None:
        """Watch one more network namespace; where that fails, the evidence says so.

        Only for a namespace that was set aside, which the evidence does not speak of, it raises UnobservableError.
        """
        inode = namespace.inode
        if inode in self._lookouts:
            return
        try:
            lookout = self._lookouts[inode] = self._open(namespace)
        except UnobservableError as error:
            if inode in self._aside:
                raise
            self._unreadable[inode] = str(error)
        else:
            for number in lookout.filenos():
                self._poll.register(number, select.EPOLLIN)
            self._watched.add(inode)
            self._unreadable.pop(inode, None)

    def remove(self, inode: int) -> None:
        """Stop watching a network namespace; what was seen in it stays."""
        if inode in self._lookouts:
            self._drain(self._lookouts[inode], time.monotonic())
            self._shut(self._lookouts.pop(inode))

    def set_aside(self, inode: int) -> None:
        """Keep what is seen in a network namespace out of the evidence, from now on."""
        self._aside.add(inode)

    def aside(self) -> list[AnyRecord]:
        """Return what was seen in the namespaces that were set aside."""
        return list(self._test.sightings.all()) if self._test else []

    def filenos(self) -> tuple[int, ...]:
        """Return one descriptor for all rings: it stays the same while namespaces come and go."""
        return () if self._poll.closed else (self._poll.fileno(),)

    def drain(self) -> None:
        """Take what waits: at most one turn of each ring."""
        now = time.monotonic()
        for lookout in self._lookouts.values():
            self._drain(lookout, now)
        if self._wire:
            self._wire.settle(now)
        if now >= self._next_look:
            self._next_look = now + _LOOK_AFTER
            for inode in [inode for inode, lookout in self._lookouts.items() if lookout.has_gone()]:
                self.remove(inode)

    def fresh(self) -> list[AnyRecord]:
        """Return what is new since the last call."""
        return list(self._wire.sightings.fresh()) if self._wire else []

    def finish(self) -> Evidence:
        """Wait until the kernel has handed over what came last, stop watching, and return everything."""
        if self._lookouts:
            time.sleep(2 * packet.RETIRE_MS / 1000)
        self.drain()
        if self._wire:
            self._wire.settle(math.inf)
        self.close()
        return self._evidence()

    def close(self) -> None:
        """Give the rings back."""
        while self._lookouts:
            self._shut(self._lookouts.popitem()[1])
        self._program.close()
        self._poll.close()

    def _open(self, namespace: Namespace) -> Lookout:
        if len(self._lookouts) >= _NAMESPACES:
            raise UnobservableError(f"packets of no more than {_NAMESPACES} network namespaces are watched at a time")
        return Lookout(namespace, _OTHERS if self._lookouts else _FIRST, self._program)

    def _drain(self, lookout: Lookout, now: float) -> None:
        inode = lookout.namespace.inode
        for source, frames in lookout.blocks():
            wire = self._wire_of(inode)
            for frame in frames:
                wire.take(inode, frame, now, source=source)

    def _wire_of(self, inode: int) -> Wire:
        """Return where the facts of a namespace are kept; the dissectors are heavy, and not loaded before."""
        from airgap_check.observers.wire import Wire

        if inode in self._aside:
            self._test = self._test or Wire(self._identity, _ASIDE, self._own)
            return self._test
        self._wire = self._wire or Wire(self._identity, FACTS, self._own)
        return self._wire

    def _shut(self, lookout: Lookout) -> None:
        lookout.close()
        if lookout.namespace.inode not in self._aside:
            self._ended = packet.total((self._ended, lookout.statistics()))

    def _evidence(self) -> Evidence:
        wire = self._wire
        overflow = wire.sightings.overflow if wire else 0
        counts = wire.counts() if wire else dict.fromkeys(_COUNTED, 0)
        reasons = list(self._reasons(overflow, wire.unread if wire else 0))
        watched = len(self._watched - self._aside)
        return Evidence(
            kind=self.kind,
            status="partial" if reasons else "complete",
            records=tuple(wire.sightings.all()) if wire else (),
            reason="; ".join(reasons),
            scope=f"packets that left {watched} network namespace{'s' if watched > 1 else ''}",
            counts={"packets": self._ended.packets, "drops": self._ended.drops, **counts},
            lost=self._ended.drops + overflow,
            blind=(*_BLIND, f"every network namespace but the {watched} observed", *self._without_program()),
        )

    def _reasons(self, overflow: int, unread: int) -> Iterator[str]:
        """Say in words why not everything was seen that this observer promises."""
        for why, number in Counter(self._unreadable.values()).items():
            yield f"{why} (and {number - 1} more)" if number > 1 else why
        missing = [library for library in _LIBRARIES if find_spec(library) is None]
        if missing:
            yield f"not every packet can be read: {' and '.join(missing)} cannot be imported"
        if self._ended.drops:
            yield f"the kernel had no room for {self._ended.drops} packets"
        if overflow:
            yield f"there were more than {FACTS} different facts; {overflow} sightings were not kept"
        if unread:
            yield f"{unread} DNS message{'s' if unread > 1 else ''} could not be read"

    def _without_program(self) -> Iterator[str]:
        if self._program.missing:
            yield f"the name in a TLS hello that is split over several segments ({self._program.missing})"
