"""What the traffic observer takes, and loses, while many packets leave of which few are wanted.

``python -m bench.capture_rate PROGRAM`` runs inside a network namespace of its own, which it makes ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime

from airgap_check.evidence import Connection
from airgap_check.kernel import netns
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch
from airgap_check.observers.traffic import Traffic
from bench import compiled
from bench.figure import Figure

_RATE, _SECONDS, _ROUNDS = 200_000, 6, 3
_GROUND = """
link set lo up
link add out type veth peer name void
link set out up
link set void up
"""


def measure() -> list[Figure]:
    """Return how many packets were lost, and the share of a core that the observer took."""
    with tempfile.TemporaryDirectory() as folder:
        program = compiled.program("packets", folder)
        if program is None:
            return []
        argv = ["unshare", "--net", sys.executable, "-m", "bench.capture_rate", str(program)]
        took = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    rate = f"{took['rate']:,.0f} packets/s, {took['wanted']:,} wanted"
    return [
        Figure("capture at 200,000 packets/s, lost", took["lost"], "", 0, rate),
        Figure("capture at 200,000 packets/s, of a core", took["share"], "%", 5, rate),
    ]


def _main(program: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=_GROUND, text=True, check=True)
    epoch = Epoch(datetime.now(UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    identity = Identity(epoch)
    own = [one for one in netns.discover()[0] if one.inode == netns.own_inode()]
    traffic = Traffic(own, epoch, identity)
    _round(traffic, program, 0.2)  # imports and first looks
    sent = wanted = 0
    busy = 0.0
    for _ in range(_ROUNDS):
        packets, syns, used = _round(traffic, program, _SECONDS)
        sent, wanted, busy = sent + packets, wanted + syns, busy + used
    evidence = traffic.finish()
    traffic.close()
    identity.close()
    seen = sum(record.count for record in evidence.records if isinstance(record, Connection))
    json.dump(
        {
            "rate": sent / _ROUNDS / _SECONDS,
            "wanted": wanted,
            "lost": max(evidence.lost, 0),
            "seen": seen,
            "share": 100 * busy / _ROUNDS / _SECONDS,
        },
        sys.stdout,
    )


def _round(traffic: Traffic, program: str, seconds: float) -> tuple[int, int, float]:
    """Let packets leave for a while; return how many, how many of them were wanted, and our processor time."""
    done = threading.Event()

    def drain() -> None:
        while not done.wait(0.05):
            traffic.drain()

    thread = threading.Thread(target=drain)
    began = time.process_time()
    thread.start()
    said = subprocess.run([program, "out", str(_RATE), str(seconds)], check=True, capture_output=True, text=True).stdout
    done.set()
    thread.join()
    sent, wanted = map(int, said.split())
    return sent, wanted, time.process_time() - began


if __name__ == "__main__":
    _main(sys.argv[1])
