"""Answers for the whole world: every connection and every datagram that a rehearsed program sends ends here."""

from __future__ import annotations

import asyncio
import errno
import resource
import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING

from airgap_check.world import name_stream, opening, reception, through
from airgap_check.world.account import Account
from airgap_check.world.datagrams import Datagrams, Resolver
from airgap_check.world.host import Host
from airgap_check.world.line import Wire
from airgap_check.world.teller import Teller

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from typing import Any

    from airgap_check.address import Address
    from airgap_check.world.authority import Authority
    from airgap_check.world.meeting import Orders

_MOST_OPEN = 4096  # connections at a time; the rest wait until one ends
_BACKLOG = 4096
_OWN_FILES = 64  # descriptors that are not connections
_AT_ONCE = 128  # accepted, before those that are open have their turn
_RELIEF = 0.1  # seconds until the kernel is asked again for what it had no room for
_STOPPED = "open when the rehearsal ended"


def serve(
    orders: Orders,
    *,
    tcp: list[socket.socket],
    udp: list[socket.socket],
    name_udp: list[socket.socket],
    name_tcp: list[socket.socket],
    authority: Authority,
    tell: int,
    ferry: socket.socket | None,
    stop: int,
) -> None:
    """Answer until ``stop`` can be read or ends; then tell of what is still open, and return.

    ``tcp`` listen, and what is accepted there is bound to where the client wanted to go; ``udp`` are told that beside
    each datagram. ``name_udp`` and ``name_tcp`` are the name server's. ``tell`` is the pipe for messages.
    """

    async def work() -> None:
        loop = asyncio.get_running_loop()
        teller = Teller(tell, loop)
        loop.set_exception_handler(lambda _, context: teller.complain(f"the world failed: {_kind(context)}"))
        stopped = asyncio.Event()
        loop.add_reader(stop, stopped.set)
        host = Host(orders, authority, teller)
        crossing = through.Crossing(ferry) if ferry is not None else None
        datagrams = Datagrams(host, udp)
        Resolver(host, name_udp)
        doors = Doors(host, crossing, room=_room())
        doors.open(tcp, resolver=False)
        doors.open(name_tcp, resolver=True)
        await stopped.wait()
        loop.remove_reader(stop)
        await doors.close()
        datagrams.finish()
        teller.finish()

    asyncio.run(work())


def _room() -> int:
    """Return how many connections may be open, and see to it that the kernel allows as many, if it can be."""
    most = _MOST_OPEN + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - _OWN_FILES)
    return _MOST_OPEN


def _kind(context: dict[str, Any]) -> str:
    return type(context["exception"]).__name__ if "exception" in context else str(context.get("message", ""))


class Doors:
    """The listening sockets, and who came in by them. ``room`` is how many may be in at a time."""

    def __init__(self, host: Host, crossing: through.Crossing | None, room: int) -> None:
        self._host, self._crossing, self._room = host, crossing, room
        self._loop = asyncio.get_running_loop()
        self._doors: dict[socket.socket, bool] = {}
        self._guests: set[asyncio.Task[None]] = set()
        self._shut = self._paused = False

    def open(self, doors: Iterable[socket.socket], *, resolver: bool) -> None:
        """Let clients in; those of the ``resolver`` are nothing to tell of."""
        for door in doors:
            door.setblocking(False)  # noqa: FBT003 -- the socket's own signature
            door.listen(_BACKLOG)
            self._doors[door] = resolver
            self._loop.add_reader(door, self._admit, door)

    async def close(self) -> None:
        """Tell of everybody who is in, or waits at a door."""
        for door in self._doors:
            self._loop.remove_reader(door)
        self._shut = True
        guests = list(self._guests)
        for guest in guests:
            guest.cancel()
        if guests:
            await asyncio.wait(guests)
        for door, resolver in self._doors.items():
            while (came := self._accept(door)) is not None:
                with came[0] as end:
                    if not resolver:
                        self._glance(end, came[1])

    def _admit(self, door: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if len(self._guests) >= self._room:
                self._pause()
                return
            came = self._accept(door)
            if came is None:
                return
            end, account = came
            work = self._resolve(end, account) if self._doors[door] else self._receive(end, account)
            guest = self._loop.create_task(work)
            self._guests.add(guest)
            guest.add_done_callback(self._parting(end, None if self._doors[door] else account))

    def _accept(self, door: socket.socket) -> tuple[socket.socket, Account] | None:
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
            here = end.getsockname()
            return end, Account("tcp", source[1], _plain(here[0]), here[1])

    def _pause(self) -> None:
        self._paused = True
        for door in self._doors:
            self._loop.remove_reader(door)

    def _resume(self) -> None:
        if self._paused and not self._shut and len(self._guests) < self._room:
            self._paused = False
            for door in self._doors:
                self._loop.add_reader(door, self._admit, door)

    def _parting(self, end: socket.socket, account: Account | None) -> Callable[[asyncio.Task[None]], None]:
        def part(guest: asyncio.Task[None]) -> None:
            self._guests.discard(guest)
            end.close()
            fault = None if guest.cancelled() else guest.exception()
            if account is not None:
                if guest.cancelled():
                    account.ended = ", ".join(filter(None, [account.ended, _STOPPED]))
                elif fault is not None:
                    account.ended = account.ended or _fate(fault)
                self._tell(account)
            self._resume()

        return part

    async def _receive(self, end: socket.socket, account: Account) -> None:
        wire = Wire(end, account)
        place = self._host.through(account)
        if place and self._crossing is not None:
            await through.join(wire, account, self._crossing, place)
        else:
            await reception.receive(wire, account, self._host)

    async def _resolve(self, end: socket.socket, account: Account) -> None:
        await name_stream.converse(Wire(end, account), account, self._host)

    def _glance(self, end: socket.socket, account: Account) -> None:
        """Tell of somebody who was still waiting at the end, by what was said already."""
        try:
            said = end.recv(4096)
        except OSError:
            said = b""
        account.sent = len(said)
        if said:
            kind = opening.recognise(said)
            account.open_with(opening.SPOKEN.get(kind, "unknown"), opening.begin(kind, said))
        account.ended = "not answered: too many connections were open"
        self._tell(account)

    def _tell(self, account: Account) -> None:
        if account.missed:
            self._host.teller.complain(f"of {account.address}:{account.port}, not all requests are listed")
        self._host.teller.tell(account.met())


def _plain(text: str) -> Address:
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _fate(fault: BaseException) -> str:
    """Say how a connection ended that ended in a fault: the client's, or ours."""
    if isinstance(fault, ssl.SSLError):
        return f"TLS failed: {(fault.reason or 'no reason given').replace('_', ' ').lower()}"
    if isinstance(fault, ConnectionResetError | BrokenPipeError):
        return "reset by the client"
    if isinstance(fault, OSError):
        return f"broken off: {fault.strerror or type(fault).__name__}"
    return f"the world failed: {type(fault).__name__}"
