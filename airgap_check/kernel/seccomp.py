"""Speaks to the kernel about the calls that a seccomp filter tells of: hears of each, lets it go on or refuses it.

Source: seccomp(2), seccomp_unotify(2), include/uapi/linux/seccomp.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

from airgap_check.kernel.seccomp_filter import MACHINES, CallName, Machine
from airgap_check.kernel.syscalls import libc

_GET_ACTION_AVAIL, _GET_NOTIF_SIZES = 2, 3  # SECCOMP_
_USER_NOTIF = 0x7FC00000  # SECCOMP_RET_
_OLDEST = 5, 5  # SECCOMP_USER_NOTIF_FLAG_CONTINUE came with it
_NOTICE = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif with struct seccomp_data in it
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_
# Before Linux 5.17 the number of ID_VALID had the wrong direction in it; every kernel still knows that one.
_ID_VALID, _SET_FLAGS, _WAKE_HERE = 0x80082102, 0x40082104, 1
_TARGET_GONE = frozenset({errno.ENOENT, errno.EINTR})


class UnsupportedError(OSError):
    """This kernel cannot tell of calls; ``strerror`` is one line that says why."""


class Notice(NamedTuple):
    """A call that waits: its number here, the thread (0: not of our pid namespace), the call and its arguments."""

    id: int
    tid: int
    call: CallName
    arguments: tuple[int, ...]


class Kernel(NamedTuple):
    """What this kernel can do: the machine, and how many bytes it wants for a notice and for an answer."""

    machine: Machine
    notice: int
    answer: int


def kernel() -> Kernel:
    """Say what this kernel can do; raises UnsupportedError."""
    import ctypes

    machine = MACHINES.get(os.uname().machine) if sys.maxsize > 1 << 32 else None
    if machine is None:
        raise UnsupportedError(errno.ENOSYS, f"no filter is known for the machine {os.uname().machine}")
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit())
    if release < _OLDEST:
        raise UnsupportedError(errno.ENOSYS, f"Linux {os.uname().release} is older than 5.5")
    action, sizes = ctypes.c_uint32(_USER_NOTIF), (ctypes.c_uint16 * 3)()
    if (
        libc().syscall(machine.seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(action)) != 0
        or libc().syscall(machine.seccomp, _GET_NOTIF_SIZES, 0, ctypes.byref(sizes)) != 0
    ):
        number = ctypes.get_errno()
        raise UnsupportedError(number, f"seccomp was refused: {os.strerror(number)}")
    return Kernel(machine, max(sizes[0], _NOTICE.size), max(sizes[1], _ANSWER.size))


class Listener:
    """The supervisor's end of a filter; it owns the descriptor. The calls of whoever lives on after `close` fail."""

    def __init__(self, descriptor: int, at: Kernel) -> None:
        self._descriptor, self._kernel = descriptor, at
        self._receive, self._send = (0xC0002100 | at.notice << 16), (0xC0002101 | at.answer << 16)
        with suppress(OSError):  # since Linux 6.6: whoever waits for an answer is run where it was given
            fcntl.ioctl(descriptor, _SET_FLAGS, _WAKE_HERE)

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a call waits, and hung up when nobody is left to call."""
        return self._descriptor

    def receive(self) -> Notice | None:
        """Take the call that has waited longest; None when it has gone."""
        buffer = bytearray(self._kernel.notice)
        try:
            fcntl.ioctl(self._descriptor, self._receive, buffer)
        except OSError as error:
            if error.errno in _TARGET_GONE:
                return None
            raise
        number, tid, _, call, _, _, *arguments = _NOTICE.unpack_from(buffer)
        return Notice(number, tid, self._kernel.machine.calls[call], tuple(arguments))

    def is_waiting(self, notice: Notice) -> bool:
        """Tell whether the call still waits, so that the thread is the very one, and what we read of it was its own."""
        try:
            fcntl.ioctl(self._descriptor, _ID_VALID, notice.id.to_bytes(8, sys.byteorder))
        except OSError as error:
            if error.errno in _TARGET_GONE:
                return False
            raise
        return True

    def proceed(self, notice: Notice) -> bool:
        """Let the call go on as if nobody had asked; False when nobody waits for it any more."""
        return self._answer(notice, 0, _CONTINUE)

    def refuse(self, notice: Notice, number: int) -> bool:
        """Let the call fail with this errno; False when nobody waits for it any more."""
        return self._answer(notice, -number, 0)

    def _answer(self, notice: Notice, result: int, flags: int) -> bool:
        answer = _ANSWER.pack(notice.id, 0, result, flags).ljust(self._kernel.answer, b"\0")
        try:
            fcntl.ioctl(self._descriptor, self._send, answer)
        except OSError as error:
            if error.errno in _TARGET_GONE:
                return False
            raise
        return True

    def close(self) -> None:
        """Close it; may be called more than once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
