"""Runs inside a laboratory host: the same attempts with and without the observer, by turns; JSON on standard output.

``python -m bench.overhead_worker CGROUP PROGRAM ADDRESS PORT ROUNDS KIND=COUNT ...``
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from airgap_check.evidence import EntryUse
from airgap_check.observers.attempts import Attempts
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch
from airgap_check.policy.file import load
from airgap_check.watching.sieving import sieve

_SPARE = 1000  # approved networks beside the one that is used


def _attempts(cgroup: Path, argv: list[str]) -> float:
    """Return the nanoseconds of one attempt, made by a process of the cgroup."""
    join = f"echo $$ > {cgroup}/cgroup.procs && exec " + " ".join(argv)
    return float(subprocess.run(["sh", "-c", join], check=True, capture_output=True, text=True).stdout)


def _main(top: str, program: str, address: str, port: str, rounds: str, *kinds: str) -> None:
    cgroup = Path(top, "bench")
    cgroup.mkdir(exist_ok=True)
    spare = [f"10.88.{number >> 8}.{number & 255}/32" for number in range(_SPARE)]
    entries = [
        {"name": "bench", "role": "other", "cidr": [f"{address}/32", *spare], "ports": [int(port)], "protocol": "any"}
    ]
    today = datetime.now(UTC)
    approved = sieve(load("policy", json.dumps({"version": 1, "allow": entries}).encode(), {}), today.date())
    epoch = Epoch(today, time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    took: dict[str, dict[str, list[float]]] = {}
    for kind, _, count in (text.partition("=") for text in kinds):
        argv = [program, kind, address, port, count]
        times = took[kind] = {"with": [], "without": []}
        _attempts(cgroup, argv)  # warm
        for number in range(int(rounds)):
            for how in ("with", "without") if number % 2 else ("without", "with"):
                observer = Attempts(top, approved, epoch, Identity(epoch)) if how == "with" else None
                times[how].append(_attempts(cgroup, argv))
                if observer:
                    seen = observer.finish()
                    observer.close()
                    if not any(isinstance(record, EntryUse) for record in seen.records):
                        sys.exit(f"{kind}: the kernel was to approve this, and did not")
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
