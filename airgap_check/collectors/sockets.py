"""Collects what this host talks to: every socket with a peer beyond loopback, of every network namespace.

Hosts have a hundred thousand sockets and a handful of peers, so sockets that are alike but for the ephemeral port are
one record from the start, and owners are looked up only where the caller says that they matter.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check.address import scope_of
from airgap_check.collectors import coverage
from airgap_check.collectors.direction import TcpDirection, UdpDirection
from airgap_check.evidence import Connection, Evidence
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.kernel import procfs
from airgap_check.kernel.peer import Peers
from airgap_check.kernel.sock_diag import CLOSE, LISTEN, STATES, TIME_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airgap_check.evidence import Direction, Protocol
    from airgap_check.kernel.inventory import Inventory, NamespaceSockets
    from airgap_check.kernel.owner import Owners

_PROTOCOL: dict[str, Protocol] = {
    "tcp": "tcp", "udp": "udp", "udplite": "udp", "raw": "raw", "icmp": "icmp", "packet": "packet",
}  # fmt: skip
_WITH_PORTS = ("tcp", "udp", "udplite")
_DATAGRAMS = frozenset({"udp", "udplite"})
_RAW = ("raw", "icmp", "packet")
_ICMP, _ICMPV6 = 1, 58
_CALLERS = 1024  # the first port that an ordinary client calls from
_COUNTED = ("sockets", "loopback", "listeners", "unconnected_udp", "time_wait", "raw", "owner_unknown")


Groups = dict[tuple[object, ...], list[int]]  # the fields of a Group (a plain tuple is cheaper) -> inodes


class Group(NamedTuple):
    """What sockets share that are one record; a port is None where it is the ephemeral one.

    A caller's port below 1024 is kept: services have those, and hardly ever callers.

    ``number`` is the IP protocol or the ethertype of a raw socket, ``uid`` None where nobody holds the socket any more.
    """

    table: str
    state: int
    direction: Direction
    local: bytes
    local_port: int | None
    remote: bytes
    remote_port: int | None
    cgroup: int
    uid: int | None
    number: int


def collect(
    inventory: Inventory,
    wants_owner: Callable[[Connection], bool],
    deadline: float | None,
    ours: frozenset[int] = frozenset(),
) -> Evidence:
    """Turn the inventory into connections. ``wants_owner`` is asked, once a group, whether to name its processes.

    ``ours`` are the inodes of the raw and packet sockets that we observe with.
    ``deadline`` is in seconds of the monotonic clock; past it no more owners are looked up, which makes it partial.
    """
    counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
    counts["namespaces"] = len(inventory.namespaces)
    found: Counter[Connection] = Counter()
    late, initial = False, inventory.initial_ports()
    for sockets in inventory.namespaces:
        peers = Peers(sockets, inventory)
        groups = _grouped(sockets, peers, initial, counts)
        groups.update(_raw_groups(sockets, counts, ours))
        for key, inodes in groups.items():
            group = Group._make(key)
            connection = _connection(group, sockets, peers, inventory.owners)
            late = late or (deadline is not None and time.monotonic() > deadline)
            if connection.ownerless:
                counts["owner_unknown"] += len(inodes)
            if late or connection.ownerless or not wants_owner(connection):
                found[connection] += len(inodes)
                continue
            for owned, number in _by_owner(connection, inodes, inventory.owners):
                found[owned] += number
                counts["owner_unknown"] += number if owned.process is None else 0
    return coverage.evidence(
        "sockets",
        inventory,
        records=tuple(replace(connection, count=number) for connection, number in found.items()),
        late="time was up before every owner was looked up" if late else "",
        scope=f"TCP, UDP, raw, packet and ICMP sockets of {coverage.namespaces(inventory)}, at one moment",
        counts=dict(counts),
        blind=coverage.blind_spots(inventory, counts["unconnected_udp"]),
    )


def _grouped(sockets: NamespaceSockets, peers: Peers, initial: range, counts: Counter[str]) -> Groups:
    """Group the sockets with ports: what they share -> their inodes. The hot loop: a microsecond a socket."""
    groups: Groups = {}
    loopback = time_wait = 0
    for table in _WITH_PORTS:
        rows = sockets.tables.get(table, [])
        ephemeral = sockets.ephemeral
        direction_of = (TcpDirection(rows, ephemeral, initial) if table == "tcp" else UdpDirection(rows, ephemeral)).of
        waiting = 0
        for _, state, local, local_port, remote, remote_port, uid, inode, _, cgroup, _ in rows:
            if state in {LISTEN, CLOSE}:
                waiting += 1
                continue
            if state == TIME_WAIT:
                time_wait += 1
            if peers[remote].scope == "loopback":
                loopback += 1
                continue
            direction = direction_of(state, local, local_port, remote_port)
            ours = None if direction == "outbound" and local_port in ephemeral else local_port
            theirs = None if direction == "inbound" and remote_port >= _CALLERS else remote_port
            key = (table, state, direction, local, ours, remote, theirs, cgroup, uid if inode else None, 0)
            if key in groups:
                groups[key].append(inode)
            else:
                groups[key] = [inode]
        counts["sockets"] += len(rows)
        counts["listeners" if table == "tcp" else "unconnected_udp"] += waiting
    counts["loopback"] += loopback
    counts["time_wait"] += time_wait
    return groups


def _raw_groups(sockets: NamespaceSockets, counts: Counter[str], ours: frozenset[int]) -> Groups:
    """Group the sockets that can send anything anywhere, connected or not, but for those that we observe with."""
    groups: Groups = {}
    for table in _RAW:
        rows = [row for row in sockets.tables.get(table, []) if row.inode not in ours]
        for row in rows:
            number = row.local_port
            if table == "icmp":
                number = _ICMP if len(row.local) == 4 else _ICMPV6  # the column holds the identifier of the echo
            key = (table, row.state, "unknown", row.local, None, row.remote, None, 0, row.uid, number)
            groups.setdefault(key, []).append(row.inode)
        counts["sockets"] += len(rows)
        counts["raw"] += len(rows)
    return groups


def _connection(group: Group, sockets: NamespaceSockets, peers: Peers, owners: Owners) -> Connection:
    """Describe a group without its process, as a record of one."""
    ownerless = group.uid is None
    workload = owners.workload_of_cgroup(group.cgroup)
    if ownerless and workload is None:
        workload = owners.workload_of_namespace(sockets.namespace)
    return Connection(
        netns=sockets.namespace.inode,
        protocol=_PROTOCOL[group.table],
        state=_state(group),
        direction=group.direction,
        local=_local(group, peers),
        remote=_remote(group, peers),
        workload=workload,
        user=procfs.user_name(group.uid) if group.uid is not None and group.uid >= 0 else None,
        ownerless=ownerless,
    )


def _state(group: Group) -> str:
    if group.table == "packet":
        return f"ethertype 0x{group.number:04x}"
    if group.table in _RAW:
        return f"proto {group.number}"
    state = STATES[group.state] if group.state < len(STATES) else f"state {group.state}"
    return f"{state} UDP-Lite" if group.table == "udplite" else state


def _local(group: Group, peers: Peers) -> Endpoint:
    if not group.local:
        return Endpoint(scope="unspecified")  # a packet socket has no address
    return endpoint(peers[group.local].address, group.local_port)


def _remote(group: Group, peers: Peers) -> Endpoint:
    if not group.remote:
        return Endpoint(scope="unspecified")
    address, scope = peers[group.remote]
    if scope == "broadcast" and group.table not in _DATAGRAMS:
        # Only datagrams can be broadcast; a tiny prefix on an interface of one's own makes any address look so.
        scope = scope_of(address)
    return endpoint(address, group.remote_port, scope=scope)


def _by_owner(connection: Connection, inodes: list[int], owners: Owners) -> Iterator[tuple[Connection, int]]:
    """Split a group by the processes that hold its sockets. What a process is now says more than where it began."""
    for pid, number in Counter(map(owners.pid, inodes)).items():
        process = owners.process(pid) if pid is not None else None
        if pid is None or process is None:
            yield connection, number
        else:
            workload = owners.workload(pid) or connection.workload
            yield replace(connection, process=process, workload=workload), number
