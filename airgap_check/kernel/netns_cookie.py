"""Asks for the cookie of a network namespace: the number that eBPF programs know it by, never given twice in one boot.

Source: include/uapi/asm-generic/socket.h (SO_NETNS_COOKIE, since Linux 5.14).
"""

from __future__ import annotations

import socket
import sys

_SO_NETNS_COOKIE = 71


def read() -> int:
    """Return the cookie of the calling thread's network namespace; raises OSError where the kernel does not tell.

    The socket that is asked is a UNIX socket without a name: it reaches nobody.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        return int.from_bytes(asked.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
