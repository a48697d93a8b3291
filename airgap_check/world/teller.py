"""Tells the rehearsal what happens, over a pipe that may be read slowly: nobody here ever waits for a reader."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from airgap_check.world.meeting import Ended, Message, Trouble

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_ROOM = 1 << 24  # bytes that wait for the reader
_PATIENCE = 10.0  # seconds that the last messages may take
_AT_ONCE = 1 << 16


class Teller:
    """Writes messages to ``descriptor``, which is made non-blocking."""

    def __init__(self, descriptor: int, loop: AbstractEventLoop) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._loop = descriptor, loop
        self._encoder = msgspec.json.Encoder()
        self._waiting: deque[bytes] = deque()
        self._size = self._lost = 0
        self._watching = self._broken = False
        self._troubles: set[str] = set()

    def tell(self, message: Message) -> None:
        """Tell a message as soon as there is room; where too many wait for the reader, it is lost, and counted."""
        line = self._encoder.encode(message) + b"\n"
        if self._size + len(line) > _ROOM:
            self._lost += 1
            return
        self._waiting.append(line)
        self._size += len(line)
        if not self._watching:
            self._write()

    def complain(self, reason: str) -> None:
        """Tell of a trouble, once."""
        if reason not in self._troubles:
            self._troubles.add(reason)
            self.tell(Trouble(reason=reason))

    def finish(self) -> None:
        """Tell all that waits, and that it is all; return when it is out, or when nobody has read for some seconds."""
        deadline = time.monotonic() + _PATIENCE
        self._empty(deadline)
        self.tell(Ended())
        self._empty(deadline)

    def _empty(self, deadline: float) -> None:
        self._write()
        while self._waiting and not self._broken and (left := deadline - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll(left * 1000)
            self._write()

    def _write(self) -> None:
        while self._waiting and not self._broken:
            chunk = self._gather()
            try:
                written = os.write(self._descriptor, chunk)
            except BlockingIOError:
                written = 0
            except OSError:  # the rehearsal has gone: then the stop comes, too
                self._broken = True
                break
            self._size -= written
            if written < len(chunk):
                self._waiting.appendleft(chunk[written:])
                break
        if self._lost and not self._waiting:
            lost, self._lost = self._lost, 0
            self.tell(Trouble(reason=f"{lost} messages were lost, as nobody read them in time"))
        watch = bool(self._waiting) and not self._broken
        if watch != self._watching:
            self._watching = watch
            if watch:
                self._loop.add_writer(self._descriptor, self._write)
            else:
                self._loop.remove_writer(self._descriptor)

    def _gather(self) -> bytes:
        """Take some messages off the queue: a write each would be slower, all of them at once would copy them often."""
        chunk = bytearray(self._waiting.popleft())
        while self._waiting and len(chunk) + len(self._waiting[0]) <= _AT_ONCE:
            chunk += self._waiting.popleft()
        return bytes(chunk)
