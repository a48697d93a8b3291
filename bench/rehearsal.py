"""What a rehearsal costs: the time until the command starts, and the memory of all its processes together.

``python -m bench.rehearsal`` prints the figures. The tool is installed as a user would install it, and runs where there
is no way out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from bench import overhead
from bench.figure import Figure

_ROUNDS = 9
_CONNECTIONS = 10_000
_START_AIM, _MEMORY_AIM = 1000, 200  # milliseconds, MiB
_PATIENCE = 600.0  # seconds
_SEALED = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_WHEN = ("date", "+began %s%N")
_TORTURE = Path(__file__).parents[1] / "tests" / "live" / "torture.py"
_LOOK = 0.1  # seconds between two looks at the memory


def measure() -> list[Figure]:
    """Return the start-up overhead over the bare command, and the peak of the memory under ten thousand connections."""
    with tempfile.TemporaryDirectory() as folder:
        tool = [overhead.installed(folder, "rehearse"), "-m", "airgap_check", "rehearse"]
        took, bare = [], []
        for _ in range(_ROUNDS):
            bare.append(_until_it_began([*_SEALED, *_WHEN]))
            took.append(_until_it_began([*_SEALED, *tool, "--", *_WHEN]))
        peak, processes = _peak(tool)
    detail = f"{median(took):.0f} ms / {median(bare):.0f} ms bare"
    what = f"rehearsal, {_CONNECTIONS:,} connections, peak memory"
    return [
        Figure("rehearsal, until the command starts", median(took) - median(bare), "ms", _START_AIM, detail),
        Figure(what, peak / 2**20, "MiB", _MEMORY_AIM, f"PSS of {processes} processes"),
    ]


def _until_it_began(argv: list[str]) -> float:
    """Return the milliseconds from our start of a program until its own, which it tells."""
    began = time.time_ns()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=_ENVIRON)
    told = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("began ")]
    if len(told) != 1:
        raise RuntimeError(f"the command did not run: {done.stderr[-2000:]}")
    return (int(told[0].split()[1]) - began) / 1e6


def _peak(tool: list[str]) -> tuple[int, int]:
    """Return the most memory, in bytes, that the tool's processes had at one time, and how many they were then."""
    command = [sys.executable, "-I", str(_TORTURE), "--names", "1000", "--connections", str(_CONNECTIONS)]
    argv = [*_SEALED, *tool, "--for", "5m", "--", *command]
    most = (0, 0)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_ENVIRON) as process,
    ):
        deadline = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            sizes = [_share(pid) for pid in _offspring(process.pid) if _is_ours(pid)]
            most = max(most, (sum(sizes), len(sizes)))
            time.sleep(_LOOK)
        process.kill()
        process.wait()
        said.seek(0)
        if b'"kind": "many"' not in said.read():
            raise RuntimeError("the torture program did not come to its end")
    return most


def _offspring(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_offspring(int(child))]
    return found


def _is_ours(pid: int) -> bool:
    """Tell whether a process is the tool's: each is a fork of it, and so has its command line."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:3] == [b"-m", b"airgap_check"]
    return False


def _share(pid: int) -> int:
    """Return the proportional set size of a process in bytes: what it shares counts in part (proc(5))."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


# The torture program wants a datagram to send; what is in it costs nothing.
_ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TORTURE_QUIC": "AAAA"}


if __name__ == "__main__":
    for figure in measure():
        sys.stdout.write(f"{figure.what}: {figure.value:.1f} {figure.unit} ({figure.detail})\n")
