"""Knows whose socket a question to the resolver came from: the kernel is asked while the asker waits for an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airgap_check.kernel import sock_diag
from airgap_check.world.meeting import Inquiry

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from airgap_check.kernel.sock_diag import End

_KEPT = 1 << 13  # questions that are not told again


class Askers:
    """Tells who asks for what; ``table`` is a channel of `sock_diag` in the askers' network, where there is one."""

    def __init__(self, table: socket.socket | None, tell: Callable[[Inquiry], None]) -> None:
        self._table, self._tell = table, tell
        self._told: dict[tuple[int, str], None] = {}

    def of(self, protocol: int, source: End, resolver: End) -> int:
        """Return the cookie of the socket that asks; 0 where it has gone, or nobody can tell."""
        if self._table is None:
            return 0
        try:
            return sock_diag.find(self._table, protocol, source, resolver)
        except OSError:
            return 0

    def note(self, cookie: int, lines: Iterable[str], at: int | None = None) -> None:
        """Tell of questions, each a line: *DNS A db.example*."""
        for line in lines:
            if (cookie, line) in self._told:
                continue
            if len(self._told) >= _KEPT:
                del self._told[next(iter(self._told))]
            self._told[cookie, line] = None
            _, kind, name = line.split(" ", 2)
            name = "" if name == "." else name
            self._tell(Inquiry(at=at or time.monotonic_ns(), type=kind, name=name, cookie=cookie))
