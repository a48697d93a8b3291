from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from airgap_check.kernel import procfs
from airgap_check.observers.callers import Callers

WAIT = "import sys; print(flush=True); sys.stdin.readline()"
AGAIN = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"


def test_a_thread_is_named_by_its_process() -> None:
    found = []
    callers = Callers()
    thread = threading.Thread(target=lambda: found.append(callers.of(threading.get_native_id())))
    thread.start()
    thread.join()
    (caller,) = found
    assert caller.pid == os.getpid() != caller.tid
    assert caller.uid == os.geteuid()
    assert caller.started == (procfs.start_ticks(os.getpid()) or 0) * procfs.TICK
    assert caller.process == procfs.describe(os.getpid())


def test_threads_of_one_program_are_one_caller() -> None:
    callers = Callers()
    ours = callers.of(os.getpid())
    assert callers.of(os.getpid()) == ours
    numbers = []
    thread = threading.Thread(target=lambda: numbers.append(callers.of(threading.get_native_id()).number))
    thread.start()
    thread.join()
    assert numbers == [ours.number]


def test_a_process_that_becomes_another_program_is_another_caller() -> None:
    script = f"{WAIT}\n{AGAIN}"
    with subprocess.Popen(
        [sys.executable, "-c", script, WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        callers = Callers()
        before = callers.of(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        after = callers.of(process.pid)
        process.stdin.write(b"\n")
    assert before.pid == after.pid
    assert before.number != after.number
    assert before.process
    assert after.process
    assert before.process.command != after.process.command


def test_who_has_gone_is_said() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(OSError, match="No such"):
        Callers().of(process.pid)


def test_who_has_been_met_is_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.callers._KEPT", 1)
    callers = Callers()
    first = callers.of(os.getpid())
    with subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        callers.of(process.pid)
        assert callers.of(os.getpid()).number != first.number
        assert process.stdin
        process.stdin.write(b"\n")
