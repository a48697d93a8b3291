"""Takes stock through psutil where the kernel is not Linux: less is seen, and the inventory says so."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address

from airgap_check.address import parse
from airgap_check.kernel.cgroup import Cgroups
from airgap_check.kernel.inventory import Inventory, NamespaceSockets
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.owner import Owners
from airgap_check.kernel.sock_diag import CLOSE, ESTABLISHED, STATES, Row

_STATES = {name.replace("-", "_").replace("WAIT_", "WAIT"): state for state, name in enumerate(STATES)}
_STATES |= {"ESTABLISHED": ESTABLISHED, "CLOSE": CLOSE}
_EPHEMERAL = range(49152, 65536)  # RFC 6335; the other kernels keep to it
_NOBODY = -1


def take() -> Inventory:
    """List TCP and UDP sockets, as psutil sees them, as an inventory that is never complete."""
    import psutil

    failures = [f"on {sys.platform} sockets are seen through psutil: no raw sockets, no workloads, no namespaces"]
    try:
        connections = psutil.net_connections(kind="inet")
        interfaces = psutil.net_if_addrs()
    except (psutil.Error, OSError) as error:
        reason = "listing them needs root" if isinstance(error, psutil.AccessDenied) else f"psutil failed: {error}"
        return Inventory((), 0, Owners(lambda _: None, Cgroups()), (*failures, reason), ())
    holders: dict[int, int] = {}
    tables: dict[str, list[Row]] = {"tcp": [], "udp": []}
    for number, connection in enumerate(connections, start=1):
        table = "tcp" if connection.type == socket.SOCK_STREAM else "udp"
        family, state = connection.family, _STATES.get(connection.status, 0)
        if table == "udp":
            state = ESTABLISHED if connection.raddr else CLOSE
        ends = (*_end(connection.laddr, family), *_end(connection.raddr, family))
        # The inode is a number of our own, by which the owner is found again.
        tables[table].append(Row(family, state, *ends, _NOBODY, number if connection.pid else 0))
        if connection.pid:
            holders[number] = connection.pid
    own = frozenset(
        address.packed
        for entries in interfaces.values()
        for entry in entries
        if (address := parse(entry.address)) is not None
    )
    sockets = NamespaceSockets(Namespace(0, "process"), tables, own, frozenset(), _EPHEMERAL, 0, {})
    return Inventory((sockets,), 0, Owners(holders.get, Cgroups()), tuple(failures), ())


def _end(end: tuple[str, int] | tuple[()], family: int) -> tuple[bytes, int]:
    if not end:
        return bytes(4 if family == socket.AF_INET else 16), 0
    return ip_address(end[0].partition("%")[0]).packed, end[1]
