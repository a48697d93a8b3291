"""What share of attempts each observer sees: so many of each kind, from short-lived processes, past all at once.

``python -m bench.sight [COUNT]`` prints the table of the README. The attempts go over a wire to a network namespace of
their own, from a nested cgroup in another one.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from airgap_check.evidence import Connection
from airgap_check.kernel import netns, sock_diag
from airgap_check.kernel.sieve import NOTHING
from airgap_check.observers.attempts import Attempts
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch
from airgap_check.observers.sockdiag import SockdiagEvents
from airgap_check.observers.traffic import Traffic
from bench.figure import Figure
from tests.live import attempts_generator as generator
from tests.live.program_ground import SERVER, Ground, _running

if TYPE_CHECKING:
    from airgap_check.kernel.netns import Namespace
    from airgap_check.observers.observer import Observer

Row = tuple[bytes, int, int]  # remote address, ports

COUNT = 10_000
OBSERVERS = ("attempts", "sockdiag", "traffic", "a snapshot a second")
_TARGETS = (ip_network("198.18.0.0/15"), ip_network("2001:db8:1::/64"))
_WIRE = f"""
link set wire up
address add 192.0.2.1/24 dev wire
address add fd00::1/64 dev wire nodad
route del local {generator.HERE}/18 dev lo
route del local {generator.HERE6}/64 dev lo
address del {generator.HERE6 + 6}/128 dev lo
address del {generator.HERE6 + 7}/128 dev lo
route add {generator.HERE}/18 via 192.0.2.2
route add {generator.HERE6}/64 via fd00::2
"""
_FAR = f"""
link set lo up
link set wire up
address add 192.0.2.2/24 dev wire
address add fd00::2/64 dev wire nodad
route add local {generator.HERE}/18 dev lo
route add local {generator.HERE6}/64 dev lo
route add default via 192.0.2.1
"""


class _Polling:
    """Looks at the sockets of a network namespace once a second; what was there before counts for nothing."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace, self._stop = namespace, threading.Event()
        self._before = self._look()
        self._seen: set[Row] = set()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def _poll(self) -> None:
        while not self._stop.wait(1):
            self._seen |= self._look()

    def _look(self) -> set[Row]:
        protocols = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
        return {row for number in protocols for row in netns.inside(self._namespace, partial(_rows, number))}

    def stop(self) -> set[str]:
        """Return the addresses that were seen."""
        self._stop.set()
        self._thread.join()
        return {str(ip_address(remote)) for remote, _, _ in self._seen - self._before}


def _rows(protocol: int) -> list[Row]:
    with sock_diag.connect() as channel:
        return [(row.remote, row.local_port, row.remote_port) for row in sock_diag.read(channel, protocol)]


def _index(address: str) -> int | None:
    """Return which attempt went to an address."""
    if not address:
        return None
    parsed = ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return int(parsed) & 0x3FFF if any(parsed in target for target in _TARGETS) else None


def shares(count: int = COUNT) -> dict[str, dict[str, float]]:
    """Return the share that each observer saw, by kind of attempt."""
    with ExitStack() as stack:
        ground = stack.enter_context(Ground())
        far = stack.enter_context(_running(["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"]))
        ground.run(["ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", str(far)])
        ground.run(["ip", "-batch", "-"], stdin=_WIRE)
        there = ["nsenter", "--target", str(far), "--net"]
        subprocess.run([*there, "ip", "-batch", "-"], input=_FAR, text=True, check=True)
        subprocess.run([*there, "sysctl", "-qw", "net.core.somaxconn=5000"], check=True)
        stack.enter_context(_running([*there, sys.executable, "-c", SERVER]))
        inode = int(ground.run(["readlink", "/proc/self/ns/net"]).strip().removeprefix("net:[").removesuffix("]"))
        (namespace,) = (one for one in netns.discover()[0] if one.inode == inode)
        return {kind: _one_kind(ground, namespace, kind, count) for kind in generator.KINDS}


def _one_kind(ground: Ground, namespace: Namespace, kind: str, count: int) -> dict[str, float]:
    epoch = Epoch(datetime.now(UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    identity = Identity(epoch)
    observers: list[Observer] = [
        Attempts(str(ground.cgroup), NOTHING, epoch, identity),
        SockdiagEvents([namespace], epoch, identity),
        Traffic([namespace], epoch, identity),
    ]
    polling, done = _Polling(namespace), threading.Event()
    drain = threading.Thread(target=_drain, args=(observers, done))
    drain.start()
    made = ground.generate(kind, count)
    done.set()
    drain.join()
    wanted = {index for _, first, share in made["shares"] for index in range(first, first + share)}
    found = {"a snapshot a second": polling.stop()}
    for observer in observers:
        seen = (record for record in observer.finish().records if isinstance(record, Connection))
        found[observer.kind] = {record.remote.address or "" for record in seen}
        observer.close()
    identity.close()
    return {name: 100 * len(wanted & set(map(_index, found[name]))) / len(wanted) for name in OBSERVERS}


def _drain(observers: list[Observer], done: threading.Event) -> None:
    while not done.wait(0.05):
        for observer in observers:
            observer.drain()


def measure() -> list[Figure]:
    """Return, for each kind, the share that the best observer sees; what the others see stands beside it."""
    figures = []
    for kind, share in shares().items():
        others = ", ".join(f"{name} {share[name]:.0f} %" for name in OBSERVERS[1:])
        figures.append(Figure(f"attempts seen: {kind}", share["attempts"], "%", 100, others, least=True))
    return figures


if __name__ == "__main__":
    for name, row in (shares(int(sys.argv[1])) if sys.argv[1:] else shares()).items():
        sys.stdout.write(f"| {name} | " + " | ".join(f"{row[observer]:.4g} %" for observer in OBSERVERS) + " |\n")
