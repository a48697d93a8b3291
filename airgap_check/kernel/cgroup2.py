"""Opens the unified hierarchy of control groups, says what lies below, and finds its groups by their id.

Source: cgroups(7), cgroup_namespaces(7), statfs(2), fsopen(2), open_by_handle_at(2).
"""

from __future__ import annotations

import os
import struct
from functools import partial
from typing import NamedTuple

from airgap_check.errors import AirgapError
from airgap_check.kernel import mountinfo, procfs
from airgap_check.kernel.syscalls import check, libc
from airgap_check.redact import printable

_MAGIC = 0x63677270  # include/uapi/linux/magic.h, CGROUP2_SUPER_MAGIC
_ROOT_INODE = 1  # fs/kernfs: the first node of the hierarchy; a cgroup namespace shows another one on top
_FILEID_KERNFS, _ALL = 0xFE, (1 << 64) - 1  # include/linux/exportfs.h: a handle is the id of the node
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LONGEST_MOUNTINFO = 1 << 26
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432  # one number on every architecture
_FSOPEN_CLOEXEC, _FSCONFIG_CMD_CREATE, _FSMOUNT_CLOEXEC = 1, 6, 1  # include/uapi/linux/mount.h


class NoHierarchyError(AirgapError):
    """There is no control group to attach to; the text is a clause that says why."""


class Root(NamedTuple):
    """The control group below which everything is observed.

    ``descriptor`` is the caller's to close; ``path`` is empty where no mount shows the hierarchy. ``is_whole`` is set
    when it is the root of this host, ``scope`` says in words whose processes are below.
    """

    descriptor: int
    path: str
    is_whole: bool
    scope: str


def open_root(directory: str | None = None) -> Root:
    """Open a directory of the hierarchy, by default the root of it; raises NoHierarchyError."""
    if directory is not None:
        return _chosen(directory)
    descriptor, path = _mounted() or (_detached(), "")
    if os.fstat(descriptor).st_ino == _ROOT_INODE:
        return Root(descriptor, path, is_whole=True, scope="every process of this host")
    return Root(descriptor, path, is_whole=False, scope="the processes of our own cgroup namespace")


def _chosen(directory: str) -> Root:
    shown = printable(directory)
    try:
        descriptor = os.open(directory, _OPEN)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path at all"
        raise NoHierarchyError(f"{shown} cannot be opened: {reason}") from None
    if not _is_cgroup2(descriptor):
        os.close(descriptor)
        raise NoHierarchyError(f"{shown} is not a directory of the unified cgroup hierarchy (cgroup2)")
    if os.fstat(descriptor).st_ino == _ROOT_INODE:
        return Root(descriptor, directory, is_whole=True, scope="every process of this host")
    return Root(descriptor, directory, is_whole=False, scope=f"the processes below {shown}")


def _mounted() -> tuple[int, str] | None:
    """Return the highest place of the hierarchy that a mount of ours shows."""
    try:
        mounts = mountinfo.parse(procfs.read(os.getpid(), "mountinfo", _LONGEST_MOUNTINFO), "cgroup2")
    except OSError:
        return None
    for mount in sorted(mounts, key=lambda mount: mount.root != "/"):
        try:
            descriptor = os.open(mount.point, _OPEN)
        except OSError:
            continue
        if mount.root == "/" and _is_cgroup2(descriptor):  # else something else is mounted over it, or it is a part
            return descriptor, mount.point
        os.close(descriptor)
    return None


def _detached() -> int:
    """Mount the hierarchy where nobody sees it: a host that uses the old hierarchies only has it all the same."""
    opened: list[int] = []

    def call(*arguments: object) -> int:
        try:
            return check(libc().syscall(*arguments))
        except OSError as error:
            reason = f"is not mounted, nor may we: {error.strerror}"
            raise NoHierarchyError(f"the unified cgroup hierarchy (cgroup2) {reason}") from None

    try:
        opened.append(call(_SYS_FSOPEN, b"cgroup2", _FSOPEN_CLOEXEC))
        call(_SYS_FSCONFIG, opened[0], _FSCONFIG_CMD_CREATE, None, None, 0)
        opened.append(call(_SYS_FSMOUNT, opened[0], _FSMOUNT_CLOEXEC, 0))
        return os.open(".", _OPEN, dir_fd=opened[1])
    except OSError as error:
        raise NoHierarchyError(f"the unified cgroup hierarchy (cgroup2) cannot be opened: {error.strerror}") from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _is_cgroup2(descriptor: int) -> bool:
    """Ask the file system itself: in struct statfs the type stands first, a long wherever we run."""
    import ctypes

    answer = ctypes.create_string_buffer(256)
    if libc().fstatfs(descriptor, answer) != 0:
        return False
    return ctypes.c_long.from_buffer(answer).value == _MAGIC


def path_of(root: int, number: int) -> str:
    """Return the path of a cgroup by its id, from the root of the hierarchy; ``root`` is a descriptor of a root.

    Raises OSError as `open_group` does.
    """
    descriptor = open_group(root, number)
    try:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return "/" + path.removeprefix(os.readlink(f"/proc/self/fd/{root}")).lstrip("/")


def pids_of(root: int, number: int) -> list[int]:
    """Return the processes in a cgroup by its id, without those below it; raises OSError as `open_group` does."""
    descriptor = open_group(root, number)
    try:
        with open("cgroup.procs", "rb", opener=partial(os.open, dir_fd=descriptor)) as file:
            return [int(line) for line in file.read().split()]
    finally:
        os.close(descriptor)


def open_group(root: int, number: int) -> int:
    """Open the directory of a cgroup by its id; ``root`` is a descriptor of any directory of the hierarchy.

    Raises OSError: ESTALE when it has gone, EPERM without CAP_DAC_READ_SEARCH (open_by_handle_at(2)).
    """
    import ctypes

    handle = ctypes.create_string_buffer(struct.pack("=IiQ", 8, _FILEID_KERNFS, number & _ALL))
    return check(libc().open_by_handle_at(root, handle, _OPEN))
