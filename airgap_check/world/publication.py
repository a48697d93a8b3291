"""Lets this machine reach a port inside of a rehearsal: what connects to us is joined to the command's own port.

The listening sockets belong to the machine's network, on loopback; the connections are made inside, on loopback too.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_CHUNK = 1 << 16


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
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        ends.append(inner_writer)
        await asyncio.gather(_pass_on(reader, inner_writer), _pass_on(inner_reader, writer))
    for end in ends:
        end.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
