"""Times the reading of a capture of a million packets, beside tshark and scapy: ``python -m bench.captures``.

The capture is made here, into a temporary file (``tests/unit/captures/mix.py`` says what is in it), and counts only if
names and flows are those that tshark finds in it. scapy is timed on fewer packets, and compared by the packet.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from airgap_check.captures.reading import Reading
from bench.figure import Figure
from tests.live import tshark
from tests.unit.captures.mix import make

_CONNECTIONS = 21_000
_HEAD = 400  # connections of the capture that scapy reads
_ROUNDS = 3
_OURS = """
import sys
from airgap_check.captures.reading import Reading
print(len(Reading(lambda stage: None, None, columns=sys.argv[2] == "numpy").evidence([sys.argv[1]]).records))
"""
_SCAPY = """
import sys
from scapy.utils import PcapReader
import scapy.layers.all
flows, names = set(), set()
with PcapReader(sys.argv[1]) as packets:
    for packet in packets:
        ip = packet.payload
        flows.add((ip.src, ip.dst, getattr(ip.payload, "sport", 0), getattr(ip.payload, "dport", 0)))
        if packet.haslayer("DNSQR"):
            names.add(packet["DNSQR"].qname)
"""
_FIELDS = (
    "frame.time_epoch", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport",
    "udp.dstport", "tcp.flags", "dns.qry.name", "dns.a", "tls.handshake.extensions_server_name",
)  # fmt: skip


class Took(NamedTuple):
    """Seconds of wall and of processor, and the most memory in MiB."""

    wall: float
    processor: float
    memory: float


def measure(path: str, head: str) -> dict[str, list[Took]]:
    """Let the competitors take turns; scapy reads the short file."""
    python = sys.executable
    fields = [word for field in _FIELDS for word in ("-e", field)]
    suite = {
        "numpy": [python, "-c", _OURS, path, "numpy"],
        "tshark": ["tshark", "-n", "-r", path, "-T", "fields", *fields],
        "plain": [python, "-c", _OURS, path, "plain"],
        "scapy": [python, "-c", _SCAPY, head],
    }
    took: dict[str, list[Took]] = {name: [] for name in suite}
    for _ in range(_ROUNDS):
        for name, argv in suite.items():
            took[name].append(_run(argv))
    return took


def check(path: str) -> None:
    """Compare names and flows with tshark's; raises `AssertionError` with every difference."""
    evidence = Reading(lambda _: None, None, columns=True).evidence([path])
    found = tshark.ours(evidence).differences(tshark.theirs(path))
    if found or evidence.status != "complete":
        raise AssertionError("\n".join(["tshark reads something else:", *found, evidence.reason]))


def _run(argv: list[str]) -> Took:
    import time

    nothing = os.open(os.devnull, os.O_RDWR)
    quiet = [(os.POSIX_SPAWN_DUP2, nothing, number) for number in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    os.close(nothing)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{argv[0]}: exit {os.waitstatus_to_exitcode(status)}")
    return Took(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def figures() -> list[Figure]:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder:
        path, head = Path(folder, "capture"), Path(folder, "head")
        with path.open("wb") as file:
            count = make(file, _CONNECTIONS)
        with head.open("wb") as file:
            short = make(file, _HEAD)
        size = path.stat().st_size >> 20
        check(str(path))
        took = measure(str(path), str(head))
    wall = {name: median(item.wall for item in items) for name, items in took.items()}
    memory = {name: max(item.memory for item in items) for name, items in took.items()}
    packet = {"scapy": wall["scapy"] / short, "numpy": wall["numpy"] / count, "plain": wall["plain"] / count}
    what = f"capture of {count:,} packets, {size} MiB"
    return [
        Figure(f"{what}, numpy", wall["numpy"], "s", None, f"{memory['numpy']:.0f} MiB"),
        Figure(f"{what}, plain", wall["plain"], "s", None, f"{memory['plain']:.0f} MiB"),
        _times("tshark -T fields / numpy", wall["tshark"], wall["numpy"], 5),
        _times("tshark -T fields / plain", wall["tshark"], wall["plain"], None),
        _times("scapy PcapReader / numpy, a packet", packet["scapy"], packet["numpy"], 10),
        _times("scapy PcapReader / plain, a packet", packet["scapy"], packet["plain"], None),
    ]


def _times(what: str, theirs: float, ours: float, aim: float | None) -> Figure:
    return Figure(what, theirs / ours, "x", aim, f"{theirs:.3g} s / {ours:.3g} s", least=True)


if __name__ == "__main__":
    for figure in figures():
        sys.stdout.write(f"{figure}\n")
