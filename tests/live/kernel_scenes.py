"""Scenes that live tests of the kernel readers look at, each played in PID, mount and network namespaces of its own.

Run as ``python -m tests.live.kernel_scenes NAME`` inside ``unshare``; a scene prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any

import psutil  # noqa: F401  (before a scene gives up root, and with it the way to its modules)

from airgap_check.collectors import listeners, sockets
from airgap_check.evidence import Connection, Listener
from airgap_check.kernel import sock_diag
from tests.live.scenery import (
    LIBC,
    NEIGHBOURS,
    NEWNET,
    NEWUSER,
    NOBODY,
    OURS,
    SILENT,
    by_ss,
    by_us,
    child,
    connections,
    found,
    listen,
    mixture,
    put,
    sh,
    take,
    unshare,
    wire,
)  # fmt: skip

IPPROTO_UDPLITE, IPPROTO_MPTCP = 136, 262
FILES = 0x400  # CLONE_FILES


def the_same_as_ss() -> dict[str, Any]:
    wire()
    with ExitStack() as stack:
        mixture(stack)
        while any(row[1] == "FIN-WAIT-1" for row in by_us(take())):
            time.sleep(0.05)  # until the other end has acknowledged
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


def held_by_a_descriptor_only() -> dict[str, Any]:
    def play() -> object:
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(NEWNET)
        held = os.open("/proc/self/ns/net", os.O_RDONLY)
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


def held_by_a_thread_with_files_of_its_own() -> dict[str, Any]:
    def play() -> object:
        ready, home = threading.Event(), os.open("/proc/self/ns/net", os.O_RDONLY)

        def run() -> None:
            unshare(FILES | NEWNET)
            held = listen(7777)
            LIBC.setns(home, NEWNET)
            ready.set()
            time.sleep(600)
            held.close()

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
            me = os.getpid()
            while open(f"/proc/self/task/{me}/stat").read().rpartition(")")[2].split()[0] != "Z":  # noqa: SIM115
                time.sleep(0.01)  # until the first thread has ended
            os.write(theirs, b"x")
            time.sleep(600)
            held.close()

        threading.Thread(target=run).start()
        LIBC.syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit(2): of this thread alone
    os.read(ours, 1)
    return {"child": pid, "found": found(take())}


def held_by_a_mount_only() -> dict[str, Any]:
    sh("mount -t tmpfs none /run", "ip netns add kept", "ip netns exec kept ip link set lo up")
    return {"found": found(take())}


def held_by_a_mount_below_another() -> dict[str, Any]:
    sh("mount -t tmpfs none /run", "ip netns add kept")
    before = found(take())
    sh("mount -t tmpfs none /run")
    stock = take()
    return {"found": before, "left": found(stock), "failures": stock.failures}


def made_by_somebody() -> dict[str, Any]:
    """Let a user make himself a namespace with somebody else's address, and call that address from the host."""
    wire()

    def play() -> object:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        LIBC.prctl(4, 1)  # PR_SET_DUMPABLE: without root, and yet the owner of its own files in /proc
        unshare(NEWUSER | NEWNET)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {NOBODY} 1"), ("gid_map", f"0 {NOBODY} 1")):
            put(f"/proc/self/{name}", text)
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
        silent.settimeout(0)
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
        put("/proc/sys/net/ipv4/ping_group_range", "0 0")
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
            multipath.settimeout(0)
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


def apart() -> object:
    unshare(NEWNET)
    return listen(9998)


def without_rights() -> dict[str, Any]:
    wire()
    neighbour = child(lambda: listen(9999))
    elsewhere = child(apart)
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
        put(f"{folder}/{unit}/cgroup.procs", "0")
        silent = socket.socket()
        silent.settimeout(0)
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
    child(apart)
    held_by_a_socket_only()
    before = sorted(os.listdir("/proc/self/fd"))
    home = os.readlink("/proc/thread-self/ns/net")
    take()
    return {
        "before": before,
        "after": sorted(os.listdir("/proc/self/fd")),
        "moved": os.readlink("/proc/thread-self/ns/net") != home,
        "threads": threading.active_count(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]]()))
    sys.stdout.flush()
    os._exit(0)  # no waiting for threads that play dead
