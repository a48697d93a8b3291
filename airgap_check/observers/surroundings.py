"""Knows the network namespaces of this host by the cookie that the kernel's programs report, and their addresses.

Namespaces come and go while we observe, so they are looked for again when an unknown one turns up, as it may be gone a
moment later, and now and then for an address that nobody had. In the long run looking takes a fiftieth of the time.
"""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netns, netns_cookie, rtnetlink
from airgap_check.kernel.cgroup import Cgroups
from airgap_check.kernel.inventory import Inventory, NamespaceSockets
from airgap_check.kernel.owner import Owners
from airgap_check.kernel.peer import Peer, Peers
from airgap_check.kernel.refusal import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHARE = 50  # looking may take one part in so many
_SAVINGS = 0.5  # seconds of looking that may be saved up for when many namespaces come at once
_PAUSE = 1.0  # seconds between two looks for an address alone
_LINGER = 60.0  # seconds that the addresses of a namespace that has gone still count: its attempts may be read late
_COOKIES, _ADDRESSES = 1 << 16, 1 << 13  # kept at most; of addresses, in each namespace
_NEIGHBOURS = 8  # processes that are asked for a namespace
_NOWHERE = netns.Namespace(0, "process")


class _Look(NamedTuple):
    """What was seen in a namespace; ``since`` is when it was first looked into (0: before we began)."""

    cookie: int
    sockets: NamespaceSockets
    at: float
    since: float

    def is_settled(self) -> bool:
        """Tell whether it has its addresses: who makes a namespace gives them to it a moment later."""
        return self.at - self.since >= _PAUSE


class Surroundings:
    """The network namespaces and what an address means in each of them."""

    def __init__(self) -> None:
        self._inodes: dict[int, int] = {}  # by cookie; a cookie outlives its namespace and comes to mean nothing else
        self._looks: dict[int, _Look] = {}
        self._peers: dict[int, Peers] = {}
        self._initial = 0
        self._failures: list[str] = []
        self._looked = 0.0
        self._credit = _SAVINGS
        self._look_around()

    def inode(self, cookie: int, pids: Iterable[int] = (), at: float = 0.0) -> int:
        """Return the inode of a namespace; 0 when it had gone before anybody looked, or cannot be found.

        It is looked for with these processes first, as soon as it is heard of: it may be gone a moment later. One that
        is new is looked into again when something was seen in it (``at``, CLOCK_MONOTONIC in seconds) after that.
        """
        if cookie and cookie not in self._inodes and self._may_look():
            self._look_at(cookie, islice(pids, _NEIGHBOURS))
            if cookie not in self._inodes:
                self._look_around()
            self._inodes.setdefault(cookie, 0)  # gone, or hidden: looking again would not help
        inode = self._inodes.get(cookie, 0)
        look = self._looks.get(inode)
        if look is None or look.cookie != cookie or look.is_settled() or look.at >= at:
            return inode
        if self._may_look():
            self._look_at(cookie, islice(pids, _NEIGHBOURS))
        return inode if self._looks[inode].at >= at else 0

    def peer(self, inode: int, packed: bytes) -> Peer:
        """Say what a packed address is as seen from a namespace; for 0 as seen from one without addresses."""
        peers = self._peers_of(inode)
        if packed not in peers:
            if time.monotonic() >= self._looked + _PAUSE and self._may_look():
                self._look_around()
                peers = self._peers_of(inode)
            if len(peers) >= _ADDRESSES:
                peers.clear()
        return peers[packed]

    def failures(self) -> list[str]:
        """Say in words which namespaces the last look could not see into."""
        return list(self._failures)

    def _peers_of(self, inode: int) -> Peers:
        inode = inode if inode in self._looks else 0
        peers = self._peers.get(inode)
        if peers is None:
            here = self._looks[inode].sockets if inode else _described(_NOWHERE)
            peers = self._peers[inode] = Peers(here, self._inventory())
        return peers

    def _inventory(self) -> Inventory:
        stock = tuple(look.sockets for look in self._looks.values())
        return Inventory(stock, self._initial, Owners(lambda _: None, Cgroups()), (), ())

    def _may_look(self) -> bool:
        """Tell whether there is time left for a look."""
        earned = (time.monotonic() - self._looked) / _SHARE
        return self._credit + earned > 0

    def _look_at(self, cookie: int, pids: Iterator[int]) -> None:
        """Look into the namespaces of these processes, until one has the cookie."""
        started = time.monotonic()
        seen = set()
        for pid in pids:
            link = f"/proc/{pid}/ns/net"
            try:
                namespace = netns.Namespace(os.stat(link).st_ino, "process", (pid,), ((0, link),))
                if namespace.inode in seen:
                    continue
                seen.add(namespace.inode)  # one that we know has to be looked at again: inodes are given again
                self._note(namespace, netns.inside(namespace, partial(_look, namespace)), started)
            except OSError:
                continue
            if self._looks[namespace.inode].cookie == cookie:
                break
        self._credit -= time.monotonic() - started

    def _note(self, namespace: netns.Namespace, found: tuple[int, NamespaceSockets], at: float) -> None:
        cookie, sockets = found
        before = self._looks.get(namespace.inode)
        since = before.since if before and before.cookie == cookie else at if self._looked else 0.0
        self._looks[namespace.inode] = _Look(cookie, sockets, at, since)
        self._peers.clear()
        if cookie:
            self._inodes[cookie] = namespace.inode

    def _look_around(self) -> None:
        started = time.monotonic()
        self._credit = min(_SAVINGS, self._credit + (started - self._looked) / _SHARE)
        namespaces, failures = netns.discover()
        self._initial = next((space.inode for space in namespaces if 1 in space.pids), 0) or netns.own_inode()
        refusals = Refusals()
        for namespace in namespaces:
            try:
                self._note(namespace, netns.inside(namespace, partial(_look, namespace)), started)
            except (FileNotFoundError, ProcessLookupError):
                continue
            except OSError as error:
                refusals.add("could not look into a network namespace", f"net:[{namespace.inode}] ({error.strerror})")
        self._failures = [*failures, *refusals.sentences()]
        self._forget(started)
        self._looked = time.monotonic()
        self._credit -= self._looked - started

    def _forget(self, now: float) -> None:
        for inode in [inode for inode, look in self._looks.items() if look.at < now - _LINGER]:
            del self._looks[inode]
        while len(self._inodes) > _COOKIES:
            del self._inodes[next(iter(self._inodes))]
        self._peers.clear()


def _look(namespace: netns.Namespace) -> tuple[int, NamespaceSockets]:
    """Read cookie, addresses and maker of the calling thread's namespace; raises OSError without the addresses."""
    addresses = rtnetlink.addresses()
    try:
        cookie = netns_cookie.read()
    except OSError:
        cookie = 0
    try:
        maker = netns.maker()
    except OSError:
        maker = -1
    own = frozenset(address.address for address in addresses)
    broadcasts = frozenset(packed for address in addresses for packed in address.broadcasts())
    return cookie, _described(namespace, own, broadcasts, maker)


def _described(
    namespace: netns.Namespace,
    addresses: frozenset[bytes] = frozenset(),
    broadcasts: frozenset[bytes] = frozenset(),
    maker: int = -1,
) -> NamespaceSockets:
    """Describe a namespace by its addresses alone: its sockets are not what is asked."""
    return NamespaceSockets(namespace, {}, addresses, broadcasts, range(0), maker, {})
