"""Takes stock of every socket of this host, once a run: tables and addresses by namespace, and who holds what.

Both collectors of sockets read it; it knows what the kernel says and nothing of what that means.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airgap_check.kernel import netns, open_sockets, proc_net, procfs, rtnetlink, sock_diag
from airgap_check.kernel.cgroup import Cgroups
from airgap_check.kernel.owner import Owners
from airgap_check.kernel.refusal import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airgap_check.kernel.netns import Namespace
    from airgap_check.kernel.rtnetlink import InterfaceAddress
    from airgap_check.kernel.sock_diag import Row

T = TypeVar("T")
_DIAG = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "udplite": sock_diag.IPPROTO_UDPLITE}
_DEFAULT_PORTS = range(32768, 61000)  # net/ipv4/af_inet.c
# What /proc/net/protocols counts and the tables hold. MPTCP's connections stand in the TCP table.
_TABLED = frozenset({
    "TCP", "TCPv6", "UDP", "UDPv6", "UDP-Lite", "UDPLITEv6", "MPTCP", "MPTCPv6", "RAW", "RAWv6", "PING", "PINGv6",
    "PACKET", "UNIX", "UNIX-STREAM", "NETLINK",
})  # fmt: skip


class NamespaceSockets(NamedTuple):
    """What one network namespace holds.

    ``tables`` maps tcp, udp, udplite, raw, icmp, packet to their rows; ``addresses`` are those that the kernel delivers
    right here, packed as are ``broadcasts``; ``ephemeral`` are the ports that the kernel picks by itself, the initial
    namespace's where root did not make this one; ``maker`` is the uid of whoever made it and may have given himself
    these addresses (-1 is unknown); ``untabled`` counts sockets of protocols without a table.
    """

    namespace: Namespace
    tables: dict[str, list[Row]]
    addresses: frozenset[bytes]
    broadcasts: frozenset[bytes]
    ephemeral: range
    maker: int
    untabled: dict[str, int]


class Inventory(NamedTuple):
    """Every socket we could see; ``failures`` says in words what we could not, and is empty when that was all.

    ``initial`` is the namespace of process 1 (or ours, where that one cannot be seen); ``modules`` are those that the
    kernel loaded because we asked.
    """

    namespaces: tuple[NamespaceSockets, ...]
    initial: int
    owners: Owners
    failures: tuple[str, ...]
    modules: tuple[str, ...]

    def initial_addresses(self) -> frozenset[bytes]:
        """Return the addresses of the initial namespace, packed."""
        own = (sockets.addresses for sockets in self.namespaces if sockets.namespace.inode == self.initial)
        return next(own, frozenset())

    def initial_ports(self) -> range:
        """Return the ephemeral ports of the initial namespace; the kernel's default where that was not read."""
        own = (sockets.ephemeral for sockets in self.namespaces if sockets.namespace.inode == self.initial)
        return next(own, _DEFAULT_PORTS)


def take(found: tuple[list[Namespace], list[str]], deadline: float | None) -> Inventory:
    """Take stock of the namespaces that `netns.discover` found, and of those that only an open socket holds.

    ``deadline`` is in seconds of the monotonic clock; past it the inventory says what is missing.
    """
    if sys.platform != "linux":
        from airgap_check.kernel import portable

        return portable.take()
    namespaces, failures = found
    modules = _diag_modules()
    refusals = Refusals()
    with _without_garbage_collection():
        stock = {}
        for number, namespace in enumerate(namespaces):
            if deadline is not None and time.monotonic() > deadline:
                refusals.add(f"time was up with {len(namespaces) - number} network namespaces still unread")
                break
            if sockets := _read(namespace, refusals):
                stock[namespace.inode] = sockets
        walk = open_sockets.OpenSockets()
        if stock:
            walk.walk(procfs.pids(), _inodes(stock.values()), deadline)
            _add_hidden(stock, walk, refusals, deadline)
    initial = _initial(namespaces)
    return Inventory(
        namespaces=tuple(_with_ports_to_trust(stock, initial)),
        initial=initial,
        owners=Owners(walk.holder, Cgroups()),
        failures=(*failures, *walk.failures, *refusals.sentences()),
        modules=tuple(sorted(_diag_modules() - modules)),
    )


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep the collector from walking a hundred thousand new rows again and again: it finds nothing, and takes 30 %."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _read(namespace: Namespace, refusals: Refusals) -> NamespaceSockets | None:
    """Read one namespace; None when it has gone, or may not be joined (which is a refusal)."""
    try:
        return netns.inside(namespace, lambda: _look_around(namespace, refusals))
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        refusals.add("could not join a network namespace", f"net:[{namespace.inode}] ({error.strerror})")
        return None


def _look_around(namespace: Namespace, refusals: Refusals) -> NamespaceSockets:
    """Read the network namespace of the calling thread."""

    def attempt(what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except OSError as error:
            where = f"net:[{namespace.inode}] ({error.strerror})"
            refusals.add(f"could not read {what} of a network namespace", where)
            return otherwise

    tables: dict[str, list[Row]] = {}
    for name in _DIAG:
        tables[name] = attempt(f"the {name} sockets", partial(_transport_table, name), [])
    for name in ("raw", "icmp"):
        tables[name] = attempt(f"the {name} sockets", partial(_optional, partial(proc_net.read, name)), [])
    tables["packet"] = attempt("the packet sockets", partial(_optional, proc_net.read_packet), [])
    addresses: list[InterfaceAddress] = attempt("the addresses", rtnetlink.addresses, [])
    in_use: dict[str, int] = attempt("the protocols", proc_net.sockets_in_use, {})
    return NamespaceSockets(
        namespace=namespace,
        tables=tables,
        addresses=frozenset(address.address for address in addresses),
        broadcasts=frozenset(packed for address in addresses for packed in address.broadcasts()),
        ephemeral=attempt("the range of local ports", proc_net.local_port_range, _DEFAULT_PORTS),
        maker=attempt("the maker", netns.maker, -1),
        untabled=_untabled(in_use),
    )


def _untabled(in_use: dict[str, int]) -> dict[str, int]:
    numbers = {name: number for name, number in in_use.items() if number and name not in _TABLED}
    control = next((name for name in ("SCTPv6", "SCTP") if name in numbers), "")
    if control:
        numbers[control] -= 1  # the kernel's own, one in each namespace (net/sctp/protocol.c, sctp_ctl_sock_init)
    return {name: number for name, number in numbers.items() if number}


def _transport_table(name: str) -> list[Row]:
    """Read a table over netlink, or from /proc, which tells the same, where that is missing or forbidden."""
    try:
        with sock_diag.connect() as channel:
            return sock_diag.read(channel, _DIAG[name])
    except OSError:
        read = partial(proc_net.read, name)
        return _optional(read) if name == "udplite" else read()


def _optional(read: Callable[[], list[Row]]) -> list[Row]:
    """Read the table of a protocol that a kernel may do without."""
    try:
        return read()
    except FileNotFoundError:
        return []


def _inodes(stock: Iterable[NamespaceSockets]) -> set[int]:
    return {row.inode for sockets in stock for rows in sockets.tables.values() for row in rows if row.inode}


def _add_hidden(
    stock: dict[int, NamespaceSockets], walk: open_sockets.OpenSockets, refusals: Refusals, deadline: float | None
) -> None:
    """Add the namespaces that nothing holds but an open file: no process is in them and no mount shows them."""
    listed: set[int] = set()
    for inode, link in walk.namespaces.items():
        namespace = netns.Namespace(inode, "process", (), ((0, link),))
        if inode not in stock and (sockets := _read(namespace, refusals)):
            stock[inode] = sockets
            listed |= _inodes([sockets])
    for stranger in walk.strangers.values():
        if deadline is not None and time.monotonic() > deadline:
            refusals.add("time was up with open sockets that no table lists still unexamined")
            return
        if stranger.inode in listed or not open_sockets.is_networked(stranger):
            continue
        try:
            descriptor = netns.of_socket(stranger.thread, stranger.descriptor)
        except OSError:
            if open_sockets.is_open(stranger):
                refusals.process("could not learn the network namespace of a socket of a process", stranger.pid)
            continue
        inode = os.fstat(descriptor).st_ino
        os.close(descriptor)
        if inode in stock:
            continue
        namespace = netns.Namespace(inode, "socket", (stranger.pid,), ((stranger.thread, str(stranger.descriptor)),))
        if sockets := _read(namespace, refusals):
            stock[inode] = sockets
            listed |= _inodes([sockets])


def _with_ports_to_trust(stock: dict[int, NamespaceSockets], initial: int) -> Iterator[NamespaceSockets]:
    """Iterate over the namespaces: who made one himself sets its port range, by which we tell who called whom."""
    ports = stock[initial].ephemeral if initial in stock else _DEFAULT_PORTS
    for inode, sockets in stock.items():
        yield sockets if sockets.maker == 0 or inode == initial else sockets._replace(ephemeral=ports)


def _initial(namespaces: list[Namespace]) -> int:
    return next((namespace.inode for namespace in namespaces if 1 in namespace.pids), 0) or netns.own_inode()


def _diag_modules() -> set[str]:
    """Return the diag modules that are loaded; a kernel without modules has none to load."""
    try:
        with open("/proc/modules", "rb") as file:
            names = {line.partition(b" ")[0].decode(errors="replace") for line in file}
    except OSError:
        return set()
    return {name for name in names if name.endswith("_diag")}
