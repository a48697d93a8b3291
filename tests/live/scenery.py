"""What scenes are made of: hosts that lead nowhere, processes that wait, and what was seen of them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import psutil  # noqa: F401  (before a scene gives up root, and with it the way to its modules)

from airgap_check.collectors import sockets
from airgap_check.evidence import Connection
from airgap_check.kernel import inventory, netns, sock_diag

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from airgap_check.kernel.inventory import Inventory

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNET, NEWUSER = 0x40000000, 0x10000000
NOBODY = 65534
SILENT, OURS, OURS6, NEIGHBOURS = "10.66.0.9", "10.66.0.1", "fd66::1", "10.66.0.255"
IPPROTO_UDPLITE, IPPROTO_MPTCP = 136, 262


def sh(*lines: str) -> None:
    for line in lines:
        subprocess.run(line, shell=True, check=True, stdout=subprocess.DEVNULL)


def put(path: str, text: str) -> None:
    with open(path, "wb") as file:  # bytes: without root even the codecs are out of reach
        file.write(text.encode())


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
            "maker": sockets_.maker,
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
    mapped.settimeout(0)
    mapped.connect_ex((f"::ffff:{SILENT}", 443))
    silent = keep(socket.socket())
    silent.settimeout(0)
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
