"""Measures inside a laboratory host, where the sockets are: ``python -m bench.worker SUITE ROUNDS`` prints JSON.

A suite is a set of competitors; they take turns, so that what disturbs one disturbs all. Times are in seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHECKER = (sys.executable, "-I", "-m", "airgap_check")


def _spawn(argv: tuple[str, ...], codes: Sequence[int] = (0,)) -> tuple[float, float]:
    """Run a program with its output thrown away; return its wall and its processor time."""
    nothing = os.open(os.devnull, os.O_RDWR)
    quiet = [(os.POSIX_SPAWN_DUP2, nothing, number) for number in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    os.close(nothing)
    if os.waitstatus_to_exitcode(status) not in codes:
        raise RuntimeError(f"{argv}: exit {os.waitstatus_to_exitcode(status)}")
    return wall, usage.ru_utime + usage.ru_stime


def _wall(*argv: str, codes: Sequence[int] = (0,)) -> Callable[[], float]:
    return lambda: _spawn(argv, codes)[0]


def _cpu(*argv: str, codes: Sequence[int] = (0,)) -> Callable[[], float]:
    return lambda: _spawn(argv, codes)[1]


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def _take() -> object:
    from airgap_check.kernel import inventory, netns

    return inventory.take(netns.discover(), None)


def _psutil() -> object:
    import psutil

    return psutil.net_connections("inet")


def _suite(name: str) -> dict[str, Callable[[], float]]:
    ss = _wall("ss", "-tuanp")
    if name == "inventory":
        return {
            "ours": _timed(_take), "ss": ss, "lsof": _wall("lsof", "-nP", "-i"), "psutil": _timed(_psutil)
        }  # fmt: skip
    if name == "audit":
        return {"ours": _wall(*_CHECKER, "audit", "--quiet", codes=(0, 1)), "ss": ss}
    return {
        "help": _wall(*_CHECKER, "--help"),
        "bare": _wall(sys.executable, "-I", "-c", "pass"),
        "idle": _cpu(*_CHECKER, "audit", "--quiet", codes=(0, 1)),
    }


def _main() -> None:
    suite = _suite(sys.argv[1])
    times: dict[str, list[float]] = {name: [] for name in suite}
    for work in suite.values():
        work()  # once unmeasured: caches, bytecode
    for _ in range(int(sys.argv[2])):
        for name, work in suite.items():
            times[name].append(work())
    sys.stdout.write(json.dumps(times))


if __name__ == "__main__":
    _main()
