"""Knows who holds the sockets that were made before we began, where only their packets are seen."""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

from airgap_check.observers.program import Clue
from airgap_check.observers.tally import Who

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.kernel.cgroup2 import Root
    from airgap_check.kernel.programs.held import Held, Walk

_SECONDS = 2.0  # between two walks
_ODD = frozenset({1, 33, 58, 132, 136})  # protocols whose sockets are seen by their packets


class Holders:
    """The sockets that the processes below ``root`` hold; ``before`` are those of the beginning. Empty without a walk.

    Raises OSError.
    """

    def __init__(self, root: Root, walk: Walk | None) -> None:
        self._root, self._rows = root, walk
        self.before = list(self._walk())
        self._known = _holders(self.before)
        self._next_walk = 0.0

    def of(self, cookie: int) -> Who | None:
        """Return who holds a socket that was made before we began; looked for again where it changed hands."""
        if cookie not in self._known and time.monotonic() >= self._next_walk:
            self._next_walk = time.monotonic() + _SECONDS
            self._known |= _holders(self._walk())
        return self._known.get(cookie)

    def _walk(self) -> Iterator[Held]:
        if self._rows is None:
            return
        below = None if self._root.is_whole else _pids_below(self._root.descriptor)
        for row in self._rows.rows():
            if below is None or row.pid in below:
                yield row


def _holders(rows: Iterable[Held]) -> dict[int, Who]:
    """Return who holds the sockets whose packets are seen, by cookie."""
    return {
        row.cookie: Who(row.pid, row.started, Clue())
        for row in rows
        if row.cookie and row.pid and (row.type == socket.SOCK_RAW or row.protocol in _ODD)
    }


def _pids_below(directory: int) -> set[int]:
    """Return the processes in a cgroup and all below it; ``directory`` is a descriptor."""
    pids: set[int] = set()
    for _, _, files, descriptor in os.fwalk(".", dir_fd=directory):
        if "cgroup.procs" in files:
            try:
                with open("cgroup.procs", "rb", opener=partial(os.open, dir_fd=descriptor)) as file:
                    pids.update(map(int, file.read().split()))
            except OSError:
                continue  # removed meanwhile, or a threaded cgroup, whose processes stand in the one above
    return pids
