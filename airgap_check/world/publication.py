"""Lets this machine reach a port inside of a rehearsal: what connects to us is joined to the command's own port.

The listening sockets belong to the machine's network, on loopback; the connections are made inside, on loopback too.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HERE = "127.0.0.1"
_CHUNK = 1 << 16


def listen(ports: Iterable[int]) -> dict[int, socket.socket]:
    """Listen on loopback, for this machine alone, at the ports that shall lead inside. Raises `UsageError`."""
    listeners: dict[int, socket.socket] = {}
    with ExitStack() as undo:
        for port in ports:
            try:
                listeners[port] = undo.enter_context(socket.create_server((_HERE, port)))
            except OSError as error:
                raise UsageError(f"--publish {port}: {os.strerror(error.errno or 0)}") from error
        undo.pop_all()
    return listeners


def serve(published: Mapping[int, socket.socket]) -> None:
    """Join every connection to its port, in the network namespace of the command, until we are killed."""
    asyncio.run(_serve(published))


async def _serve(published: Mapping[int, socket.socket]) -> None:
    for port, listener in published.items():

        async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port) -> None:
            await _join(reader, writer, port)

        await asyncio.start_server(join, sock=listener)
    await asyncio.Event().wait()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    ends = [writer]
    with suppress(OSError):
        inner_reader, inner_writer = await asyncio.open_connection(_HERE, port)
        ends.append(inner_writer)
        await asyncio.gather(_pass_on(reader, inner_writer), _pass_on(inner_reader, writer))
    for end in ends:
        end.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
