"""System calls that Python 3.11 has no name for: joining a namespace, copying a descriptor of another process."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_SYS_PIDFD_GETFD = 438  # one number on every architecture (include/uapi/asm-generic/unistd.h)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _fail() -> OSError:
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread, and it alone, into a namespace (setns(2)); raises OSError."""
    if _libc().setns(descriptor, kind) != 0:
        raise _fail()


def pidfd_getfd(pidfd: int, descriptor: int) -> int:
    """Return our own copy of another process's descriptor, close-on-exec (pidfd_getfd(2)); raises OSError."""
    copy = int(_libc().syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0))
    if copy < 0:
        raise _fail()
    return copy
