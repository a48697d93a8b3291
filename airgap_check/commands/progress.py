"""Progress on a terminal: the name of the stage, once a second has passed; nothing anywhere else."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 1.0  # seconds before anybody wonders
_READS = 1.0  # seconds in which a line should be taken
_AT_ONCE = 1000  # characters: what takes any takes PIPE_BUF bytes (pipe(7))
_CLEAR_LINE = "\r\x1b[K"


class _Reader:
    """Whoever reads standard error, who may have stopped to; ``missed`` is how many lines they were not there for."""

    def __init__(self) -> None:
        self.missed = 0

    def tell(self, text: str) -> None:
        """Write text, if it is taken within a second; else it is lost, which the next one says."""
        if self.missed:
            text = f"{self.missed} lines are missing here: nobody read them\n{text}"
        for begin in range(0, len(text), _AT_ONCE):
            if not self._takes_more():
                self.missed += 1
                return
            sys.stderr.write(text[begin : begin + _AT_ONCE])
            sys.stderr.flush()
        self.missed = 0

    def _takes_more(self) -> bool:
        poll = select.poll()
        try:
            poll.register(sys.stderr, select.POLLOUT)
        except (OSError, ValueError):  # it is no file
            return True
        return bool(poll.poll((0 if self.missed else _READS) * 1000))


_READER = _Reader()


def tell(line: str) -> None:
    """Print a line on standard error, above the progress, with nothing in it that a terminal would obey.

    Where nobody can be told any more, as on a full disk or by a pipe that nobody reads, the verdict matters all the
    same.
    """
    if sys.stderr is None:
        return
    clear = _CLEAR_LINE if _is_drawn_on() else ""
    with suppress(OSError):
        _READER.tell(f"{clear}{printable(line)}\n")


def _is_drawn_on() -> bool:
    """Tell whether standard error is a terminal that can clear a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def shown(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield the function that stages are told to; the line is drawn by a thread and gone when the work is done."""
    if quiet or not _is_drawn_on():
        yield lambda _: None
        return
    stage = ["starting"]
    done = threading.Event()
    started = time.monotonic()

    def draw() -> None:
        wait = _PATIENCE
        while not done.wait(wait):
            wait = 0.2
            _draw(f"{_CLEAR_LINE}{stage[0]} ... {time.monotonic() - started:.0f} s")

    painter = threading.Thread(target=draw, daemon=True)
    painter.start()
    try:
        yield lambda name: stage.__setitem__(0, name)
    finally:
        done.set()
        painter.join()
        if time.monotonic() - started >= _PATIENCE:
            _draw(_CLEAR_LINE)


def _draw(text: str) -> None:
    """Write to the terminal, which may have been closed by now: a report is not to fail of that."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
