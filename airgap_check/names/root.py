"""Reads configuration files below a root: our own, or that of another process."""

from __future__ import annotations

import errno
import os
from itertools import islice
from typing import Protocol

from airgap_check.kernel import foreign_path, procfs

LIMIT = 1 << 22  # a configuration with a block list of domains has megabytes
_ENTRIES = 1024


class Root(Protocol):
    """A place below which absolute paths are looked up."""

    def read(self, path: str, limit: int = LIMIT) -> str:
        """Return the text of a file; raises OSError, with EFBIG above ``limit`` bytes."""

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a folder; raises OSError, with EFBIG when there are too many."""


class ProcessRoot:
    """Files as one process sees them, through its mounts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def read(self, path: str, limit: int = LIMIT) -> str:
        """Return the text of a file; what is not a regular file reads as empty.

        A link to /dev/null is the documented way to mask a drop-in of systemd.
        """
        try:
            return procfs.read_in_root(self._pid, path, limit).decode(errors="replace")
        except foreign_path.RefusedFileError as error:
            if error.errno == errno.EINVAL:
                return ""
            raise

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a folder."""
        located = foreign_path.locate(self._pid, path)
        try:
            with os.scandir(f"/proc/self/fd/{located}") as entries:
                names = [entry.name for entry in islice(entries, _ENTRIES + 1)]
        finally:
            os.close(located)
        if len(names) > _ENTRIES:
            raise OSError(errno.EFBIG, f"more than {_ENTRIES} files", path)
        return sorted(names)


class FolderRoot:
    """Files below a folder that the caller trusts: our own root."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read(self, path: str, limit: int = LIMIT) -> str:
        """Return the text of a file."""
        with open(f"{self._folder}/{path}", "rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
        return content.decode(errors="replace")

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a folder."""
        return sorted(os.listdir(f"{self._folder}/{path}"))


def read_or_empty(root: Root, path: str, limit: int = LIMIT) -> str:
    """Return the text of a file; empty when there is none. Other errors are the caller's."""
    try:
        return root.read(path, limit)
    except (FileNotFoundError, NotADirectoryError):
        return ""


def names_or_none(root: Root, path: str) -> list[str]:
    """Return the names in a folder; none when there is no such folder. Other errors are the caller's."""
    try:
        return root.names(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
