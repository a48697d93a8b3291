"""Finds where a runtime listens, so that it can be asked about itself: by the sockets that its processes hold."""

from __future__ import annotations

import os
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING

from airgap_check.kernel import netns, proc_net, procfs, sock_diag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.address import Address
    from airgap_check.probes.vantage_point import VantagePoint

_MOST = 2  # doors that are knocked at; the runtime serves one
_FILES = 1 << 16


def find(point: VantagePoint) -> tuple[tuple[Address, int], ...]:
    """Return address and port of the TCP sockets that the runtimes there listen at, the lowest port first.

    What listens everywhere is asked on loopback. Raises OSError.
    """
    rows = netns.inside(point.namespace, lambda: proc_net.read("tcp"))
    listening = {row.inode: row for row in rows if row.state == sock_diag.LISTEN}
    held = {inode for pid in _family({owner.process.pid for owner in point.owners}) for inode in _sockets(pid)}
    doors = {(row.local_port, _dialled(ip_address(row.local))) for inode, row in listening.items() if inode in held}
    return tuple(
        (address, port) for port, address in islice(sorted(doors, key=lambda door: (door[0], str(door[1]))), _MOST)
    )


def _dialled(address: Address) -> Address:
    """Return where to reach what listens at an address; who listens everywhere by IPv6 takes IPv4 as well (Node)."""
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    return ip_address("127.0.0.1") if address.is_unspecified else address


def _family(pids: set[int]) -> set[int]:
    """Return these processes and their descendants: who is started is not always who serves."""
    children: dict[int, list[int]] = {}
    for pid in procfs.pids():
        children.setdefault(procfs.parent(pid), []).append(pid)
    found, waiting = set(pids), list(pids)
    while waiting:
        new = [child for child in children.get(waiting.pop(), ()) if child not in found]
        found.update(new)
        waiting += new
    return found


def _sockets(pid: int) -> Iterable[int]:
    """Yield the inodes of the sockets that a process holds."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as files:
            names = [file.name for file in islice(files, _FILES)]
    except OSError:
        return
    for name in names:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:[") and link[8:-1].isdecimal():
            yield int(link[8:-1])
