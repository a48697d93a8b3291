"""Ends an observation on SIGINT or SIGTERM with a report; a second signal does not wait for it.

SIGHUP asks for policy and rules to be read again, where somebody listens to that.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signals(reread: threading.Event | None = None) -> Iterator[threading.Event]:
    """Yield the event that the first signal sets; the second one is a KeyboardInterrupt. SIGHUP sets ``reread``."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    if reread is not None:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda _number, _frame: reread.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
