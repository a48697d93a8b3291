"""What observing costs whoever is observed: the same attempts with and without the observer, by turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench import compiled
from bench.figure import Figure
from tests.live.lab import DATABASE, Lab, checker_environment
from tests.live.lab_host import CHECKOUT
from tests.live.site import policy, start_objectos
from tests.live.vigil import Vigil

_ROUNDS = 15
_COUNT = {"refused": 20_000, "accepted": 20_000, "udp": 200_000}
_AIM = {"refused": 1.05, "accepted": 1.05, "udp": 1.20}
_HERE, _PORT = "10.77.0.1", 9000
_WHAT = {"refused": "TCP connect, refused", "accepted": "TCP connect, accepted", "udp": "UDP sendto"}
_SETTLING = 3.0  # seconds until the snapshot is done and forgotten
_IDLE = 10.0  # seconds over which an idle watch is measured


def measure() -> list[Figure]:
    """Return the ratios for attempts that the kernel approves, and what an idle watch takes."""
    with tempfile.TemporaryDirectory() as folder:
        program = compiled.program("attempts", folder)
        if program is None:
            return []
        with Lab() as lab:
            lab.near.be_patient(600)
            lab.near.ip(f"address add {_HERE}/32 dev lo")
            kinds = [f"{kind}={count}" for kind, count in _COUNT.items()]
            argv = [sys.executable, "-m", "bench.overhead_worker", str(lab.cgroup), str(program), _HERE, str(_PORT)]
            took = json.loads(lab.near.check([*argv, str(_ROUNDS), *kinds], env=checker_environment()))
        figures = [_ratio(kind, took[kind]) for kind in _COUNT]
        python = installed(folder)
        return figures + [figure for traffic in (False, True) for figure in _idle(python, traffic=traffic)]


def installed(folder: str, extra: str = "") -> str:
    """Install the tool as a user would, and an extra: what the tests need beside it would count as its memory."""
    python = Path(folder, "venv", "bin", "python")
    subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, f"{CHECKOUT}[{extra}]" if extra else str(CHECKOUT)], check=True, stderr=subprocess.DEVNULL)
    return str(python)


def _ratio(kind: str, took: dict[str, list[float]]) -> Figure:
    """Compare round by round, so that what else the machine does cancels out."""
    ratios = [one / other for one, other in zip(took["with"], took["without"], strict=True)]
    detail = f"{median(took['with']):.0f} ns / {median(took['without']):.0f} ns"
    return Figure(f"observed / unobserved: {_WHAT[kind]}", median(ratios), "x", _AIM[kind], detail)


def _idle(python: str, *, traffic: bool) -> list[Figure]:
    """Measure a watch to which nothing happens."""
    with Lab() as lab:
        start_objectos(lab)
        with Vigil(lab, *([] if traffic else ["--no-traffic"]), policy=policy(), python=python) as vigil:
            process = lab.near.path(f"/proc/{vigil.pid}")
            if traffic:  # one packet, so that the dissector is loaded
                lab.near.plant("attempt", DATABASE, 5432, "udp")
            time.sleep(_SETTLING)
            before = _cpu_seconds(process)
            time.sleep(_IDLE)
            share = (_cpu_seconds(process) - before) / _IDLE * 100
            memory = int((process / "status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
            vigil.end()
    what = "with" if traffic else "without"
    return [
        Figure(f"idle watch {what} traffic, of a core", share, "%", 1),
        Figure(f"idle watch {what} traffic, peak memory", memory, "MiB", 150 if traffic else 60),
    ]


def _cpu_seconds(process: Path) -> float:
    """Return what a process has used so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
