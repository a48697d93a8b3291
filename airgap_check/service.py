"""Speaks to the service manager that started us: ready, alive, reloading, stopping (sd_notify(3)).

Datagrams to one local socket, which nobody outside this host hears. Where no manager waits for them nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from typing import IO, TYPE_CHECKING

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 500  # characters of a status; it is one line in ``systemctl status``
_MICROSECONDS = 1_000_000
_PATIENCE = 1.0  # seconds for a manager that is busy


class Manager:
    """The service manager, if there is one. ``beat`` is how many seconds apart it wants a sign of life, at most."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """Learn from our environment where it listens: a path, or ``@`` and a name that is in no file system."""
        place = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{place[1:]}" if place.startswith("@") else place if place.startswith("/") else ""
        self._beaten = -1.0
        self._missed: tuple[str, ...] = ()
        self.beat = _half(environment, pid) if self._address else None

    @property
    def listens(self) -> bool:
        """Tell whether anybody wants to know."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Say that everything is at work; after `reloading` that it is again."""
        self._insist("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Say that the configuration is being read again."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reading policy and rules")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._insist("STOPPING=1", "STATUS=judging what was seen")

    def alive(self) -> None:
        """Give a sign of life when one is due: twice as often as the manager insists on. Say what it has not heard."""
        now = time.monotonic()
        if self._missed:
            self._insist(*self._missed)
        due = self.beat is not None and (self._beaten < 0 or now - self._beaten >= self.beat)
        if due and self._tell("WATCHDOG=1"):
            self._beaten = now

    def _insist(self, *lines: str) -> None:
        """Say what the manager would kill us for if it never heard it: now, or with a later sign of life."""
        self._missed = () if self._tell(*lines) else lines

    def _tell(self, *lines: str) -> bool:
        """Send one datagram. A manager that has gone, or is busy, is no reason not to watch; tell whether it heard."""
        if not self._address:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
            way.settimeout(_PATIENCE)
            try:
                way.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return False
        return True


def from_environment() -> Manager:
    """Return the manager that our environment names."""
    return Manager(os.environ, os.getpid())


def _half(environment: Mapping[str, str], pid: int) -> float | None:
    """Return half of the watchdog's time in seconds (sd_watchdog_enabled(3)); None where it is not meant for us."""
    text, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not (text.isascii() and text.isdigit() and len(text) < 19) or not int(text) or whose != str(pid):
        return None
    return int(text) / _MICROSECONDS / 2


def _line(text: str) -> str:
    return printable(text).replace("\n", " ")[:_LONGEST]


def reads_priorities(environment: Mapping[str, str], stream: IO[str] | None) -> bool:
    """Tell whether a stream leads to the journal, which takes the priority of a line from its head (sd-daemon(3)).

    ``JOURNAL_STREAM`` names device and inode of what the manager connected; what was redirected since is another.
    """
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    if stream is None or not inode:
        return False
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed
        return False
    return (device, inode) == (str(there.st_dev), str(there.st_ino))
