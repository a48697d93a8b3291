"""Joins a client with a real service of this machine, by the ferry that alone can reach it; TLS stays theirs."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from airgap_check.dissect import hello
from airgap_check.redact import printable
from airgap_check.world import opening
from airgap_check.world.line import ROOM, Wire, until_readable

if TYPE_CHECKING:
    from airgap_check.world.account import Account

_LONGEST = 512  # bytes of the ferry's answer


class Crossing:
    """The way to the ferry: one connection is asked for after the other."""

    def __init__(self, ferry: socket.socket) -> None:
        ferry.setblocking(False)  # noqa: FBT003 -- the socket's own signature
        self._ferry = ferry
        self._turn = asyncio.Lock()

    async def reach(self, place: str) -> socket.socket | str:
        """Return a socket that is connected to *host:port*, or the reason why there is none. Raises OSError."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(self._ferry, f"{place}\n".encode())
            await until_readable(self._ferry)
            said, descriptors, _, _ = socket.recv_fds(self._ferry, _LONGEST, 1)
        if descriptors:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
            return socket.socket(fileno=descriptors[0])
        return printable(said.decode(errors="replace")).strip().removeprefix("no: ") or "the ferry has gone"


async def join(wire: Wire, account: Account, crossing: Crossing, place: str) -> None:
    """Pass bytes both ways until both sides have closed. Raises OSError."""
    reached = await crossing.reach(place)
    if isinstance(reached, str):
        account.ended = f"not passed through: {reached}"
        return
    with reached:
        reached.setblocking(False)  # noqa: FBT003 -- as above
        within = Wire(reached, None)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass(wire, within, "the client", account, account))
            both.create_task(_pass(within, wire, "the service", account))


async def _pass(source: Wire, target: Wire, who: str, account: Account, heard: Account | None = None) -> None:
    """Pass on what one side says until it closes; the first of what a client says is looked at."""
    head = bytearray()
    try:
        while data := await source.receive():
            await target.send(data)
            if heard is not None:
                head += data
                heard = None if _look(head, heard) or len(head) >= ROOM else heard
        account.ended = account.ended or f"passed through, closed by {who}"
        await target.end()
    except OSError:
        account.ended = account.ended or f"passed through, broken off by {who}"
        source.cut()
        target.cut()


def _look(head: bytearray, account: Account) -> bool:
    """Note what is spoken, and to whom; False where the next bytes may tell more."""
    kind = opening.recognise(head)
    account.open_with(opening.SPOKEN.get(kind, "unknown"), opening.begin(kind, head))
    if kind != "tls":
        return kind != "more"
    said = hello.peek(bytes(head))
    account.seek(said.name if said else None)
    return said is not None and said.complete
