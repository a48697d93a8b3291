"""Finds the process of this host that answers at an address and port, if one does.

Source: /proc/PID/net/udp, fib_trie and if_inet6 (Documentation/networking/proc_net_tcp.rst, net/ipv4/fib_trie.c).
A rule of the packet filter that redirects queries elsewhere is not seen.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import Address, parse, unwrap
from airgap_check.kernel import proc_net, procfs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TABLE_LIMIT = 1 << 25
_INET, _INET6 = 2, 10  # include/linux/socket.h; nothing here may open a socket
_ANY = frozenset({IPv4Address(0), IPv6Address(0)})


class Responder(NamedTuple):
    """Who answers, in which network namespace; without a pid it is somebody whom we may not see."""

    netns: int
    pid: int | None = None
    program: str = ""
    argv: tuple[str, ...] = ()


class Socket(NamedTuple):
    """The local end of a UDP socket, and its inode."""

    address: Address
    port: int
    inode: int


class Responders:
    """Looks for local responders in the network namespaces of this host, each given as inode and its processes."""

    def __init__(self, processes: Mapping[int, Sequence[int]], forwarders: frozenset[str]) -> None:
        """Take the programs that are known to forward queries: a guess when the owner of a socket may not be seen."""
        self._processes = processes
        self._forwarders = forwarders
        self._sockets: dict[int, list[Socket] | None] = {}

    def find(self, netns: int, address: Address, port: int) -> Responder | None:
        """Return who answers a query sent from a namespace; None when nobody on this host does.

        A loopback address leads nowhere else. Any other may be an address of this namespace, or of another one of this
        host: the bridge of a container network.
        """
        inner = _delivered(address)
        if inner.is_loopback or inner in _ANY:
            return self._in_namespace(netns, inner, port)
        near = [netns] if inner.is_link_local and inner.version == 6 else self._processes  # fe80::1 is everywhere
        for other in sorted(near, key=lambda inode: inode != netns):
            found = self._in_namespace(other, inner, port)
            if found:
                return found
        return None

    def _in_namespace(self, netns: int, address: Address, port: int) -> Responder | None:
        sockets = self._table(netns)
        if sockets is None:  # nobody may look: somebody may be there
            return self._guess(netns) if address.is_loopback or address in _ANY else None
        exact = [socket for socket in sockets if socket.port == port and socket.address == address]
        wild = [socket for socket in sockets if socket.port == port and socket.address in _ANY]
        if not exact and wild and not address.is_loopback and address not in _ANY and not self._owns(netns, address):
            return None
        if address in _ANY:
            exact = [socket for socket in sockets if socket.port == port and socket.address.is_loopback]
        found = exact or wild
        return self._owner(netns, {socket.inode for socket in found}) if found else None

    def _table(self, netns: int) -> list[Socket] | None:
        if netns not in self._sockets:
            self._sockets[netns] = self._read_table(netns)
        return self._sockets[netns]

    def _read_table(self, netns: int) -> list[Socket] | None:
        for pid in self._processes.get(netns, ()):
            try:
                return [*_sockets(pid, "net/udp", _INET), *_sockets(pid, "net/udp6", _INET6)]
            except OSError:
                continue
        return None

    def _owns(self, netns: int, address: Address) -> bool:
        for pid in self._processes.get(netns, ()):
            name, addresses_of = ("net/fib_trie", trie_addresses) if address.version == 4 else _SIX
            try:
                return address in addresses_of(procfs.read(pid, name, _TABLE_LIMIT))
            except OSError:
                continue
        return False

    def _owner(self, netns: int, inodes: set[int]) -> Responder:
        links = {f"socket:[{inode}]" for inode in inodes}
        pids = self._processes.get(netns, ())
        for pid in sorted(pids, key=lambda pid: _program(pid) not in self._forwarders):
            if _holds(pid, links):
                return _describe(netns, pid)
        return self._guess(netns)

    def _guess(self, netns: int) -> Responder:
        pids = [pid for pid in self._processes.get(netns, ()) if _program(pid) in self._forwarders]
        return _describe(netns, pids[0]) if len(pids) == 1 else Responder(netns)


def _sockets(pid: int, name: str, family: int) -> list[Socket]:
    """Return the UDP sockets of a process's namespace; a kernel without IPv6 has no second table."""
    try:
        table = procfs.read(pid, name, _TABLE_LIMIT)
    except FileNotFoundError:
        if family == _INET6:
            return []
        raise
    rows = proc_net.parse(table.splitlines(keepends=True), family)
    return [Socket(_delivered(ip_address(row.local)), row.local_port, row.inode) for row in rows]


def _delivered(address: Address) -> Address:
    """Return the address that packets to this one arrive at; anybody may write any bits into the other wrappings."""
    inner, wrapping = unwrap(address)
    return inner if wrapping in {"mapped", "nat64"} else address


def trie_addresses(trie: bytes) -> set[Address]:
    """Return the IPv4 addresses that /proc/net/fib_trie calls LOCAL."""
    found: set[Address] = set()
    leaf: Address | None = None
    for line in trie.split(b"\n"):
        words = line.split()
        if words[:1] == [b"|--"] and len(words) == 2:
            leaf = parse(words[1].decode(errors="replace"))
        elif words[-2:] == [b"host", b"LOCAL"] and leaf is not None:
            found.add(leaf)
    return found


def interface_addresses(table: bytes) -> set[Address]:
    """Return the IPv6 addresses of /proc/net/if_inet6."""
    found: set[Address] = set()
    for line in table.split(b"\n"):
        try:
            found.add(IPv6Address(bytes.fromhex(line.split(b" ")[0].decode(errors="replace"))))
        except ValueError:
            continue
    return found


_SIX = ("net/if_inet6", interface_addresses)


def _program(pid: int) -> str:
    """Name the program by its file, which is harder to fake than the name that a process gives itself."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except OSError:
        try:
            return procfs.read(pid, "comm").decode(errors="replace").strip()
        except OSError:
            return ""


def _holds(pid: int, links: set[str]) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") in links:
                return True
        except OSError:
            continue
    return False


def _describe(netns: int, pid: int) -> Responder:
    try:
        argv = procfs.read(pid, "cmdline").decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return Responder(netns)
    return Responder(netns, pid, _program(pid), tuple(argv))
