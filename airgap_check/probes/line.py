"""A line to the other side: bytes out and in until a deadline, under a budget, in clear or through a layer of TLS.

It is given a connected socket and never opens one. Whatever the other side does, byte by byte, without end or not at
all, a call returns or raises before the deadline.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from airgap_check.probes.account import Checked, ConversationError, Named, Stage

if TYPE_CHECKING:
    import socket
    from datetime import datetime

_CHUNK = 1 << 16
BUDGET = 4 << 20  # bytes that we take from one conversation, those of a handshake included


class Layer(Protocol):
    """What lies between the bytes that a protocol speaks and those on the wire; ``ended`` once the other side left."""

    ended: bool

    def seal(self, plain: bytes) -> bytes:
        """Return the bytes to send for these."""

    def open(self, wire: bytes) -> bytes:
        """Return what these bytes say, perhaps nothing yet. Raises `OSError` when they are broken."""

    def answer(self) -> bytes:
        """Return what the layer itself has to say since."""

    def close(self) -> bytes:
        """Return the layer's own farewell."""


class Line:
    """One end of a connection. ``until`` is a time of `time.monotonic`; what TLS showed is kept for the account."""

    def __init__(self, end: socket.socket, until: float) -> None:
        self._end, self._until = end, until
        self._left = BUDGET
        self._buffer = bytearray()
        self._layer: Layer | None = None
        self._ended = False
        self.stage: Stage = "protocol"
        self.tls: str | None = None
        self.expires: datetime | None = None
        self.named: tuple[Named, ...] = ()
        self.checks: tuple[Checked, ...] = ()

    @property
    def is_secure(self) -> bool:
        """Whether a layer is put in."""
        return self._layer is not None

    def put_in(self, layer: Layer, early: bytes) -> None:
        """Speak through a layer from here on; ``early`` is what came through it already."""
        self._layer = layer
        self._buffer += early

    def assert_silent(self) -> None:
        """Raise `ConversationError` when the other side said something before its turn (CVE-2011-0411 and others)."""
        if self._buffer:
            raise ConversationError("it spoke on in clear where TLS was to begin")

    # --- what protocols use -----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes. Raises `TimeoutError` at the deadline and `OSError` when the line is dead."""
        self.send_raw(self._layer.seal(data) if self._layer else data)

    def read(self, size: int) -> bytes:
        """Return exactly as many bytes. Raises `ConversationError` when the other side hangs up before that."""
        while len(self._buffer) < size:
            self._more()
        return self._take(size)

    def read_until(self, mark: bytes, limit: int) -> bytes:
        """Return the bytes before a mark, and skip it. Raises `ConversationError` when none comes within the limit."""
        searched = 0
        while (at := self._buffer.find(mark, searched, limit)) < 0:
            if len(self._buffer) >= limit:
                raise ConversationError(f"a line of more than {limit} bytes")
            searched = max(0, len(self._buffer) - len(mark) + 1)
            self._more()
        line = self._take(at)
        self._take(len(mark))
        return line

    def read_to_end(self, limit: int) -> bytes:
        """Return what comes until the other side hangs up. Raises `ConversationError` for more than the limit."""
        while not self._ended:
            if len(self._buffer) > limit:
                raise ConversationError(f"an answer of more than {limit} bytes")
            self._fill()
        return self._take(min(len(self._buffer), limit))

    def close(self) -> None:
        """Say farewell in the layer's own words; the socket stays its owner's."""
        if self._layer:
            try:
                self.send_raw(self._layer.close())
            except OSError:
                return  # whoever hung up first needs no farewell

    # --- what the layer uses ----------------------------------------------------------------------------------------

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        if data:
            self._wait()
            self._end.sendall(data)

    def receive_raw(self) -> bytes:
        """Return the next bytes of the wire; none when the other side has hung up."""
        self._wait()
        wire = self._end.recv(_CHUNK)
        self._left -= len(wire)
        if self._left < 0:
            raise ConversationError(f"it said more than {BUDGET} bytes")
        return wire

    def _wait(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._end.settimeout(left)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> None:
        if self._ended:
            raise ConversationError("it hung up")
        self._fill()

    def _fill(self) -> None:
        wire = self.receive_raw()
        if not wire:
            self._ended = True
        elif self._layer:
            self._buffer += self._layer.open(wire)
            self._ended = self._layer.ended
            self.send_raw(self._layer.answer())
        else:
            self._buffer += wire
