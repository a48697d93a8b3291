"""Ends an observation on SIGINT or SIGTERM with a report; a second signal does not wait for it.

SIGHUP asks for policy and rules to be read again, where somebody listens to that.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signals(reread: threading.Event | None = None) -> Iterator[threading.Event]:
    """Yield the event that the first signal sets; the second one is a KeyboardInterrupt. SIGHUP sets ``reread``.

    A handler runs between two steps of the main thread, which may hold the event's own lock then: to set it there
    would wait for ever. The queue, which may be put to from a handler, hands it to a thread that sets it.
    """
    stop, asked = threading.Event(), False
    met: SimpleQueue[threading.Event | None] = SimpleQueue()

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        met.put(stop)

    def pass_on() -> None:
        while (event := met.get()) is not None:
            event.set()

    passing = threading.Thread(target=pass_on, name="signals", daemon=True)
    passing.start()
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    if reread is not None:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda _number, _frame: met.put(reread))
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        # Not waited for: a second signal may have ended a wait between its lock and its use, for good.
        met.put(None)
