"""``python -m bench``: every figure that the project promises, measured, beside its aim and the other tools.

Needs root. Everything runs in namespaces without a way out and ends with them; nothing runs longer than it must.
"""

from __future__ import annotations

import json
import os
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from bench import (
    artifact,
    capture_rate,
    captures,
    crowd,
    engine,
    history,
    images,
    overhead,
    probes,
    rehearsal,
    reports,
    sight,
)
from bench.figure import Figure
from tests.live.lab import Lab
from tests.live.lab_host import CHECKOUT
from tests.live.site import policy, start_objectos

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = {"inventory": 9, "audit": 7, "small": 15}
_INVENTORY = (1_000, 10_000, 50_000)
_AUDIT = (20_000, 50_000)
_PATIENCE = 600.0  # seconds a suite may take


def _measure(lab: Lab, suite: str, entries: tuple[dict[str, object], ...] = ()) -> dict[str, float]:
    """Run a suite inside the near host and return the median of each competitor, in milliseconds."""
    lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy(*entries)))
    environment = {"PYTHONPATH": str(CHECKOUT), "HOME": "/run/lab"}
    lab.near.be_patient(_PATIENCE)
    argv = [sys.executable, "-m", "bench.worker", suite, str(_ROUNDS[suite])]
    times = json.loads(lab.near.check(argv, env=environment))
    return {name: median(values) * 1000 for name, values in times.items()}


def _against(what: str, took: dict[str, float], aims: dict[str, float | None]) -> list[Figure]:
    return [
        Figure(f"{what} / {name}", took["ours"] / took[name], "x", aim, f"{took['ours']:.0f} ms / {took[name]:.0f} ms")
        for name, aim in aims.items()
    ]


def _inventory() -> list[Figure]:
    figures = []
    for count in _INVENTORY:
        with Lab() as lab:
            crowd.outward(lab, count)
            took = _measure(lab, "inventory")
        aims = {"ss": 0.6 if count >= 10_000 else None, "psutil": 0.4 if count >= 10_000 else None, "lsof": None}
        figures += _against(f"inventory, {count:,} sockets", took, aims)
    return figures


def _audit() -> list[Figure]:
    figures = []
    for count, aim in zip(_AUDIT, (1.5, 0.8), strict=True):
        with Lab() as lab:
            start_objectos(lab)
            crowd.inward(lab, count)
            took = _measure(lab, "audit")
        figures += _against(f"audit, {count:,} sockets over loopback", took, {"ss": aim})
    with Lab() as lab:
        start_objectos(lab)
        crowd.outward(lab, _AUDIT[0])
        took = _measure(lab, "audit", (crowd.ENTRY,))
    return figures + _against(f"audit, {_AUDIT[0]:,} sockets to listed hosts", took, {"ss": None})


def _small() -> list[Figure]:
    with Lab() as lab:
        start_objectos(lab)
        took = _measure(lab, "small")
    return [
        Figure("--help, wall", took["help"], "ms", 60, f"bare interpreter {took['bare']:.0f} ms"),
        Figure("idle audit, processor time", took["idle"], "ms", 300),
    ]


def _engine() -> list[Figure]:
    records, rules, seconds = engine.measure()
    return [Figure("engine, a record and rule", seconds / records / rules * 1e6, "us", 2, f"{records:,} x {rules}")]


def _print(figures: list[Figure]) -> None:
    for figure in figures:
        aim = "" if figure.aim is None else f"aim {'>=' if figure.least else '<='} {figure.aim:g}"
        met = "" if figure.aim is None else "ok" if figure.met else "MISSED"
        value = f"{figure.value:.2f} {figure.unit}"
        sys.stdout.write(f"{figure.what:48} {value:>10}  {aim:12} {met:6} {figure.detail}\n")
    sys.stdout.flush()


def _main() -> None:
    if os.geteuid() != 0:
        sys.exit("make bench needs root: it makes network namespaces")
    began = time.monotonic()
    parts: tuple[Callable[[], list[Figure]], ...] = (
        _small, _engine, sight.measure, overhead.measure, capture_rate.measure, captures.figures,
        artifact.figures, images.figures, probes.measure, reports.measure, rehearsal.measure, history.figures,
        _inventory, _audit,
    )  # fmt: skip
    for part in parts:
        _print(part())
    sys.stdout.write(f"medians, interleaved, on {os.cpu_count()} cores; {time.monotonic() - began:.0f} s in all\n")


if __name__ == "__main__":
    _main()
