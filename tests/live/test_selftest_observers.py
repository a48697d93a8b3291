"""The self-test of the real observers: what they promise is seen, and an observer that is made blind is found out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgap_check.kernel import netns
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.sieve import NOTHING
from airgap_check.observers.counters import Counters
from airgap_check.observers.identity import Identity
from airgap_check.observers.mode import MODES
from airgap_check.observers.observer import Epoch
from airgap_check.observers.selftest import blind_modes, run
from airgap_check.observers.sockdiag import SockdiagEvents
from airgap_check.observers.witness import Watchers
from tests.live.lab import _new_cgroup, _remove_cgroup
from tests.live.lab_host import CHECKOUT, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airgap_check.observers.attempts import Attempts
    from airgap_check.observers.traffic import Traffic

PLAY = "import sys; from tests.live import test_selftest_observers as here; here.play(sys.argv[1])"


def scene(name: str) -> dict[str, Any]:
    """Play a scene of below in namespaces of its own."""
    argv = ["unshare", "-npf", "--kill-child", "--mount-proc", sys.executable, "-W", "error", "-c", PLAY, name]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def play(name: str) -> None:
    folder = _new_cgroup()
    try:
        sys.stdout.write(json.dumps(SCENES[name](folder)))
    finally:
        left = [path.name for path in folder.iterdir() if path.is_dir()]
        _remove_cgroup(folder)
    assert left == []


def _epoch() -> Epoch:
    return Epoch(datetime.now(UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


@contextmanager
def _traffic() -> Iterator[Traffic]:
    from airgap_check.observers.traffic import Traffic

    inode = netns.own_inode()
    identity = Identity(_epoch())
    with ExitStack() as stack:
        stack.callback(identity.close)
        traffic = Traffic([Namespace(inode, "process", (1,))], _epoch(), identity)
        stack.callback(traffic.close)
        yield traffic


@contextmanager
def _attempts(folder: Path) -> Iterator[Attempts]:
    from airgap_check.observers.attempts import Attempts

    with ExitStack() as stack:
        identity = Identity(_epoch())
        stack.callback(identity.close)
        attempts = Attempts(str(folder), NOTHING, _epoch(), identity)
        stack.callback(attempts.close)
        yield attempts


def _result(watchers: Watchers, folder: Path | None, observer: str, seconds: float = PATIENCE) -> dict[str, Any]:
    trials = run(None if folder is None else str(folder), watchers, seconds)
    return {
        "seen": {trial.mode: trial.seen for trial in trials if trial.observer == observer},
        "process": sorted({trial.process for trial in trials if trial.observer == observer}),
        "blind": blind_modes(trials, observer),
        "namespaces": len(netns.discover()[0]),
    }


def packets(folder: Path) -> dict[str, Any]:
    with _traffic() as traffic:
        rings = traffic.filenos()
        result = _result(Watchers(traffic=traffic), folder, "traffic")
        more = len(traffic.filenos()) - len(rings)
        evidence = traffic.finish()
        return result | {"records": len(evidence.records), "status": evidence.status, "rings left": more}


def no_packets_of_ipv6(folder: Path) -> dict[str, Any]:
    with _traffic() as traffic:
        aside = traffic.aside
        traffic.aside = lambda: [fact for fact in aside() if "2001:db8::10" not in repr(fact)]  # type: ignore[method-assign]
        return _result(Watchers(traffic=traffic), folder, "traffic", 3)


def counted(folder: Path) -> dict[str, Any]:
    return _result(Watchers(counters=lambda namespace: Counters([namespace], _epoch())), folder, "counters")


def attempts(folder: Path) -> dict[str, Any]:
    with _attempts(folder) as watcher:
        result = _result(Watchers(watcher), folder, "attempts")
        evidence = watcher.finish()
        return result | {"records": len(evidence.records), "lost": evidence.lost, "hooks": sorted(watcher.hooks)}


def attempts_below_a_descriptor(folder: Path) -> dict[str, Any]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    with _attempts(folder) as watcher:
        result = _result(Watchers(watcher), Path(f"/proc/self/fd/{descriptor}"), "attempts")
    os.close(descriptor)
    return result


def without_a_hook(folder: Path) -> dict[str, Any]:
    """Let the kernel run no program for datagrams over IPv4 and be silent about it: only the self-test can tell."""
    from airgap_check.kernel.programs import connect, event

    hooks = connect.INITIATIONS
    connect.INITIATIONS = {name: hook for name, hook in hooks.items() if hook != event.SENDMSG4}
    with _attempts(folder) as watcher:
        return _result(Watchers(watcher), folder, "attempts", 3)


def all_together(folder: Path) -> dict[str, Any]:
    identity = Identity(_epoch())
    with _attempts(folder) as watcher, _traffic() as traffic:
        watchers = Watchers(
            watcher,
            traffic,
            lambda namespace: Counters([namespace], _epoch()),
            lambda namespace: SockdiagEvents([namespace], _epoch(), identity),
        )
        started = time.monotonic()
        trials = run(str(folder), watchers, PATIENCE)
        seconds = time.monotonic() - started
    identity.close()
    return {
        "blind": {trial.observer: blind_modes(trials, trial.observer) for trial in trials},
        "trials": len(trials),
        "seconds": seconds,
    }


SCENES: dict[str, Callable[[Path], dict[str, Any]]] = {
    function.__name__: function
    for function in (
        packets,
        no_packets_of_ipv6,
        counted,
        attempts,
        attempts_below_a_descriptor,
        without_a_hook,
        all_together,
    )
}


def test_every_packet_that_traffic_promises_is_seen_and_kept_out_of_the_evidence() -> None:
    shown = scene("packets")
    assert set(shown["seen"].values()) == {"yes"}, shown
    assert set(shown["seen"]) == {mode.name for mode in MODES if mode.on_wire}
    assert shown["process"] == ["not promised"]
    assert (shown["blind"], shown["records"], shown["status"]) == ([], 0, "complete")
    assert (shown["namespaces"], shown["rings left"]) == (1, 0)


def test_traffic_that_misses_a_packet_is_found_out() -> None:
    assert scene("no_packets_of_ipv6")["blind"] == ["IPv6: not seen"]


def test_counters_are_seen_to_move() -> None:
    assert scene("counted")["blind"] == []


def test_every_attempt_is_seen_with_its_process_and_kept_out_of_the_evidence() -> None:
    shown = scene("attempts")
    assert set(shown["seen"].values()) == {"yes"}, shown
    assert set(shown["seen"]) == {mode.name for mode in MODES if mode.hook in shown["hooks"]}
    assert (sorted(shown["process"]), shown["blind"]) == (["not promised", "right"], [])
    assert (shown["records"], shown["lost"], shown["namespaces"]) == (0, 0, 1)


def test_a_hierarchy_that_is_mounted_nowhere_is_good_enough() -> None:
    assert scene("attempts_below_a_descriptor")["blind"] == []


def test_a_hook_that_is_missing_shows_as_exactly_its_modes() -> None:
    assert scene("without_a_hook")["blind"] == ["UDP unconnected: not seen", "DNS question: not seen"]


def test_all_observers_are_proven_at_once() -> None:
    shown = scene("all_together")
    assert shown["blind"] == {"attempts": [], "traffic": [], "counters": [], "sockdiag": []}
