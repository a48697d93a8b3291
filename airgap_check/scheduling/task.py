"""What is to run again and again: which program, with which arguments, how often, and what it has to write."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.evidence.fact import Fact
from airgap_check.history import folder
from airgap_check.input import written_by_others

if TYPE_CHECKING:
    from collections.abc import Sequence

STATE = folder.DEFAULT
_UNITS = (("h", 3600), ("m", 60), ("s", 1))


class Task(Fact, frozen=True, kw_only=True):
    """A run that repeats. ``every`` is in seconds; ``watches`` tells a service that stays from a run that ends.

    ``argv`` begins with an absolute path; ``writes`` are the folders of its reports and archives, ``state`` is that of
    its memory.
    ``alerts`` is set when it tells others what has changed.
    """

    argv: tuple[str, ...]
    every: int
    watches: bool = False
    writes: tuple[str, ...] = ()
    state: str = STATE
    alerts: bool = False

    @property
    def distance(self) -> str:
        """Write how often, as our options and systemd read it: ``5m``."""
        return spelled(self.every)


def spelled(seconds: int) -> str:
    """Write a time in the greatest unit that does not break it."""
    return next(f"{seconds // length}{unit}" for unit, length in _UNITS if not seconds % length)


def program() -> tuple[str, ...]:
    """Return how this very tool is started: by the interpreter that runs it, isolated from whoever calls."""
    return (os.path.abspath(sys.executable), "-I", "-m", "airgap_check")


def check_program(argv: Sequence[str]) -> None:
    """Refuse a program that others than root could replace: root is going to run it. Raises `UsageError`.

    It is an interpreter, its library, our own modules, and those that we import.
    """
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for path in dict.fromkeys((argv[0], ours, *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))):
        try:
            reason = written_by_others(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        if reason:
            raise UsageError(f"{path} is not root's alone: {reason}; install airgap-check where only root can write")


def check_words(words: Sequence[str]) -> None:
    """Refuse what neither a unit nor a crontab can hold. Raises `UsageError`."""
    for word in words:
        if not word.isprintable():
            raise UsageError(f"{word!r}: characters that are not printable cannot be scheduled")
