"""The first signal asks for a report; who sends a second one does not want to wait for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from airgap_check.commands import stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping.on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_hangup_asks_for_another_look_at_the_policy_and_stops_nothing() -> None:
    before = signal.getsignal(signal.SIGHUP)
    reread = threading.Event()
    with stopping.on_signals(reread) as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert reread.wait(10)
        assert not stop.is_set()
    assert signal.getsignal(signal.SIGHUP) is before


# The main thread holds this lock for a moment at the beginning and at the end of each wait.
_IN_THE_MIDDLE = """
import signal
from airgap_check.commands import stopping
with stopping.on_signals() as stop:
    with stop._cond:
        signal.raise_signal(signal.SIGTERM)
    assert stop.wait(30)
"""


def test_a_signal_in_the_middle_of_a_wait_does_not_wait_for_itself() -> None:
    subprocess.run([sys.executable, "-c", _IN_THE_MIDDLE], check=True, timeout=60)


# The second signal ends a wait while it holds the event's lock, which nobody gives back any more.
_INTERRUPTED = """
import signal
from airgap_check.commands import stopping
try:
    with stopping.on_signals() as stop:
        stop._cond.acquire()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_second_signal_that_ends_a_wait_at_its_worst_moment_still_ends_the_run() -> None:
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == "interrupted\n"
