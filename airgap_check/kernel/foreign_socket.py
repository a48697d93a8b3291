"""Asks a socket that another process holds what it is: our copy of it lives for a few system calls.

Source: pidfd_getfd(2), socket(7), include/uapi/asm-generic/socket.h.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from typing import NamedTuple

from airgap_check.kernel import syscalls

_PIDFD_THREAD = os.O_EXCL  # include/uapi/linux/pidfd.h, since Linux 6.9
_SO_COOKIE, _SO_NETNS_COOKIE = 57, 71
_CLOSED = 7  # TCP_CLOSE, include/net/tcp_states.h


class Kind(NamedTuple):
    """What a socket is: AF_, SOCK_ and IPPROTO_ numbers; ``cookie`` is that of its network namespace, 0: not known.

    ``number`` is the socket's own cookie, by which sock_diag(7) knows it; 0 where the kernel gives none.
    ``is_begun`` is set for a TCP socket of which the kernel makes no new connection: it is at one, or has the failure
    of the last one to tell first.
    """

    family: int
    type: int
    protocol: int
    cookie: int = 0
    number: int = 0
    is_begun: bool = False


def ask(tid: int, pid: int, descriptor: int) -> Kind | None:
    """Say what a thread's descriptor is; None for one that is no socket. Raises OSError where we may not know.

    A thread may have descriptors of its own; before Linux 6.9 those of its process are asked.
    """
    try:
        process = os.pidfd_open(tid, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        process = os.pidfd_open(pid)
    try:
        copy = syscalls.pidfd_getfd(process, descriptor)
    except OSError as error:
        if error.errno == errno.EBADF:
            return None
        raise
    finally:
        os.close(process)
    return _kind(copy)


def _kind(copy: int) -> Kind | None:
    try:
        held = socket.socket(fileno=copy)  # it asks for the three by itself
    except OSError:
        os.close(copy)
        return None
    with held:
        return Kind(
            held.family,
            held.type,
            held.proto,
            _cookie(held, _SO_NETNS_COOKIE),
            _cookie(held, _SO_COOKIE),
            _is_begun(held),
        )


def _cookie(held: socket.socket, option: int) -> int:
    try:
        return int.from_bytes(held.getsockopt(socket.SOL_SOCKET, option, 8), sys.byteorder)
    except OSError:  # before Linux 4.12, and that of the namespace before 5.14
        return 0


def _is_begun(held: socket.socket) -> bool:
    """Tell from the state, and from a waiting error, which to read would take it from its owner (tcp(7), poll(2))."""
    if held.type != socket.SOCK_STREAM:
        return False
    try:
        state = held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return False
    poll = select.poll()
    poll.register(held, 0)
    return state != _CLOSED or any(happened & select.POLLERR for _, happened in poll.poll(0))
