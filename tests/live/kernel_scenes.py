"""Scenes that live tests of the kernel readers look at, each played in PID, mount and network namespaces of its own.

Run as ``python -m tests.live.kernel_scenes NAME`` inside ``unshare``; a scene prints what it saw as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import psutil  # noqa: F401  (before a scene gives up root, and with it the way to its modules)

from airgap_check.collectors import listeners, sockets
from airgap_check.evidence import Connection, Listener
from airgap_check.kernel import inventory, netns, proc_net, sock_diag

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.kernel.inventory import Inventory

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNET, NEWUSER = 0x40000000, 0x10000000
NOBODY = 65534
SILENT, OURS, OURS6, NEIGHBOURS = "10.66.0.9", "10.66.0.1", "fd66::1", "10.66.0.255"
IPPROTO_UDPLITE, IPPROTO_MPTCP = 136, 262


def sh(*lines: str) -> None:
    for line in lines:
        subprocess.run(line, shell=True, check=True, stdout=subprocess.DEVNULL)


def wire() -> None:
    """Give this host addresses on an interface that leads nowhere."""
    sh(
        "ip link set lo up",
        "ip link add wire type veth peer name end",
        "ip link set end up",
        f"ip addr add {OURS}/24 brd {NEIGHBOURS} dev wire",
        f"ip addr add {OURS6}/64 dev wire nodad",
        "ip link set wire up",
        "ip route add default dev wire",
        f"ip neigh add {SILENT} lladdr 02:00:00:00:00:09 dev wire",
    )


def unshare(flags: int) -> None:
    if LIBC.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")


def child(play: Callable[[], object]) -> int:
    """Start a process, let it play until it has set its scene, and leave it waiting."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        held = play()
        os.write(theirs, b"x")
        time.sleep(600)
        os._exit(bool(held))
    os.close(theirs)
    if os.read(ours, 1) != b"x":
        raise ChildProcessError(pid)
    os.close(ours)
    return pid


def take() -> Inventory:
    return inventory.take(netns.discover(), None)


def connections(stock: Inventory) -> list[dict[str, Any]]:
    """Return what matters of each connection."""
    return [
        {
            "netns": record.netns,
            "protocol": record.protocol,
            "state": record.state,
            "direction": record.direction,
            "remote": f"{record.remote.address} {record.remote.port}",
            "scope": record.remote.scope,
            "pid": record.process.pid if record.process else None,
            "workload": record.workload.name if record.workload else None,
            "count": record.count,
        }
        for record in sockets.collect(stock, lambda _: True, None).records
        if isinstance(record, Connection)
    ]


def found(stock: Inventory) -> list[dict[str, Any]]:
    """Return each namespace with its TCP listeners and who holds them."""
    return [
        {
            "inode": sockets_.namespace.inode,
            "holder": sockets_.namespace.holder,
            "pids": sockets_.namespace.pids,
            "made_by_root": sockets_.made_by_root,
            "listeners": {row.local_port: stock.owners.pid(row.inode) for row in sockets_.tables["tcp"]},
            "raw": {row.local_port: stock.owners.pid(row.inode) for row in sockets_.tables["raw"]},
        }
        for sockets_ in stock.namespaces
    ]


def listen(port: int, address: str = "0.0.0.0") -> socket.socket:
    return socket.create_server((address, port))


def mixture(stack: ExitStack) -> None:
    """Open sockets of every sort and state that one host can have with itself."""
    keep = stack.enter_context
    for family, address, target in (
        (socket.AF_INET, "0.0.0.0", OURS),
        (socket.AF_INET6, "::", OURS6),
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    ):
        server = keep(socket.create_server((address, 0), family=family))
        for keeps_its_end in (True, True, False):
            client = keep(socket.socket(family))
            client.connect((target, server.getsockname()[1]))
            accepted, _ = server.accept()
            keep(accepted)
            if not keeps_its_end:
                accepted.close()  # FIN-WAIT-2 here, CLOSE-WAIT there
        client = keep(socket.create_connection((target, server.getsockname()[1])))
        accepted, _ = server.accept()
        client.close()  # TIME-WAIT
        accepted.close()
    dual = keep(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
    keep(socket.create_connection((OURS, dual.getsockname()[1])))  # never accepted: nobody holds the other end
    only = keep(socket.socket(socket.AF_INET6))
    only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    only.bind(("::", 0))
    only.listen()
    mapped = keep(socket.socket(socket.AF_INET6))
    mapped.setblocking(False)
    mapped.connect_ex((f"::ffff:{SILENT}", 443))
    silent = keep(socket.socket())
    silent.setblocking(False)
    silent.connect_ex((SILENT, 443))  # SYN-SENT
    for family, peer in ((socket.AF_INET, SILENT), (socket.AF_INET6, OURS6), (socket.AF_INET6, f"::ffff:{SILENT}")):
        datagrams = keep(socket.socket(family, socket.SOCK_DGRAM))
        datagrams.connect((peer, 53))
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
        datagrams = keep(socket.socket(family, socket.SOCK_DGRAM))
        datagrams.bind((address, 0))


def by_ss() -> set[tuple[object, ...]]:
    """Return what ss(8) lists: protocol, state, ends, inode."""
    lines = subprocess.run(["ss", "-tuanHOe"], check=True, capture_output=True, text=True).stdout.splitlines()
    rows: set[tuple[object, ...]] = set()
    for line in lines:
        protocol, state, _, _, local, remote, *more = line.split()
        inode = next((int(word[4:]) for word in more if word.startswith("ino:")), 0)
        rows.add((protocol, state, *_end(local), *_end(remote), inode))
    return rows


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    bare = address.strip("[]").partition("%")[0]
    if bare == "*":  # ss for ::, when IPv4 may come in too
        bare = "::"
    return ip_address(bare).packed.hex(), 0 if port == "*" else int(port)


def by_us(stock: Inventory) -> set[tuple[object, ...]]:
    tables = stock.namespaces[0].tables
    return {
        (
            protocol, sock_diag.STATES[row.state],
            row.local.hex(), row.local_port, row.remote.hex(), row.remote_port, row.inode,
        )
        for protocol in ("tcp", "udp")
        for row in tables[protocol]
    }  # fmt: skip


def the_same_as_ss() -> dict[str, Any]:
    wire()
    with ExitStack() as stack:
        mixture(stack)
        ours, theirs, again = by_us(take()), by_ss(), by_us(take())
        sock_diag.connect = _refuse  # type: ignore[assignment]
        from_proc = by_us(take())
    return {
        "only ours": sorted(map(str, ours - theirs)),
        "only ss": sorted(map(str, theirs - ours)),
        "changed meanwhile": sorted(map(str, ours ^ again)),
        "otherwise in /proc": sorted(map(str, ours ^ from_proc)),
        "states": sorted({str(row[1]) for row in ours}),
        "sockets": len(ours),
    }


def _refuse() -> None:
    raise FileNotFoundError


def held_by_a_socket_only() -> dict[str, Any]:
    def play() -> object:
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(NEWNET)
        held = (listen(7777), socket.socket(socket.AF_INET, socket.SOCK_RAW, 112), socket.socket())
        LIBC.setns(home, NEWNET)
        return held

    return {"child": child(play), "found": found(take())}


def held_by_a_thread_only() -> dict[str, Any]:
    def play() -> object:
        ready = threading.Event()

        def run() -> None:
            unshare(NEWNET)
            ready.set()
            time.sleep(600)

        threading.Thread(target=run, daemon=True).start()
        return ready.wait()

    return {"child": child(play), "found": found(take())}


def whose_first_thread_has_ended() -> dict[str, Any]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:

        def run() -> None:
            unshare(NEWNET)
            held = listen(8888)
            time.sleep(0.2)  # until the first thread has ended
            os.write(theirs, b"x")
            time.sleep(600)
            held.close()

        threading.Thread(target=run).start()
        ctypes.pythonapi.PyEval_SaveThread()  # else the other thread would wait for ever for the first to let go
        LIBC.syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit(2): of this thread alone
    os.read(ours, 1)
    return {"child": pid, "found": found(take())}


def held_by_a_mount_only() -> dict[str, Any]:
    sh("mount -t tmpfs none /run", "ip netns add kept", "ip netns exec kept ip link set lo up")
    return {"found": found(take())}


def made_by_somebody() -> dict[str, Any]:
    """Let a user make himself a namespace with somebody else's address, and call that address from the host."""
    wire()

    def play() -> object:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        unshare(NEWUSER | NEWNET)
        sh("ip link set lo up", f"ip addr add {SILENT}/32 dev lo")
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held.connect((SILENT, 53))
        return held

    def container() -> object:
        unshare(NEWNET)
        sh("ip link set lo up", "ip addr add 10.66.0.77/32 dev lo")
        return None

    somebody, theirs = child(play), child(container)
    with socket.socket() as silent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        silent.setblocking(False)
        silent.connect_ex((SILENT, 443))
        datagrams.connect(("10.66.0.77", 53))
        stock = take()
        return {"somebody": somebody, "container": theirs, "found": found(stock), "connections": connections(stock)}


def everything_raw() -> dict[str, Any]:
    wire()
    with ExitStack() as stack:
        keep = stack.enter_context
        keep(socket.socket(socket.AF_INET, socket.SOCK_RAW, 112))
        keep(socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58))
        connected = keep(socket.socket(socket.AF_INET, socket.SOCK_RAW, 89))
        connected.connect((SILENT, 0))
        keep(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        proc = "/proc/sys/net/ipv4/ping_group_range"
        with open(proc, "w", encoding="ascii") as file:
            file.write("0 0")
        ping = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))
        ping.bind((OURS, 0))
        return {"me": os.getpid(), "connections": connections(take())}


def other_protocols() -> dict[str, Any]:
    wire()
    with ExitStack() as stack:
        keep = stack.enter_context
        seen = []
        try:
            lite = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE))
            lite.connect((SILENT, 53))
            seen.append("udplite")
        except OSError:
            pass  # newer kernels have none
        try:
            multipath = keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP))
            multipath.setblocking(False)
            multipath.connect_ex((SILENT, 8443))
            seen.append("mptcp")
        except OSError:
            pass
        return {"me": os.getpid(), "opened": seen, "connections": connections(take())}


def directions() -> dict[str, Any]:
    wire()
    with ExitStack() as stack:
        keep = stack.enter_context
        dual = keep(socket.create_server(("::", 50443), family=socket.AF_INET6, dualstack_ipv6=True))
        keep(socket.create_connection((OURS, 50443)))
        keep(dual.accept()[0])
        orphan = socket.create_server((OURS, 2222))
        keep(socket.create_connection((OURS, 2222)))
        keep(orphan.accept()[0])
        orphan.close()
        shout = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        shout.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        shout.connect((NEIGHBOURS, 9))
        server = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        answering = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for sock in (server, answering):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((OURS, 514))
        answering.connect((SILENT, 40000))
        return {"connections": connections(take())}


def without_rights() -> dict[str, Any]:
    wire()
    neighbour = child(lambda: listen(9999))
    elsewhere = child(lambda: (unshare(NEWNET), listen(9998)))
    threading.Thread(target=int).start()  # imports what threads need
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    stock = take()
    evidence = sockets.collect(stock, lambda _: True, None)
    waiting = [
        (record.local.port, record.process.pid if record.process else None)
        for record in listeners.collect(stock, None).records
        if isinstance(record, Listener)
    ]
    return {
        "hidden": [neighbour, elsewhere],
        "status": evidence.status,
        "reason": evidence.reason,
        "listeners": waiting,
        "namespaces": len(stock.namespaces),
    }


def with_hidden_processes() -> dict[str, Any]:
    sh("mount -o remount,hidepid=2 /proc")
    ours, theirs = os.pipe()
    if os.fork() == 0:  # process 1 sees itself
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.write(theirs, json.dumps({"failures": take().failures}).encode())
        os._exit(0)
    result: dict[str, Any] = json.loads(os.read(ours, 1 << 16))
    return result


def in_a_cgroup() -> dict[str, Any]:
    """Make a socket inside a unit, then leave it; the hierarchy is the machine's, so nothing stays behind."""
    folder, unit = "/run/cgroups", f"airgap-{time.monotonic_ns()}.service"
    wire()
    sh("mount -t tmpfs none /run", f"mkdir {folder}", f"mount -t cgroup2 none {folder}", f"mkdir {folder}/{unit}")

    def play() -> object:
        with open(f"{folder}/{unit}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
        silent = socket.socket()
        silent.setblocking(False)
        silent.connect_ex((SILENT, 443))
        return silent

    pid = child(play)
    try:
        stock = take()
        by_cgroup = [
            record.workload.name if record.workload else None
            for record in sockets.collect(stock, lambda _: False, None).records
            if isinstance(record, Connection)
        ]
        return {"unit": unit, "by cgroup": by_cgroup, "by process": connections(stock)}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.rmdir(f"{folder}/{unit}")


def nothing_open_afterwards() -> dict[str, Any]:
    child(lambda: (unshare(NEWNET), listen(9998)))
    held_by_a_socket_only()
    before = sorted(os.listdir("/proc/self/fd"))
    home = os.readlink("/proc/thread-self/ns/net")
    take()
    return {
        "before": before,
        "after": sorted(os.listdir("/proc/self/fd")),
        "moved": os.readlink("/proc/thread-self/ns/net") != home,
        "threads": threading.active_count(),
        "ports": list(proc_net.local_port_range())[:0],
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
    os._exit(0)
