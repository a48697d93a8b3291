"""Reads the socket tables of /proc: what netlink has no module for, and everything where netlink itself is missing.

Source: proc_net(5), net/ipv4/tcp_ipv4.c and its neighbours. The files show the network namespace of the thread that
opens them, so all of this is called from inside one.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import TYPE_CHECKING

from airgap_check.kernel.sock_diag import Row

if TYPE_CHECKING:
    from collections.abc import Iterable

_HERE = "/proc/thread-self/net/"


def read(name: str) -> list[Row]:
    """Return the sockets of both tables of a protocol: ``tcp`` stands for tcp and tcp6.

    A kernel without IPv6 has no second table, and that is no gap. Raises OSError: FileNotFoundError when there is no
    first table either, EBADMSG for a table that makes no sense.
    """
    with open(_HERE + name, "rb") as file:
        rows = parse(file, socket.AF_INET)
    try:
        with open(_HERE + name + "6", "rb") as file:
            return rows + parse(file, socket.AF_INET6)
    except FileNotFoundError:
        return rows


def read_packet() -> list[Row]:
    """Return the packet sockets; raises FileNotFoundError where the kernel has none."""
    with open(_HERE + "packet", "rb") as file:
        return parse_packet(file)


def local_port_range() -> range:
    """Return the ports that the kernel picks from when nobody asked for one (ip(7)); raises OSError."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", "rb") as file:
        words = file.read(64).split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise OSError(errno.EBADMSG, "the range of local ports makes no sense")
    return range(int(words[0]), int(words[1]) + 1)


def sockets_in_use() -> dict[str, int]:
    """Return how many sockets of each protocol this namespace holds, by the kernel's name of the protocol."""
    with open(_HERE + "protocols", "rb") as file:
        return parse_protocols(file)


def parse(lines: Iterable[bytes], family: int) -> list[Row]:
    """Parse a table of TCP, UDP, raw or ICMP sockets, its heading first; raises OSError (EBADMSG) for nonsense.

    The columns: slot, local and remote address:port in hexadecimal, state, queues, timer, retransmits, uid, timeout,
    inode, and more that differs. Rows that the kernel lists twice while it walks are one.
    """
    found: dict[Row, None] = {}
    try:
        for line in _below_heading(lines):
            fields = line.split(None, 10)
            local, local_port = _end(fields[1], family)
            remote, remote_port = _end(fields[2], family)
            state, uid, inode = int(fields[3], 16), int(fields[7]), int(fields[9])
            found[Row(family, state, local, local_port, remote, remote_port, uid, inode)] = None
    except (ValueError, IndexError, struct.error) as error:
        raise OSError(errno.EBADMSG, "a table of sockets makes no sense") from error
    return list(found)


def _end(text: bytes, family: int) -> tuple[bytes, int]:
    """Parse ``0100007F:1F90``: 32-bit words in the byte order of the host, the port as people write it."""
    words, _, port = text.partition(b":")
    packed = bytes.fromhex(words.decode("ascii"))
    size = 4 if family == socket.AF_INET else 16
    if len(packed) != size:
        raise ValueError(words)
    if sys.byteorder == "little":
        packed = struct.pack(f"<{size // 4}I", *struct.unpack(f">{size // 4}I", packed))
    return packed, int(port, 16)


def parse_packet(lines: Iterable[bytes]) -> list[Row]:
    """Parse the table of packet sockets; the ethertype stands in ``local_port``, the interface in ``remote_port``.

    The columns: address, references, type, ethertype in hexadecimal, interface, running, memory, uid, inode.
    """
    rows = []
    try:
        for line in _below_heading(lines):
            fields = line.split()
            ethertype, interface, uid, inode = int(fields[3], 16), int(fields[4]), int(fields[7]), int(fields[8])
            rows.append(Row(socket.AF_PACKET, 0, b"", ethertype, b"", interface, uid, inode))
    except (ValueError, IndexError) as error:
        raise OSError(errno.EBADMSG, "the table of packet sockets makes no sense") from error
    return rows


def parse_protocols(lines: Iterable[bytes]) -> dict[str, int]:
    """Parse /proc/net/protocols: the name is the first column, the sockets in use the third."""
    found = {}
    for line in _below_heading(lines):
        fields = line.split(None, 3)
        if len(fields) > 2 and fields[2].isdigit():
            found[fields[0].decode("ascii", "replace")] = int(fields[2])
    return found


def _below_heading(lines: Iterable[bytes]) -> Iterable[bytes]:
    iterator = iter(lines)
    next(iterator, None)
    return (line for line in iterator if line.strip())
