"""Tells who called whom: the kernel keeps no such note, but listeners and port ranges betray it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.kernel.peer import plain
from airgap_check.kernel.sock_diag import CLOSE, LISTEN, SYN_SENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.evidence import Direction
    from airgap_check.kernel.sock_diag import Row

_ANY4, _ANY6 = bytes(4), bytes(16)
DHCP_CLIENT = frozenset({68, 546})  # RFC 2131, RFC 8415: they wait for answers, not for callers
# The kernel's clients of ONC RPC (NFS, its locks and callbacks) call from here: net/sunrpc/xprtsock.c.
_RPC_CLIENT = range(665, 1024)


class TcpDirection:
    """Decides for the TCP sockets of one network namespace.

    ``ephemeral`` is its own range of ports, ``initial`` the initial namespace's. Who is root in a namespace sets its
    range as he likes after he has connected, so that a port counts as a caller's only where both say so.
    """

    def __init__(self, rows: Iterable[Row], ephemeral: range, initial: range) -> None:
        self._ephemeral, self._initial = ephemeral, initial
        self._ends: set[tuple[bytes, int]] = set()
        for row in rows:
            if row.state == LISTEN:
                self._ends.add((plain(row.local), row.local_port))
                if row.local == _ANY6 and not row.v6only:
                    self._ends.add((_ANY4, row.local_port))
        self._ports = frozenset(port for _, port in self._ends)

    def of(self, state: int, local: bytes, local_port: int, remote_port: int) -> Direction:
        """Decide by the listener that the socket came from; without one, by which port the kernel picked.

        A port of the ephemeral range was picked by whoever connected: here, that was us, there, the other side. One of
        those that NFS clients take says nothing, as the services that they call may have any port.
        """
        if state == SYN_SENT:
            return "outbound"
        if local_port in self._ports and self._listens(plain(local), local_port):
            return "inbound"
        if local_port in self._ephemeral or local_port in self._initial:
            return "outbound"
        called = remote_port in self._ephemeral and remote_port in self._initial and local_port not in _RPC_CLIENT
        return "inbound" if called else "unknown"

    def _listens(self, local: bytes, port: int) -> bool:
        return (local, port) in self._ends or (_ANY4 if len(local) == 4 else _ANY6, port) in self._ends


class UdpDirection:
    """Decides for the connected UDP sockets of one network namespace."""

    def __init__(self, rows: Iterable[Row], ephemeral: range) -> None:
        ports = {row.local_port for row in rows if row.state == CLOSE} - DHCP_CLIENT
        self._served = frozenset(port for port in ports if port not in ephemeral)

    def of(self, _state: int, _local: bytes, local_port: int, remote_port: int) -> Direction:
        """Decide by the server's own socket: some servers connect a second socket of its port to each client.

        A peer on the same port is a peer (NTP, IKE), to which a socket was connected from here.
        """
        return "inbound" if local_port in self._served and local_port != remote_port else "outbound"
