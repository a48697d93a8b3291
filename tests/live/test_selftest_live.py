"""The self-test on this kernel: it fails in every way that it says, is seen, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import psutil
import pytest

from airgap_check.kernel import netns
from airgap_check.observers import selftest
from airgap_check.observers.counters import Counters
from airgap_check.observers.mode import MODES
from airgap_check.observers.observer import Epoch
from airgap_check.observers.selftest import blind_modes, run
from airgap_check.observers.witness import Watchers
from tests.live.lab import _new_cgroup, _remove_cgroup
from tests.live.lab_host import CHECKOUT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airgap_check.evidence.inspection import Trial
    from airgap_check.kernel.netns import Namespace

EPOCH = Epoch(datetime.now(UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
CANARY = CHECKOUT / "airgap_check" / "observers" / "canary.py"
ORDERS = {
    "parent": os.getpid(), "seconds": 20, "name": "a.invalid", "cgroup": None, "modes": [mode[:5] for mode in MODES],
}  # fmt: skip
# Run by a process of its own, which can be killed in the middle of it.
VICTIM = """
import sys, time
from airgap_check.observers import selftest, witness
selftest._Canary.go = lambda canary: (print(canary.pid, flush=True), time.sleep(60))
selftest.run(sys.argv[1], witness.Watchers(), 30)
"""
# Ctrl-C on a terminal is a signal for all that it has started: for us, who report then, and for our children.
INTERRUPTED = """
import os, signal, time
from airgap_check.observers import selftest
signal.signal(signal.SIGINT, lambda *_: None)
deadline = time.monotonic() + 20
with selftest._Canary(None, "a.invalid", 20) as canary:
    canary.prepare(deadline)
    os.killpg(0, signal.SIGINT)
    canary.go()
    print(next((fact for fact in canary.facts(deadline) if "done" in fact), "ended"))
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A cgroup that stands for the observed one; the test fails where something is left in it."""
    folder = _new_cgroup()
    yield folder
    left = [path.name for path in folder.iterdir() if path.is_dir()]
    _remove_cgroup(folder)
    assert left == []


class Canary:
    """The script itself, without the self-test around it."""

    def __init__(self, *flags: str, **orders: Any) -> None:
        script = (*flags, str(CANARY)) if flags else ("-m", "airgap_check.observers.canary")
        self.process = subprocess.Popen(
            [sys.executable, *script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
        )
        self.tell(json.dumps(ORDERS | orders))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        fact: dict[str, Any] = json.loads(self.process.stdout.readline())
        return fact

    def endings(self) -> dict[str, str]:
        """Let it make its attempts and return how they ended."""
        self.tell("go")
        found = {}
        while "done" not in (fact := self.hear()):
            found[fact["mode"]] = fact.get("ending") or fact["why"]
        return found


def counters(namespace: Namespace) -> Counters:
    return Counters([namespace], EPOCH)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def seen(trials: tuple[Trial, ...], observer: str) -> dict[str, str]:
    return {trial.mode: trial.seen for trial in trials if trial.observer == observer}


@pytest.mark.parametrize("flags", [(), ("-I", "-S")])
def test_every_attempt_ends_as_its_mode_says(flags: tuple[str, ...]) -> None:
    with Canary(*flags) as canary:
        ground = canary.hear()
        assert ground["reason"] == ""
        assert len(set(ground["namespaces"])) == 2
        assert canary.endings() == {mode.name: mode.ending for mode in MODES}
        canary.tell("end")
        assert canary.process.wait(PATIENCE) == 0


def test_every_attempt_ends_so_without_a_veth_too() -> None:
    # Only the kind of link differs: a kernel without it refuses as it does one that nobody knows.
    script = CANARY.read_text().replace('b"veth\\0"', 'b"none-such\\0"')
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        input=json.dumps(ORDERS) + "\ngo\n",
        capture_output=True, check=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    ground, *facts, _ = map(json.loads, done.stdout.splitlines())
    assert ground["reason"] == "the kernel made no veth pair: Operation not supported"
    assert {fact["mode"]: fact["ending"] for fact in facts} == {mode.name: mode.ending for mode in MODES}


def test_its_namespaces_lead_nowhere() -> None:
    with Canary() as canary:
        ground = canary.hear()
        near = f"/proc/{canary.process.pid}/ns/net"
        assert os.stat(near).st_ino == ground["namespaces"][0] != os.stat("/proc/self/ns/net").st_ino
        shown = subprocess.run(
            ["nsenter", f"--net={near}", "ip", "-json", "link"], check=True, capture_output=True, text=True
        )
        links = {link["ifname"]: link.get("link_type") for link in json.loads(shown.stdout)}
        assert set(links) == {"lo", "near"}
        routes = subprocess.run(
            ["nsenter", f"--net={near}", "ip", "-json", "route"], check=True, capture_output=True, text=True
        )
        assert "default" not in routes.stdout


def test_it_ends_by_itself_in_time() -> None:
    with Canary(seconds=0.5) as canary:
        canary.hear()
        assert canary.process.wait(PATIENCE) == 1


def test_it_does_nothing_for_a_parent_that_has_gone() -> None:
    with Canary(parent=1) as canary:
        assert canary.process.wait(PATIENCE) == 0
        assert canary.process.stdout
        assert canary.process.stdout.read() == ""


def test_it_says_so_where_it_may_not_make_namespaces() -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")
    done = subprocess.run(
        [*nobody, sys.executable, "-I", "-S", "-c", CANARY.read_text()],
        input=json.dumps(ORDERS),
        capture_output=True, check=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"failed": "Operation not permitted"}


def test_the_counters_of_this_kernel_are_proven(directory: Path) -> None:
    trials = run(str(directory), Watchers(counters=counters), PATIENCE)
    assert seen(trials, "counters") == {"no route": "yes", "IPv6, no route": "yes"}
    assert blind_modes(trials, "counters") == []


def test_the_canary_is_in_a_cgroup_below_the_observed_one(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[tuple[int, list[str]]] = []

    def look(canary: selftest._Canary) -> None:
        (inside,) = (path for path in directory.iterdir() if path.is_dir())
        assert inside.stat().st_ino == canary.cgroup
        where.append((canary.pid, (inside / "cgroup.procs").read_text().split()))
        go(canary)

    go = selftest._Canary.go
    monkeypatch.setattr(selftest._Canary, "go", look)
    run(str(directory), Watchers(counters=counters), PATIENCE)
    assert [[str(pid)] for pid, _ in where] == [pids for _, pids in where]


def test_nothing_is_left_after_a_hang(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = []

    def stop(canary: selftest._Canary) -> None:
        stopped.append(canary.pid)
        os.kill(canary.pid, signal.SIGSTOP)

    monkeypatch.setattr(selftest._Canary, "go", stop)
    trials = run(str(directory), Watchers(counters=counters), 1)
    assert set(seen(trials, "counters").values()) == {"no"}
    assert gone(stopped[0])


def test_nothing_is_left_after_kill_9_of_the_whole_tool(directory: Path) -> None:
    argv = [sys.executable, "-c", VICTIM, str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as tool:
        assert tool.stdout
        canary = int(tool.stdout.readline())
        namespace = os.stat(f"/proc/{canary}/ns/net").st_ino
        assert [path for path in directory.iterdir() if path.is_dir()]
        tool.kill()
    wait_for(lambda: gone(canary))
    wait_for(lambda: not [path for path in directory.iterdir() if path.is_dir()])
    assert namespace not in {found.inode for found in netns.discover()[0]}


def test_whoever_ends_a_watch_by_ctrl_c_does_not_end_the_proof_that_it_saw() -> None:
    argv = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=CHECKOUT, start_new_session=True, check=True)
    assert done.stdout == "{'done': True}\n"
