"""Reads configuration files below a root: our own, or that of another process."""

from __future__ import annotations

import errno
import os
from itertools import islice
from typing import Literal, Protocol

from airgap_check.kernel import foreign_path, procfs, syscalls

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


class UsersRootError(OSError):
    """Somebody other than root could have chosen the files that a process sees."""


class AdministratorsRoot(ProcessRoot):
    """Files as a process sees them, if nobody but root decided which they are.

    In a user namespace of his own anybody may mount what he likes over /etc/hosts, or chroot below files of his.
    """

    def read(self, path: str, limit: int = LIMIT) -> str:
        """Return the text of a file; raises `UsersRootError` when it is not to be believed."""
        try:
            return super().read(path, limit)
        finally:
            self._confirm()  # only now: the process may move into such a namespace at any time, but never out of it

    def _confirm(self) -> None:
        if not (is_made_by_root(self._pid, "user") and is_made_by_root(self._pid, "mnt")):
            raise UsersRootError(errno.EPERM, "a user made its namespaces")


def is_made_by_root(pid: int, kind: Literal["user", "mnt"]) -> bool:
    """Tell whether the user namespace that a process is in, or that its mounts belong to, is ours or one of root's.

    One outside of ours, which we may not ask about, is the administrator's. Source: ioctl_nsfs(2).
    """
    opened = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)]
    try:
        if kind == "mnt":
            opened.append(syscalls.owning_namespace(opened[0]))
        if os.fstat(opened[-1]).st_ino == os.stat("/proc/self/ns/user").st_ino:
            return True
        return syscalls.owner_uid(opened[-1]) == 0
    except PermissionError:
        return True
    finally:
        for descriptor in opened:
            os.close(descriptor)


class FolderRoot:
    """Files below a folder that the caller trusts: our own root."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read(self, path: str, limit: int = LIMIT) -> str:
        """Return the text of a file."""
        if os.path.exists("/proc/self/mountinfo"):  # a link of our own, too, can lead to a dead network mount
            return ProcessRoot(int(os.readlink("/proc/self"))).read(f"{self._folder}/{path}", limit)
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
