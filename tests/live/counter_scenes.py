"""Scenes that live tests of counters and of destroy events look at, each played in namespaces of its own.

Run as ``python -m tests.live.counter_scenes NAME`` inside ``unshare``; a scene prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airgap_check.evidence import Connection, Counter
from airgap_check.kernel import legacy_tables, netns
from airgap_check.observers.counters import Counters
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch
from airgap_check.observers.sockdiag import BUFFER, SockdiagEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.evidence import Evidence

EPOCH = Epoch(datetime(2026, 1, 1, tzinfo=UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
PUBLIC, PUBLIC6 = "93.184.216.34", "2606:4700::1111"
SERVER, SERVER6, SILENT = "10.0.0.3", "fd99::3", "10.1.0.9"
RULES = """
table inet f {
  counter refused { }
  map vm { type inet_service : verdict; elements = { 81 : drop, 82 : jump mapped }; }
  chain mapped { counter drop comment "by a map"; }
  chain jumped {
    tcp dport 9 counter reject with tcp reset
    counter tcp dport 10 drop
    tcp dport 11 counter name refused drop
    tcp dport 12 drop
    tcp dport 13 counter accept
  }
  chain incoming { type filter hook input priority 0; tcp dport 13 counter drop; }
  chain out { type filter hook output priority 0; policy drop; jump jumped; tcp dport vmap @vm; oif lo accept; }
}
table netdev n { chain e { type filter hook egress device lo priority 0; tcp dport 17 counter drop; }; }
"""


_CALLER = """
import socket, sys
print(flush=True)
sys.stdin.readline()
with socket.socket() as ours:
    ours.connect_ex(('93.184.216.34', 80))
print(flush=True)
sys.stdin.readline()
"""


def sh(command: str, text: str = "") -> None:
    subprocess.run(command, shell=True, check=True, input=text, text=True, stdout=subprocess.DEVNULL)


def dial(
    address: str,
    port: int = 80,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    send: bool = False,
    wait: bool = False,
) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as ours, suppress(OSError):
        ours.setblocking(wait)
        ours.connect((address, port))
        if send:
            ours.send(b"x")


def post(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as ours, suppress(OSError):
        ours.sendto(b"x", (address, 53))


def here() -> list[netns.Namespace]:
    return [namespace for namespace in netns.discover()[0] if namespace.inode == netns.own_inode()]


def told(evidence: Evidence) -> dict[str, Any]:
    return {
        "status": evidence.status,
        "reason": evidence.reason,
        "blind": evidence.blind,
        "counts": evidence.counts,
        "lost": evidence.lost,
        "grown": {record.name: record.increase for record in evidence.of(Counter)},
    }


def between(work: Callable[[], object]) -> dict[str, Any]:
    observer = Counters(here(), EPOCH)
    work()
    return told(observer.finish())


def _thrice(work: Callable[[], object]) -> None:
    for _ in range(3):
        work()


def without_a_route() -> dict[str, Any]:
    sh("ip link set lo up")

    def attempts(four: str, six: str) -> dict[str, int]:
        kinds: dict[str, Callable[[], object]] = {
            "tcp": lambda: dial(four),
            "tcp6": lambda: dial(six),
            "mapped": lambda: dial(f"::ffff:{four}"),
            "udp": lambda: post(four),
            "udp6": lambda: post(six),
            "udp connected": lambda: dial(four, kind=socket.SOCK_DGRAM),
        }
        return {name: between(partial(_thrice, work))["grown"] for name, work in kinds.items()}

    scene: dict[str, Any] = {"none": attempts(PUBLIC, PUBLIC6)}
    for kind in ("prohibit", "unreachable", "blackhole"):
        sh(f"ip route add {kind} {PUBLIC}; ip -6 route add {kind} {PUBLIC6}")
        scene[kind] = attempts(PUBLIC, PUBLIC6)
        sh(f"ip route del {kind} {PUBLIC}; ip -6 route del {kind} {PUBLIC6}")
    scene["idle"] = between(lambda: time.sleep(0.5))
    return scene


def _everything_local() -> None:
    sh("ip link set lo up; ip address add 10.0.0.2/24 dev lo; ip address add fd99::2/64 dev lo nodad")
    sh("ip route add default dev lo; ip -6 route add default dev lo")


def _both(ports: tuple[int, ...]) -> None:
    for port in ports:
        dial("10.0.0.2", port)
        dial("fd99::2", port)


def nftables() -> dict[str, Any]:
    _everything_local()
    sh("nft -f -", RULES)
    return between(lambda: _both((9, 10, 11, 12, 13, 17, 81, 82)))


def iptables_on_nftables() -> dict[str, Any]:
    _everything_local()
    sh("iptables-nft -A OUTPUT -p tcp --dport 98 -m comment --comment x -j REJECT")
    sh("iptables-nft -N sub; iptables-nft -A OUTPUT -j sub; iptables-nft -A sub -p tcp --dport 97 -j DROP")
    sh("ip6tables-nft -A OUTPUT -p tcp --dport 97 -j REJECT; iptables-nft -A INPUT -p tcp --dport 96 -j DROP")
    sh("iptables-nft -P FORWARD DROP")
    return between(lambda: _both((98, 97, 96)))


def iptables_legacy() -> dict[str, Any]:
    _everything_local()
    sh("iptables-legacy -A OUTPUT -p tcp --dport 95 -j ACCEPT")
    sh("iptables-legacy -A OUTPUT -p tcp --dport 96 -j REJECT; iptables-legacy -P FORWARD DROP")
    sh("iptables-legacy -N sub; iptables-legacy -A OUTPUT -g sub; iptables-legacy -A sub -p tcp --dport 94 -j DROP")
    sh("ip6tables-legacy -A OUTPUT -p tcp --dport 94 -j DROP")
    scene = between(lambda: _both((96, 95, 94)))
    legacy_tables._PATH = "/nowhere"
    return {"with": scene, "without": between(lambda: _both((96,)))}


def no_legacy_tables_are_made() -> dict[str, Any]:
    between(lambda: None)
    return {family: legacy_tables.in_use(family) for family in legacy_tables.FAMILIES}


def a_ruleset_replaced() -> dict[str, Any]:
    _everything_local()
    rules = "table ip t { chain out { type filter hook output priority 0; tcp dport 9 counter drop; }; }"
    sh("nft -f -", rules)

    def replace() -> None:
        dial("10.0.0.2", 9)
        sh("nft -f -", f"flush ruleset\n{rules}")
        dial("10.0.0.2", 9)

    def add() -> None:
        sh("nft add rule ip t out tcp dport 10 counter drop")
        _both((9, 10))

    def replace_by_the_same_handle() -> None:
        sh("nft -f -", f"delete table ip t\n{rules}")
        _both((9,))

    return {"replaced": between(replace), "added": between(add), "again": between(replace_by_the_same_handle)}


def a_namespace_that_vanishes() -> dict[str, Any]:
    child = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    observer = Counters(netns.discover()[0], EPOCH)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    return told(observer.finish())


def somebody_elses_namespace() -> dict[str, Any]:
    child = subprocess.Popen(
        ["unshare", "-n", sys.executable, "-c", _CALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    observer = Counters(netns.discover()[0], EPOCH)
    child.stdin.write(b"\n")
    child.stdin.flush()
    child.stdout.readline()
    evidence = observer.finish()
    inode = os.stat(f"/proc/{child.pid}/ns/net").st_ino
    child.communicate(b"\n")
    return {"records": [[record.netns == inode, record.name, record.increase] for record in evidence.of(Counter)]}


def _network() -> None:
    sh("ip link set lo up; ip address add 10.0.0.2/32 dev lo; ip address add 10.0.0.3/32 dev lo")
    sh("ip address add fd99::2/128 dev lo nodad; ip address add fd99::3/128 dev lo nodad")
    sh("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip address add 10.1.0.1/24 dev v0")
    sh(f"ip neighbour replace {SILENT} lladdr 02:00:00:00:00:09 dev v0")


def _serve(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, port), family=family, backlog=4096)

    def run() -> None:
        while True:
            server.accept()[0].close()

    threading.Thread(target=run, daemon=True).start()


KINDS: dict[str, Callable[[], None]] = {
    f"tcp {SERVER} 7001": lambda: dial(SERVER, 7001, wait=True),
    f"tcp {SERVER6} 7002": lambda: dial(SERVER6, 7002, wait=True),
    f"tcp {SERVER} None": lambda: dial(SERVER, 7003, wait=True),
    f"tcp {SERVER6} None": lambda: dial(SERVER6, 7004, wait=True),
    f"tcp {SILENT} 7005": lambda: dial(SILENT, 7005),
    f"udp {SILENT} 7006": lambda: dial(SILENT, 7006, socket.SOCK_DGRAM, send=True),
    f"udp {SERVER6} 7007": lambda: dial(SERVER6, 7007, socket.SOCK_DGRAM),
    "no route": lambda: dial(PUBLIC),
    "unconnected": lambda: post(SILENT),
}


def _let_connections_end() -> None:
    """Wait for those that linger in FIN-WAIT, with nobody to hurry them, until the server is done with them."""
    time.sleep(0.5)
    lingering = ["ss", "-Htan", "state", "connected", "exclude", "time-wait"]
    until = time.monotonic() + 30
    while subprocess.run(lingering, capture_output=True, check=True).stdout and time.monotonic() < until:
        time.sleep(0.1)


def _events(number: int, buffer: int, *, slow: bool = False) -> dict[str, Any]:
    """Attempt everything so many times from another process, and tell what was seen of it."""
    _network()
    server = os.fork()
    if server == 0:
        _serve(SERVER, 7001)
        _serve(SERVER6, 7002)
        time.sleep(600)
    while len(subprocess.run(["ss", "-Htln"], capture_output=True, check=True).stdout.splitlines()) < 2:
        time.sleep(0.05)
    identity = Identity(EPOCH)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.connect((SERVER, 4242))
        observer = SockdiagEvents(here(), EPOCH, identity, buffer=buffer)
    child = os.fork()
    if child == 0:
        for work in KINDS.values():
            for _ in range(number):
                work()
        os._exit(0)
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if slow:
            time.sleep(0.01)
        elif select.select(observer.filenos(), [], [], 0.1)[0]:
            observer.drain()
    _let_connections_end()
    evidence = observer.finish()
    identity.close()
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    seen: dict[str, int] = {}
    for record in evidence.of(Connection):
        key = f"{record.protocol} {record.remote.address} {record.remote.port}"
        key = key if record.direction == "outbound" else f"{record.direction} {record.local.port}"
        seen[key] = seen.get(key, 0) + record.count
    owned = [r.process.pid for r in evidence.of(Connection) if r.remote.port == 4242 and r.process]
    return {"seen": seen, "owner": owned == [os.getpid()], "number": number, **told(evidence)}


def events() -> dict[str, Any]:
    return _events(int(os.environ.get("ATTEMPTS", "1000")), BUFFER)


def overrun() -> dict[str, Any]:
    return _events(500, 4096, slow=True)


def nothing_open_afterwards() -> dict[str, Any]:
    child = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    before = sorted(os.listdir("/proc/self/fd"))
    identity = Identity(EPOCH)
    SockdiagEvents(netns.discover()[0], EPOCH, identity).close()
    identity.close()
    Counters(netns.discover()[0], EPOCH).finish()
    after = sorted(os.listdir("/proc/self/fd"))
    child.kill()
    child.wait()
    child.stdout.close()
    return {"before": before, "after": after, "threads": threading.active_count()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]]()))
    sys.stdout.flush()
    os._exit(0)
