"""Finds where a runtime listens, so that it can be asked about itself: by the sockets that its processes hold."""

from __future__ import annotations

import os
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netns, proc_net, procfs, sock_diag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airgap_check.address import Address
    from airgap_check.probes.vantage_point import Owner, VantagePoint

_MOST = 3  # doors of a runtime that are knocked at: it serves one, and may have others for metrics and debuggers
_FILES = 1 << 16


class Door(NamedTuple):
    """A TCP socket that a runtime listens at."""

    port: int
    address: Address
    owner: Owner


def find(point: VantagePoint) -> tuple[Door, ...]:
    """Return where the runtimes there listen, each door once, of each runtime the lowest ports first.

    What listens everywhere is asked on loopback. Raises OSError, also where what a process holds may not be seen.
    """
    rows = netns.inside(point.namespace, lambda: proc_net.read("tcp"))
    listening = {row.inode: row for row in rows if row.state == sock_diag.LISTEN}
    children = _children()
    found: dict[tuple[int, Address], Door] = {}
    for owner in point.owners:
        held = {inode for pid in _family(owner.process.pid, children) for inode in _sockets(pid)}
        places = {(row.local_port, _dialled(ip_address(row.local))) for row in map(listening.get, held) if row}
        for port, address in sorted(places, key=lambda place: (place[0], str(place[1])))[:_MOST]:
            found.setdefault((port, address), Door(port, address, owner))
    return tuple(found.values())


def _dialled(address: Address) -> Address:
    """Return where to reach what listens at an address; who listens everywhere by IPv6 takes IPv4 as well (Node)."""
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    return ip_address("127.0.0.1") if address.is_unspecified else address


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid in procfs.pids():
        children.setdefault(procfs.parent(pid), []).append(pid)
    return children


def _family(pid: int, children: Mapping[int, list[int]]) -> set[int]:
    """Return a process and its descendants: who is started is not always who serves."""
    found, waiting = {pid}, [pid]
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
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:[") and link[8:-1].isdecimal():
            yield int(link[8:-1])
