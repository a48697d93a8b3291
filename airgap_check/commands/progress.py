"""Progress on a terminal: the name of the stage, once a second has passed; nothing anywhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 1.0  # seconds before anybody wonders
_CLEAR_LINE = "\r\x1b[K"


def tell(line: str) -> None:
    """Print a line on standard error, above the progress, with nothing in it that a terminal would obey.

    Where nobody can be told any more, as on a full disk, the verdict matters all the same.
    """
    if sys.stderr is None:
        return
    clear = _CLEAR_LINE if _is_drawn_on() else ""
    with suppress(OSError):
        sys.stderr.write(f"{clear}{printable(line)}\n")
        sys.stderr.flush()


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
            sys.stderr.write(f"{_CLEAR_LINE}{stage[0]} ... {time.monotonic() - started:.0f} s")
            sys.stderr.flush()

    painter = threading.Thread(target=draw, daemon=True)
    painter.start()
    try:
        yield lambda name: stage.__setitem__(0, name)
    finally:
        done.set()
        painter.join()
        if time.monotonic() - started >= _PATIENCE:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
