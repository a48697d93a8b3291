"""The other side of a conversation, scripted: what it says, byte by byte or at once, and what it was told."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airgap_check.probes.conversation import Target, Told, converse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

PATIENCE = 60.0  # seconds that a conversation has; no good one takes a fraction of it


def talk(server: Callable[[socket.socket], object], target: Target, patience: float = PATIENCE) -> Told:
    """Have a conversation with a server that is a function of its end; it hangs up when the function returns."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, suppress(OSError):
            server(theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        told = converse(ours, target, time.monotonic() + patience)
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the other side was left waiting"
    return told


class Script:
    """Says its lines in turn, each once it has heard something; keeps what it heard, to the end."""

    def __init__(self, *lines: bytes, first: bool = False) -> None:
        self.lines, self.first, self.heard = lines, first, b""

    def __call__(self, end: socket.socket) -> None:
        for index, line in enumerate(self.lines):
            if index or not self.first:
                self.heard += end.recv(65536)
            end.sendall(line)
        while heard := end.recv(65536):
            self.heard += heard


def secured(context: ssl.SSLContext, then: Callable[[socket.socket], object]) -> Callable[[socket.socket], None]:
    """Serve through TLS."""

    def serve(end: socket.socket) -> None:
        with context.wrap_socket(end, server_side=True) as inner:
            then(inner)

    return serve


def until_end(end: socket.socket) -> None:
    """Say nothing until the other side hangs up."""
    while end.recv(65536):
        pass


def outcomes(told: Told) -> dict[str, str]:
    """Return the outcome of every aspect that was checked."""
    return {check.aspect: check.outcome for check in told.checks}


def detail(told: Told, aspect: str) -> str:
    """Return what was said of one aspect."""
    return next(check.detail for check in told.checks if check.aspect == aspect)
