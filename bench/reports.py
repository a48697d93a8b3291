"""Times every report format on a report of 100,000 findings, each in a process of its own.

``python -m bench.reports NAME`` prints seconds and MiB as JSON. The memory is what the process took at most while it
rendered, above what it held with the report alone: the audit that found so much has that one in any case.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path

from airgap_check import reporters
from bench.figure import Figure
from tests.reports import of_size

_FINDINGS = 100_000
_MOST_SECONDS = 10
_MOST_MIB = 500


def measure() -> list[Figure]:
    """Return seconds and MiB of every format."""
    figures = []
    for name in reporters.FORMATS:
        said = subprocess.run([sys.executable, "-m", "bench.reports", name], check=True, stdout=subprocess.PIPE)
        took = json.loads(said.stdout)
        what, detail = f"{_FINDINGS:,} findings as {name}", f"{took['size'] / 1e6:.1f} MB"
        figures.append(Figure(what, took["seconds"], "s", _MOST_SECONDS, detail))
        figures.append(Figure(what, took["mib"], "MiB", _MOST_MIB, f"above {took['held']:.0f} MiB of the report"))
    return figures


def _memory(field: str) -> float:
    """Return what this process holds (VmRSS), or held at most (VmHWM), in MiB, proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _render(name: str) -> dict[str, float]:
    report = of_size(_FINDINGS)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
    held = _memory("VmRSS")
    began = time.perf_counter()
    size = len(reporters.render(name, report))
    return {"seconds": time.perf_counter() - began, "mib": _memory("VmHWM") - held, "held": held, "size": size}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_render(sys.argv[1])))
