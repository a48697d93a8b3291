"""Times the reading of a capture of a million packets, beside tshark and scapy: ``python -m bench.captures``.

The capture is made here, into a temporary file: TLS connections with data in both directions, a name that is asked for
before each of them, and some IPv6. scapy is timed on its first packets only, and compared by the packet.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.figure import Figure
from tests.unit.captures import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedWriter

_CONNECTIONS = 21_000
_EXCHANGES = 22  # of data and its acknowledgement, in each connection
_DATA = 700  # bytes in a segment
_HEAD = 20_000  # packets that scapy reads
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


def make(file: BufferedWriter, connections: int) -> int:
    """Write a capture and return how many packets it has."""
    file.write(wire.pcap([]))
    count = 0
    for number in range(connections):
        for offset, packet in enumerate(_conversation(number)):
            whole = wire.frame("ethernet", packet)
            time = 1_790_000_000 + number // 100, number % 100 * 10_000 + offset * 100
            file.write(struct.pack("<IIII", *time, len(whole), len(whole)) + whole)
            count += 1
    return count


def _conversation(number: int) -> Iterator[bytes]:
    name = f"host{number}.bank.example"
    inside, outside = f"10.{number >> 14}.{number >> 7 & 127}.{number & 127}", f"198.18.{number >> 8}.{number & 255}"
    server = f"10.200.{number % 50}.1"
    if number % 20 == 0:
        inside, outside = f"fd00::{number:x}", f"2001:2::{number:x}"
    port, ours = 32768 + number % 28000, ("10.0.0.2", 32768 + number % 28000)
    yield wire.udp(ours, (server, 53), wire.query(name))
    yield wire.udp((server, 53), ours, wire.answer(name, "198.18.0.1"))
    client, peer = (inside, port), (outside, 443)
    for _, packet in wire.connect(client, peer, wire.client_hello(name, padding=200)):
        yield packet
    data, sequence = b"\x17\x03\x03" + struct.pack(">H", _DATA - 5) + bytes(_DATA - 5), 2000
    for _ in range(_EXCHANGES):
        yield wire.tcp(peer, client, wire.PUSH, data, sequence)
        yield wire.tcp(client, peer, wire.ACK, b"", 1500)
        sequence += _DATA


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
            short = make(file, _HEAD // (2 * _EXCHANGES + 7))
        size = path.stat().st_size >> 20
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
