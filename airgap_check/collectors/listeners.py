"""Collects what waits for others beyond loopback: TCP listeners and UDP sockets that serve a fixed port."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from airgap_check.address import scope_of
from airgap_check.collectors import coverage
from airgap_check.collectors.direction import DHCP_CLIENT
from airgap_check.evidence import Evidence, Listener
from airgap_check.evidence.fact import endpoint
from airgap_check.kernel import procfs
from airgap_check.kernel.peer import plain
from airgap_check.kernel.sock_diag import CLOSE, LISTEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import Protocol
    from airgap_check.kernel.inventory import Inventory, NamespaceSockets
    from airgap_check.kernel.owner import Owners
    from airgap_check.kernel.sock_diag import Row


def collect(inventory: Inventory, deadline: float | None) -> Evidence:
    """Turn the inventory into listeners, each with its process and workload.

    ``deadline`` is in seconds of the monotonic clock; past it no more owners are looked up, which makes it partial.
    """
    found: dict[Listener, None] = {}  # workers that share a port by SO_REUSEPORT in one process are one listener
    late = False
    for sockets in inventory.namespaces:
        for protocol, row in _waiting(sockets):
            late = late or (deadline is not None and time.monotonic() > deadline)
            found[_listener(protocol, row, sockets, None if late else inventory.owners)] = None
    return coverage.evidence(
        "listeners",
        inventory,
        records=tuple(found),
        late="time was up before every owner was looked up" if late else "",
        scope=f"TCP listeners and UDP sockets of a fixed port beyond loopback, of {coverage.namespaces(inventory)}",
        counts={"listeners": len(found), "namespaces": len(inventory.namespaces)},
        blind=("UDP services on a port of the ephemeral range, which look like clients",),
    )


def _waiting(sockets: NamespaceSockets) -> Iterator[tuple[Protocol, Row]]:
    """Iterate over the sockets that wait for others."""
    for row in sockets.tables.get("tcp", []):
        if row.state == LISTEN and _beyond_loopback(row):
            yield "tcp", row
    for table in ("udp", "udplite"):
        for row in sockets.tables.get(table, []):
            fixed = row.local_port not in sockets.ephemeral and row.local_port not in DHCP_CLIENT
            if row.state == CLOSE and fixed and _beyond_loopback(row):
                yield "udp", row


def _beyond_loopback(row: Row) -> bool:
    return scope_of(ip_address(plain(row.local))) != "loopback"


def _listener(protocol: Protocol, row: Row, sockets: NamespaceSockets, owners: Owners | None) -> Listener:
    pid = owners.pid(row.inode) if owners else None
    process = owners.process(pid) if owners and pid is not None else None
    workload = owners.workload(pid) if owners and pid is not None else None
    if owners and workload is None:
        workload = owners.workload_of_cgroup(row.cgroup)
    return Listener(
        netns=sockets.namespace.inode,
        protocol=protocol,
        local=endpoint(ip_address(row.local), row.local_port),
        process=process,
        workload=workload,
        user=procfs.user_name(row.uid) if row.inode and row.uid >= 0 else None,
    )
