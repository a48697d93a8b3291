"""Observes the sockets that end: for hosts where no program may be loaded into the kernel, and on request only.

Everything that was connected, or tried to be, is seen with its peer, however short it lived; who it was only where the
socket was there when the tables were last read. The kernel tells of the end, so sockets that are still open are for
the collector of sockets.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import TYPE_CHECKING

from airgap_check.evidence import Connection, Evidence
from airgap_check.kernel import inventory, netns, sock_diag
from airgap_check.kernel.destroy_events import DestroyEvents, Ended
from airgap_check.kernel.refusal import Refusals
from airgap_check.kernel.sock_diag import TIME_WAIT
from airgap_check.observers.listening_post import Group, Owner, Post, is_loopback
from airgap_check.observers.observer import UnobservableError
from airgap_check.observers.program import Clue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.fact import Process, Workload
    from airgap_check.kernel.netns import Namespace
    from airgap_check.kernel.sock_diag import Row
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.observer import Epoch

BUFFER = 1 << 26  # bytes that one namespace may have waiting: about 50,000 events
_ALL_BUFFERS, _SMALLEST = 1 << 28, 1 << 20  # bytes of all namespaces together, and what each gets in any case
_AT_ONCE = 1 << 15  # events read from one namespace before the others have their turn
_LAST_ROUNDS = 8
_LOOK_SECONDS = 30.0
_MOST_GROUPS, _MOST_OWNERS = 1 << 16, 1 << 18
_BLIND = (
    "where datagrams go that are not for a connected peer",
    "the port of a connection that was refused",
    "the owner of sockets that began after the tables were read",
    "attempts that fail without a route, and whatever has no TCP or UDP socket (raw, packet, ICMP)",
    "sockets that are still open at the end (the collector of sockets sees them)",
    "network namespaces made while we observed",
)


class _Seen:
    """Who it was, asked for at once because processes go; how often, and when first and last (CLOCK_MONOTONIC, ns)."""

    __slots__ = ("count", "first", "last", "process", "workload")

    def __init__(self, process: Process | None, workload: Workload | None, at: int) -> None:
        self.process, self.workload = process, workload
        self.count, self.first, self.last = 0, at, at


class SockdiagEvents:
    """Listens in these network namespaces from now on. ``buffer`` is in bytes for each; raises UnobservableError."""

    kind = "sockdiag"

    def __init__(
        self, namespaces: Sequence[Namespace], epoch: Epoch, identity: Identity, *, buffer: int = BUFFER
    ) -> None:
        self._epoch, self._identity = epoch, identity
        self._refusals = Refusals()
        self._counts = dict.fromkeys(("events", "loopback", "without_peer", "overruns", "unkept", "vanished"), 0)
        self._groups: dict[Group, _Seen] = {}
        self._new: list[Group] = []
        self._owners: dict[int, Owner] = {}
        self._posts: dict[int, Post] = {}
        self._small = self._nonsense = 0
        self._modules: tuple[str, ...] = ()
        self._old: set[int] = set()  # connections that had ended before we began
        self._next_look = time.monotonic() + _LOOK_SECONDS
        share = max(_SMALLEST, min(buffer, _ALL_BUFFERS // max(1, len(namespaces)))) if buffer > _SMALLEST else buffer
        try:
            for namespace in namespaces:
                self._open(namespace, share)
            self._take_stock(list(namespaces))
        except BaseException:
            self.close()
            raise
        if not self._posts:
            raise UnobservableError("; ".join(self._refusals.sentences()) or "there is no network namespace to watch")

    def set_aside(self, inode: int) -> None:
        """Leave out a network namespace, such as one of our own, and what was seen in it."""
        if inode in self._posts:
            self._leave(self._posts[inode])
        self._groups = {group: seen for group, seen in self._groups.items() if group.netns != inode}
        self._new = [group for group in self._new if group.netns != inode]

    def filenos(self) -> tuple[int, ...]:
        """Return the channel of each namespace."""
        return tuple(post.events.fileno() for post in self._posts.values())

    def drain(self) -> None:
        """Take what waits; where events were lost, read the tables again."""
        if time.monotonic() >= self._next_look:
            self._let_go()
        for post in list(self._posts.values()):
            self._take(post)

    def fresh(self) -> list[AnyRecord]:
        """Return the records that are new since the last call."""
        new, self._new = self._new, []
        return [self._record(group, self._groups[group]) for group in new]

    def finish(self) -> Evidence:
        """Drain once more, stop listening and return everything that was seen."""
        for _ in range(_LAST_ROUNDS):
            before = self._counts["events"]
            self.drain()
            if self._counts["events"] - before < _AT_ONCE:
                break
        self._counts["namespaces"] = len(self._posts)
        self.close()
        nonsense = self._nonsense
        overruns, unkept = self._counts["overruns"], self._counts["unkept"]
        reasons = self._refusals.sentences() + self._identity.failures()
        reasons += [f"events were lost {overruns} times, how many is unknown"] if overruns else []
        reasons += [f"{unkept} ended sockets were not kept: too many different peers"] if unkept else []
        reasons += [f"{nonsense} events made no sense"] if nonsense else []
        blind = list(_BLIND)
        if self._small:
            blind.append(f"the buffer holds few events (CAP_NET_ADMIN is missing): {self._small} bytes")
        if self._modules:
            blind.append(f"not blind, but changed: the kernel loaded {', '.join(self._modules)} because we asked")
        return Evidence(
            kind=self.kind,
            status="partial" if reasons else "complete",
            records=tuple(self._record(group, seen) for group, seen in self._groups.items()),
            reason="; ".join(reasons),
            scope=f"TCP and UDP sockets that ended in {self._counts['namespaces']} network namespaces",
            counts=self._counts,
            lost=overruns + unkept + nonsense,
            blind=tuple(blind),
        )

    def close(self) -> None:
        """Leave every namespace."""
        for post in list(self._posts.values()):
            self._leave(post)

    def _leave(self, post: Post) -> None:
        if self._posts.pop(post.namespace.inode, None):
            self._nonsense += post.events.nonsense
            post.events.close()

    def _let_go(self) -> None:
        """Leave the namespaces that nothing but our channel keeps alive, with all their interfaces."""
        self._next_look = time.monotonic() + _LOOK_SECONDS
        found, failures = netns.discover()
        if failures:
            return  # one that we cannot see may well be alive
        alive = {namespace.inode for namespace in found}
        for inode, post in list(self._posts.items()):
            if inode not in alive and post.namespace.holder != "socket":
                self._counts["vanished"] += 1
                self._take(post)
                self._leave(post)

    def _take(self, post: Post) -> None:
        at = time.monotonic_ns()
        try:
            events, overruns = post.events.read(_AT_ONCE)
        except OSError as error:
            where = f"{post.where()} ({error.strerror})"
            self._refusals.add("could not read the events of a network namespace", where)
            self._leave(post)
            return
        self._counts["events"] += len(events)
        for event in events:
            self._add(post, event, at)
        if overruns:
            self._counts["overruns"] += overruns
            self._catch_up(post)

    def _open(self, namespace: Namespace, buffer: int) -> None:
        try:
            events = netns.inside(namespace, partial(DestroyEvents, buffer))
        except (FileNotFoundError, ProcessLookupError):
            return
        except OSError as error:
            where = f"net:[{namespace.inode}] ({error.strerror})"
            self._refusals.add("could not listen in a network namespace", where)
            return
        self._posts[namespace.inode] = Post(namespace, events)
        if events.buffer < buffer:
            self._small = events.buffer

    def _take_stock(self, namespaces: list[Namespace]) -> None:
        """Read all tables once, after we began to listen: who listens, and who holds what is open now."""
        stock = inventory.take((namespaces, []), None)
        self._modules = stock.modules
        for failure in stock.failures:
            self._refusals.add(failure)
        at = time.monotonic_ns()
        for sockets in stock.namespaces:
            post = self._posts.get(sockets.namespace.inode)
            if post is None:
                continue
            post.ephemeral, post.initial = sockets.ephemeral, stock.initial_ports()
            post.learn(sockets.tables["tcp"], sockets.tables["udp"])
            for table in ("tcp", "udp", "udplite"):
                for row in sockets.tables[table]:
                    self._note_owner(row, stock.owners.pid(row.inode) or 0, at)

    def _note_owner(self, row: Row, pid: int, at: int) -> None:
        if row.state == TIME_WAIT and len(self._old) < _MOST_OWNERS:
            self._old.add(row.cookie)
        if row.cookie and row.inode and len(self._owners) < _MOST_OWNERS:
            self._owners[row.cookie] = Owner(pid, row.uid, row.cgroup, at if pid else 0)

    def _catch_up(self, post: Post) -> None:
        """Read the tables of a namespace: who listens, who is open, and in TIME-WAIT some of what was lost."""
        try:
            tcp, udp = netns.inside(post.namespace, _tables)
        except (FileNotFoundError, ProcessLookupError):
            return
        except OSError as error:
            self._leave(post)
            self._refusals.add("could not read the tables after events were lost", f"{post.where()} ({error.strerror})")
            return
        post.learn(tcp, udp)
        at = time.monotonic_ns()
        known = {group._replace(owner=None) for group in self._groups}
        for row in (*tcp, *udp):
            if row.state == TIME_WAIT and row.cookie not in self._old:
                ended = Ended(socket.IPPROTO_TCP, *row[2:6], row.cookie)
                group = post.group(ended, None)
                if group not in known and not is_loopback(row.remote):
                    self._count(group, at)
            if row.cookie not in self._owners:
                self._note_owner(row, 0, at)

    def _add(self, post: Post, event: Ended, at: int) -> None:
        owner = self._owners.pop(event.cookie, None)
        if not any(event.remote):
            self._counts["without_peer"] += 1
        elif is_loopback(event.remote):
            self._counts["loopback"] += 1
        else:
            self._count(post.group(event, owner), at)

    def _count(self, group: Group, at: int) -> None:
        seen = self._groups.get(group)
        if seen is None:
            if len(self._groups) >= _MOST_GROUPS:
                self._counts["unkept"] += 1
                return
            process = workload = None
            if (owner := group.owner) is not None:
                process = self._identity.process(owner.pid, 0, Clue(), owner.uid, owner.at)
                workload = self._identity.workload(owner.cgroup) if owner.cgroup else None
            seen = self._groups[group] = _Seen(process, workload, at)
            self._new.append(group)
        seen.count += 1
        seen.last = at

    def _record(self, group: Group, seen: _Seen) -> Connection:
        datagram = group.protocol == "udp"
        return Connection(
            netns=group.netns,
            protocol=group.protocol,
            state="closed",
            direction=group.direction,
            local=self._identity.end(group.netns, group.local, group.local_port),
            remote=self._identity.end(group.netns, group.remote, group.remote_port, datagram=datagram),
            process=seen.process,
            workload=seen.workload,
            user=self._identity.user(group.owner.uid) if group.owner else None,
            ownerless=group.owner is None,
            count=seen.count,
            first=self._epoch.at_monotonic(seen.first),
            last=self._epoch.at_monotonic(seen.last),
            seen="sockdiag",
        )


def _tables() -> tuple[list[Row], list[Row]]:
    with sock_diag.connect() as channel:
        return sock_diag.read(channel, socket.IPPROTO_TCP), sock_diag.read(channel, socket.IPPROTO_UDP)
