"""Files that we are given by name: regular, bounded, and whether others than root could have written them."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_LIMIT = 1 << 20  # bytes; a policy of 10,000 entries is half of that
_MOST_LINKS = 40  # as the kernel's own limit, path_resolution(7)


def read_bytes(path: str, limit: int = SIZE_LIMIT) -> bytes:
    """Return a regular file's bytes. Raises `UsageError` with one line for a person."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if len(content) > limit:
        raise UsageError(f"{path}: larger than {limit:,} bytes")
    return content


def open_regular(path: str, flags: int) -> int:
    """Open a regular file for `open`; a pipe nobody writes to must not hold us up. Raises OSError."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is a directory" if stat.S_ISDIR(kind) else "not a regular file")
    return descriptor


def written_by_others(path: str, owner: int = 0) -> str:
    """Return why a file is not root's alone, or that of one other owner, or nothing.

    Whoever can write to any folder on the way, or owns a link that is followed, chooses what is read; a sticky folder
    protects what root has put into it. Raises OSError when the file has gone.
    """
    for here in _way_to(os.path.abspath(path), _MOST_LINKS):
        there = os.lstat(here)
        if there.st_uid not in {0, owner}:
            return f"{here} belongs to uid {there.st_uid}"
        writable = there.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if writable and not stat.S_ISLNK(there.st_mode) and not there.st_mode & stat.S_ISVTX:
            return f"others can write to {here}"
    return ""


def _way_to(path: str, links: int) -> Iterator[str]:
    """Yield every folder, link and file that leads to an absolute path, link targets included."""
    here = "/"
    yield here
    for part in path.split("/"):
        if not part:
            continue
        here = os.path.join(here, part)
        yield here
        if links and os.path.islink(here):
            yield from _way_to(os.path.join(os.path.dirname(here), os.readlink(here)), links - 1)
