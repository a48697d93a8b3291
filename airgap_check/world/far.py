"""Answers for the whole world: every connection and every datagram that a rehearsed program sends ends here."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import TYPE_CHECKING

from airgap_check.world import through
from airgap_check.world.datagrams import Datagrams, Resolver, dropped
from airgap_check.world.doors import MOST_OPEN, MOST_WAITING, Doors
from airgap_check.world.host import Host
from airgap_check.world.teller import Teller

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from airgap_check.world.authority import Authority
    from airgap_check.world.meeting import Orders

_OWN_FILES = 64  # descriptors that are not connections
_HASTE, _PAUSE = 10.0, 0.02  # seconds that the end may take, and between looks at whether anything more is heard
_LOOKS = 3  # at which nothing was, until it is quiet


def serve(
    orders: Orders,
    *,
    tcp: list[socket.socket],
    udp: list[socket.socket],
    name_udp: list[socket.socket],
    name_tcp: list[socket.socket],
    table: socket.socket | None,
    authority: Authority,
    tell: int,
    ferry: socket.socket | None,
    stop: int,
) -> None:
    """Answer until ``stop`` can be read or ends; then tell of what is still open, and return.

    ``tcp`` listen, and what is accepted there is bound to where the client wanted to go; ``udp`` are told that beside
    each datagram. ``name_udp`` and ``name_tcp`` are the name server's, and ``table`` tells of
    the sockets around it. ``tell`` is the pipe for messages.
    """

    async def work() -> None:
        loop = asyncio.get_running_loop()
        teller = Teller(tell, loop)
        loop.set_exception_handler(lambda _, context: teller.complain(f"the world failed: {_kind(context)}"))
        stopped = asyncio.Event()
        loop.add_reader(stop, stopped.set)
        host = Host(orders, authority, teller, table)
        crossing = through.Crossing(ferry) if ferry is not None else None
        datagrams = Datagrams(host, udp)
        Resolver(host, name_udp)
        doors = Doors(host, crossing, room=_room())
        doors.open(tcp, resolver=False)
        doors.open(name_tcp, resolver=True)
        await stopped.wait()
        loop.remove_reader(stop)
        if not await _settle(lambda: (doors.progress(), datagrams.heard)):
            teller.complain(f"not all was heard {_HASTE:.0f} s after the command's end")
        if lost := dropped([*udp, *name_udp]):
            teller.complain(f"{lost} datagrams were lost, as they came faster than they were heard")
        await doors.close()
        datagrams.finish()
        teller.finish()

    asyncio.run(work())


async def _settle(progress: Callable[[], object]) -> bool:
    """Wait until all is heard that was said before the stop: whoever said it is dead, or held. Tells whether it is."""
    until, before, quiet = time.monotonic() + _HASTE, progress(), 0
    while quiet < _LOOKS and time.monotonic() < until:
        await asyncio.sleep(_PAUSE)
        now = progress()
        quiet = quiet + 1 if now == before else 0
        before = now
    return quiet == _LOOKS


def _room() -> int:
    """Return how many connections may be open, and see to it that the kernel allows as many, if it can be."""
    most = MOST_OPEN + MOST_WAITING + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - _OWN_FILES)
    return MOST_OPEN + MOST_WAITING


def _kind(context: dict[str, Any]) -> str:
    return type(context["exception"]).__name__ if "exception" in context else str(context.get("message", ""))
