"""Knows which processes of the sealed world are the command's, and which a driver's; ends the latter, holds the former.

What drivers start leads sessions of its own.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airgap_check.kernel import procfs

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_FIRST = 1  # the pid of whoever takes in orphans
_TICK, _PATIENCE = 0.05, 2.0  # seconds between two looks, and for a killed process to go
_ROUNDS = 20  # in which who was forked meanwhile is held as well


def of_command(drivers: Container[int]) -> Iterator[int]:
    """Iterate over the processes that are neither ours nor of the sessions of drivers."""
    for pid in procfs.pids():
        with suppress(ProcessLookupError):
            if pid not in {_FIRST, os.getpid()} and os.getsid(pid) not in drivers:
                yield pid


def dismiss(drivers: Container[int]) -> None:
    """End what drivers have left behind, before it could be taken for the command's."""
    theirs = [pid for pid in procfs.pids() if pid not in {_FIRST, os.getpid(), *of_command(drivers)}]
    for pid in theirs:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not set(theirs).isdisjoint(procfs.pids()):
        time.sleep(_TICK)


def hold(drivers: Container[int]) -> None:
    """Let the command do nothing more: what it still said would be beyond the end, and without end."""
    held: set[int] = set()
    for _ in range(_ROUNDS):
        new = set(of_command(drivers)) - held
        if not new:
            return
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        held |= new
