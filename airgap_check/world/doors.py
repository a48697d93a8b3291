"""Lets clients in, so many at a time, and tells how each of them left."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.world import name_stream, opening, reception, through
from airgap_check.world.account import Account, reached
from airgap_check.world.line import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.world.host import Host

MOST_OPEN = 4096  # connections that are answered at a time; the rest wait until one ends
MOST_WAITING = 12288  # of those that are accepted already, as the kernel lets no more than its backlog knock
_BACKLOG = 4096
_AT_ONCE = 128  # accepted, before those that are open have their turn
_RELIEF = 0.1  # seconds until the kernel is asked again for what it had no room for
_STOPPED = "open when the rehearsal ended"


class _Guest(NamedTuple):
    """A connection; one to the ``resolver`` is nothing to tell of, but for the names."""

    end: socket.socket
    account: Account
    resolver: bool


class Doors:
    """The listening sockets, and who came in by them. ``room`` is how many may be in, or wait, at a time."""

    def __init__(self, host: Host, crossing: through.Crossing | None, room: int) -> None:
        self._host, self._crossing, self._room = host, crossing, room
        self._loop = asyncio.get_running_loop()
        self._doors: dict[socket.socket, bool] = {}
        self._guests: dict[asyncio.Task[None], Account] = {}
        self._parted = 0
        self._waiting: deque[_Guest] = deque()
        self._shut = self._paused = False

    def open(self, doors: Iterable[socket.socket], *, resolver: bool) -> None:
        """Let clients in; those of the ``resolver`` are nothing to tell of."""
        for door in doors:
            door.setblocking(False)  # noqa: FBT003 -- the socket's own signature
            door.listen(_BACKLOG)
            self._doors[door] = resolver
            self._loop.add_reader(door, self._admit, door)

    def progress(self) -> tuple[int, ...]:
        """Return numbers that are others as soon as anything has happened."""
        said = sum(account.sent + account.received for account in self._guests.values())
        return self._parted, len(self._guests), len(self._waiting), said

    async def close(self) -> None:
        """Tell of everybody who is in, or waits at a door."""
        for door in self._doors:
            self._loop.remove_reader(door)
        self._shut = True
        tasks = list(self._guests)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for door in self._doors:
            while (came := self._accept(door)) is not None:
                self._waiting.append(came)
        for guest in self._waiting:
            self._glance(guest)

    def _admit(self, door: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            came = self._accept(door)
            if came is None:
                return
            self._waiting.append(came)
            self._serve_next()
            if len(self._guests) + len(self._waiting) >= self._room:
                self._pause()
                return

    def _serve_next(self) -> None:
        """Turn to those who have waited longest, as many as can be answered at a time."""
        while self._waiting and len(self._guests) < MOST_OPEN:
            guest = self._waiting.popleft()
            task = self._loop.create_task(self._resolve(guest) if guest.resolver else self._receive(guest))
            self._guests[task] = guest.account
            task.add_done_callback(functools.partial(self._part, guest))

    def _accept(self, door: socket.socket) -> _Guest | None:
        """Accept who waits; None where nobody does, or nobody more can be accepted for now."""
        while True:
            try:
                end, source = door.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._host.teller.complain(f"connections had to wait: {error.strerror}")
                    self._pause()
                    self._loop.call_later(_RELIEF, self._resume)
                    return None
                continue  # the client has gone already (accept(2))
            end.setblocking(False)  # noqa: FBT003 -- as above
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            here = end.getsockname()
            return _Guest(end, Account("tcp", source[1], reached(here[0]), here[1]), self._doors[door])

    def _pause(self) -> None:
        self._paused = True
        for door in self._doors:
            self._loop.remove_reader(door)

    def _resume(self) -> None:
        if self._paused and not self._shut and len(self._guests) + len(self._waiting) < self._room:
            self._paused = False
            for door in self._doors:
                self._loop.add_reader(door, self._admit, door)

    def _part(self, guest: _Guest, task: asyncio.Task[None]) -> None:
        del self._guests[task]
        self._parted += 1
        guest.end.close()
        account = guest.account
        fault = None if task.cancelled() else task.exception()
        if task.cancelled():
            account.ended = account.ended or _STOPPED
        elif fault is not None:
            account.ended = account.ended or _fate(fault)
            if not isinstance(fault, OSError):
                self._host.teller.complain(f"{_fate(fault)}: what a client would have done next was not seen")
        self._tell(guest)
        if not self._shut:
            self._serve_next()
            self._resume()

    async def _receive(self, guest: _Guest) -> None:
        wire = Wire(guest.end, guest.account)
        place = self._host.through(guest.account)
        if place and self._crossing is not None:
            await through.join(wire, guest.account, self._crossing, place)
        else:
            await reception.receive(wire, guest.account, self._host)

    async def _resolve(self, guest: _Guest) -> None:
        asker = self._host.askers.of(socket.IPPROTO_TCP, guest.end.getpeername()[:2], guest.end.getsockname()[:2])
        try:
            await name_stream.converse(Wire(guest.end, guest.account), guest.account, self._host)
        finally:
            for asked in guest.account.requests:
                self._host.askers.note(asker, [asked.line], asked.at)

    def _glance(self, guest: _Guest) -> None:
        """Tell of somebody who was still waiting at the end, by what was said already."""
        account = guest.account
        with guest.end:
            try:
                said = guest.end.recv(4096)
            except OSError:
                said = b""
        account.sent = len(said)
        if said:
            kind = opening.recognise(said)
            account.open_with(opening.SPOKEN.get(kind, "unknown"), opening.begin(kind, said))
        account.ended = "not answered: too many connections were open"
        self._tell(guest)

    def _tell(self, guest: _Guest) -> None:
        if not guest.resolver:
            self._host.tell(guest.account)


def _fate(fault: BaseException) -> str:
    """Say how a connection ended that ended in a fault: the client's, or ours."""
    if isinstance(fault, ssl.SSLError):
        return f"TLS failed: {(fault.reason or 'no reason given').replace('_', ' ').lower()}"
    if isinstance(fault, ConnectionResetError | BrokenPipeError):
        return "reset by the client"
    if isinstance(fault, OSError):
        return f"broken off: {fault.strerror or type(fault).__name__}"
    return f"the world failed: {type(fault).__name__}"
