"""The observer of calls, without a network: a datagram socket that connects sends nothing."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import seccomp
from airgap_check.kernel.seccomp import UnsupportedError
from airgap_check.observers import calls as calls_module
from airgap_check.observers import supervisor
from airgap_check.observers.calls import Calls
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch, UnobservableError
from airgap_check.observers.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel.seccomp import Listener, Notice

REACH = """
import socket, sys
for index in range(int(sys.argv[1])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        try:
            made.connect((f"198.51.100.{index}", 53))
        except OSError:
            pass
"""
EPOCH = Epoch(datetime.now(UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


@contextmanager
def observed(times: int, *, limit: int = 100) -> Iterator[Calls]:
    identity = Identity(EPOCH)
    calls = Calls(EPOCH, identity, limit=limit)
    try:
        argv = [sys.executable, "-c", REACH, str(times)]
        with calls.launch(argv, keep=None, ambient=False) as process:
            assert process.args == argv
            assert process.wait(30) == 0
        yield calls
    finally:
        calls.close()
        identity.close()


def test_what_a_program_reaches_for_is_new_once_and_in_the_log() -> None:
    with observed(3) as calls:
        calls.drain()
        assert len(calls.fresh()) == 3
        assert calls.fresh() == []
        assert [call.address for call in calls.log()] == [f"198.51.100.{index}" for index in range(3)]
        assert calls.log() == sorted(calls.log(), key=lambda call: call.at)
        evidence = calls.finish()
        assert (evidence.kind, evidence.status, len(evidence.records)) == ("attempts", "complete", 3)
        assert calls.finish() is evidence


def test_a_log_that_is_full_says_how_much_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "_LOGGED", 2)
    with observed(5) as calls:
        evidence = calls.finish()
        assert (len(calls.log()), calls.unlogged, evidence.counts["unlogged"]) == (2, 3, 3)
        assert evidence.status == "complete"  # the records are whole


def test_more_different_attempts_than_there_is_room_for_are_lost() -> None:
    with observed(5, limit=3) as calls:
        evidence = calls.finish()
    assert (evidence.status, evidence.lost, len(evidence.records)) == ("partial", 2, 3)
    assert evidence.reason == "2 attempts were lost: more than 3 different ones"


def test_attempts_that_nobody_takes_in_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_WAITING", 2)
    with observed(5) as calls:
        evidence = calls.finish()
    assert (evidence.status, evidence.lost) == ("partial", 3)
    assert "came faster" in evidence.reason


def test_a_kernel_that_does_not_tell_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> seccomp.Kernel:
        raise UnsupportedError(38, "Linux 4.18 is older than 5.5")

    monkeypatch.setattr(seccomp, "kernel", refuse)
    identity = Identity(EPOCH)
    with pytest.raises(UnobservableError, match=r"attempts: Linux 4\.18 is older than 5\.5"):
        Calls(EPOCH, identity)
    identity.close()


def test_nothing_is_started_after_the_end() -> None:
    with observed(0) as calls:
        calls.finish()
        with pytest.raises(UnobservableError, match="has ended"):
            calls.launch(["true"], keep=None, ambient=False)


def test_nothing_is_left_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with observed(1) as calls:
        calls.finish()
    assert sorted(os.listdir("/proc/self/fd")) == before


class Broken:
    """A listener that fails as no kernel does."""

    def __init__(self) -> None:
        self.closed = False
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.reader

    def receive(self) -> Notice:
        raise ValueError("a fault of ours")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self.reader)
            os.close(self.writer)


def served(listener: object) -> Listener:
    return listener  # type: ignore[return-value]


def test_after_a_fault_of_ours_nobody_waits_and_the_run_fails() -> None:
    watching, broken = Supervisor(), Broken()
    watching.serve(served(broken))
    os.write(broken.writer, b"x")
    deadline = time.monotonic() + 30
    while not broken.closed:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    with pytest.raises(ValueError, match="a fault of ours"):
        list(watching.take())
    late = Broken()
    with pytest.raises(ValueError, match="a fault of ours"):
        watching.serve(served(late))
    assert late.closed
    watching.stop()
