"""The folder that keeps what runs remember: private, ours, and one run at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.input import written_by_others

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT = "/var/lib/airgap-check"
LOCK = "lock"
_PATIENCE = 10.0  # seconds; another run holds the lock for milliseconds
_PAUSE = 0.05
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class StorageError(UsageError):
    """The disk is full or fails; what is remembered is not in doubt."""


def prepare(path: str) -> None:
    """Make the folder, mode 0700, and refuse one that others could have written to. Raises `UsageError`."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        there = os.stat(path)
    except OSError as error:
        raise refusal(path, error) from error
    if there.st_uid != os.geteuid():
        raise UsageError(f"state folder {path}: belongs to another user")
    if there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"state folder {path}: others can write to it")
    if os.geteuid() == 0 and (reason := written_by_others(path)):
        raise UsageError(f"state folder {path}: {reason}")
    if not os.access(path, os.W_OK | os.X_OK) or os.statvfs(path).f_flag & os.ST_RDONLY:
        raise UsageError(f"state folder {path}: cannot be written to")


def refusal(path: str, error: OSError) -> UsageError:
    """Say why a folder cannot be used; a disk that fails is another matter than a folder that is wrong."""
    kind = StorageError if error.errno in _DISK else UsageError
    return kind(f"state folder {path}: {error.strerror}")


@contextmanager
def locked(path: str) -> Iterator[int]:
    """Hold the folder for this run alone; yield the descriptor of its lock.

    Raises `UsageError` where another run does not let go of it.
    """
    until = time.monotonic() + _PATIENCE
    descriptor = _waited(path, until)
    while not os.fstat(descriptor).st_nlink:  # somebody took it for a stale one and deleted it: others hold another
        os.close(descriptor)
        descriptor = _waited(path, until)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _waited(path: str, until: float) -> int:
    name = os.path.join(path, LOCK)
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise refusal(path, error) from error
    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"{name}: is no regular file")
        _wait(descriptor, path, until)
        stack.pop_all()
    return descriptor


def _wait(descriptor: int, path: str, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise UsageError(f"state folder {path}: another run of airgap-check holds it") from None
            time.sleep(_PAUSE)
        except OSError as error:  # a file system that cannot lock, or whose server does not answer
            raise UsageError(f"state folder {path}: cannot be locked: {error.strerror}") from error
        else:
            return
