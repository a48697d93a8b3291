"""System calls that Python 3.11 has no name for: joining namespaces, who owns them, another process's descriptors."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_SYS_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272, "ppc64le": 354, "s390x": 343}
_KCMP_FILES = 2  # include/uapi/linux/kcmp.h
_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704  # include/uapi/linux/nsfs.h
_SYS_PIDFD_GETFD = 438  # one number on every architecture (include/uapi/asm-generic/unistd.h)


@lru_cache(maxsize=1)
def libc() -> ctypes.CDLL:
    """Return the C library; what a call failed of is ``ctypes.get_errno()``."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """Return what a call of the C library returned; raises OSError where that is less than 0."""
    if result < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep signals from the calling thread; they are met a moment later (pthread_sigmask(3))."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread, and it alone, into a namespace (setns(2)); raises OSError."""
    check(libc().setns(descriptor, kind))


def pidfd_getfd(pidfd: int, descriptor: int) -> int:
    """Return our own copy of another process's descriptor, close-on-exec (pidfd_getfd(2)); raises OSError."""
    return check(libc().syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0))


def share_files(thread: int, other: int) -> bool:
    """Tell whether two threads have one table of descriptors (kcmp(2), KCMP_FILES).

    Raises OSError: EPERM where we may not know, ENOSYS where the kernel cannot tell, or we not ask it.
    """
    number = _SYS_KCMP.get(os.uname().machine) if sys.maxsize > 1 << 32 else None
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return check(libc().syscall(number, thread, other, _KCMP_FILES, 0, 0)) == 0


def owning_namespace(namespace: int) -> int:
    """Return a descriptor of the user namespace that owns a namespace (ioctl_nsfs(2)).

    Raises OSError: PermissionError when that one is outside of ours.
    """
    return fcntl.ioctl(namespace, _NS_GET_USERNS)


def owner_uid(namespace: int) -> int:
    """Return the user who made a user namespace, as we know him (ioctl_nsfs(2)); raises OSError."""
    uid = bytearray(4)
    fcntl.ioctl(namespace, _NS_GET_OWNER_UID, uid)
    return int.from_bytes(uid, sys.byteorder)
