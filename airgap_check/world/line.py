"""The bytes that one client says and hears: on a socket, or within TLS on another line."""

from __future__ import annotations

import asyncio
import socket
import ssl
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap_check.world.account import Account

ROOM = 1 << 16  # bytes of a client's that are kept until they are understood
_CHUNK = 1 << 14


class Line(ABC):
    """What the client said and nobody has dealt with yet (``said``), and a way to tell it something."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.over = False  # the client has closed

    async def receive(self, patience: float | None = None) -> bytes:
        """Return the next bytes, none at the end. Raises OSError, and TimeoutError after so many seconds of silence."""
        received = await self._receive(patience)
        self.over = not received
        return received

    @abstractmethod
    async def _receive(self, patience: float | None) -> bytes: ...

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send everything. Raises OSError."""

    @abstractmethod
    async def end(self) -> None:
        """Say that nothing more comes. Raises OSError."""

    async def more(self, patience: float | None = None) -> bool:
        """Wait for the client to say more; False where it will not, or has said too much already."""
        if len(self.said) >= ROOM:
            return False
        received = await self.receive(patience)
        self.said += received
        return bool(received)

    async def exactly(self, count: int) -> bytes | None:
        """Take so many bytes; None where they do not come."""
        while len(self.said) < count:
            if not await self.more():
                return None
        return self.take(count)

    async def until(self, mark: bytes, most: int = 8192) -> bytes | None:
        """Take what stands before a mark, and the mark; return the former, None where none comes in time."""
        while (end := self.said.find(mark, 0, most)) < 0:
            if len(self.said) >= most or not await self.more():
                return None
        return self.take(end + len(mark))[:end]

    def take(self, count: int | None = None) -> bytes:
        """Take so many of the bytes that are there, or all of them."""
        taken = bytes(self.said[:count])
        del self.said[: len(taken)]
        return taken

    async def listen(self) -> None:
        """Hear the client out, whatever it says; bytes are counted below."""
        self.said.clear()
        while await self.receive():
            pass


class Wire(Line):
    """A connected socket that does not block; counts into an account."""

    def __init__(self, end: socket.socket, account: Account | None) -> None:
        super().__init__()
        self._end, self._account = end, account
        self._loop = asyncio.get_running_loop()

    async def _receive(self, patience: float | None) -> bytes:
        while True:
            try:
                data = self._end.recv(_CHUNK)
            except BlockingIOError:
                await until_readable(self._end, patience)
            else:
                if self._account is not None:
                    self._account.sent += len(data)
                return data

    async def send(self, data: bytes) -> None:  # noqa: D102 -- of Line
        await self._loop.sock_sendall(self._end, data)
        if self._account is not None:
            self._account.received += len(data)

    async def end(self) -> None:  # noqa: D102 -- of Line
        self._end.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Break off, both ways."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)


async def until_readable(end: socket.socket, patience: float | None = None) -> None:
    """Wait without reading: what is read while a wait is given up would be lost. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(end, _settle, ready)
    try:
        if patience is None:
            await ready
        elif not (await asyncio.wait([ready], timeout=patience))[0]:
            raise TimeoutError
    finally:
        loop.remove_reader(end)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Secured(Line):
    """TLS on another line, of which we are the server."""

    def __init__(self, below: Line, context: ssl.SSLContext) -> None:
        super().__init__()
        self._below = below
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    @property
    def protocol(self) -> str | None:
        """Return what was agreed on by ALPN."""
        return self._tls.selected_alpn_protocol()

    async def shake_hands(self) -> None:
        """Come to terms with the client. Raises ssl.SSLError where that fails, OSError where it goes away."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._feed(None):
                    raise ConnectionResetError("closed within the handshake") from None
            except ssl.SSLError:
                await self._flush()
                raise
            else:
                await self._flush()
                return

    async def _receive(self, patience: float | None) -> bytes:
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._feed(patience):
                    return b""  # without a close_notify, as many end
            except ssl.SSLZeroReturnError:
                return b""

    async def send(self, data: bytes) -> None:  # noqa: D102 -- of Line
        self._tls.write(data)
        await self._flush()

    async def end(self) -> None:  # noqa: D102 -- of Line
        with suppress(ssl.SSLError):  # the client's own good-bye has not come: nobody waits for it
            self._tls.unwrap()
        await self._flush()
        await self._below.end()

    async def _feed(self, patience: float | None) -> bool:
        data = self._below.take() or await self._below.receive(patience)
        self._in.write(data)
        return bool(data)

    async def _flush(self) -> None:
        if self._out.pending:
            await self._below.send(self._out.read())
