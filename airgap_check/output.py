"""Files that we write: checked before the audit, private, and whole or not there at all."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def check(path: str) -> None:
    """Refuse a destination that could not be written later. Raises `UsageError`."""
    folder = os.path.dirname(path) or "."
    try:
        there = os.stat(folder)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(there.st_mode):
        raise UsageError(f"{path}: {folder} is not a directory")
    if os.geteuid() == 0 and there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"{path}: others can write to {folder}; as root, name a directory that only root can write")
    if os.geteuid() == 0 and there.st_uid != 0:
        raise UsageError(f"{path}: {folder} belongs to another user; as root, name a directory of root")
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise UsageError(f"{path}: cannot write to {folder}")
    try:
        present = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(present.st_mode):
        raise UsageError(f"{path}: exists and is not a regular file")


def create(path: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet, and never over one that is. Raises `UsageError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        whole = False
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            whole = True
        finally:
            if not whole:
                os.unlink(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def write(path: str, parts: Iterable[bytes], *, shared: bool = False) -> None:
    """Write a file of mode 0600 in one step: a temporary of our own beside it, then a rename. Raises `UsageError`.

    One that is ``shared`` may be read by the group that owns its folder, where the folder hands its group on (setgid).
    """
    # Not the pid: in a container it is the same in each run, and what a killed one left would stand in the way.
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        whole = False
        try:
            with open(descriptor, "wb") as file:
                if shared and os.stat(os.path.dirname(path) or ".").st_mode & stat.S_ISGID:
                    os.fchmod(descriptor, 0o640)
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
            whole = True
        finally:
            if not whole:
                os.unlink(temporary)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
