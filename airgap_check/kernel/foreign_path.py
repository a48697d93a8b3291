"""Finds a file below another process's root without leaving it, and without waking a dead network file system.

Source: openat2(2), path_resolution(7), proc_pid_mountinfo(5), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

_SYS_OPENAT2 = 437  # one number on every architecture (include/uapi/asm-generic/unistd.h)
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_MOUNTINFO_LIMIT = 4 << 20
_LINKS = 40  # MAXSYMLINKS
_REMOTE = frozenset({
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "9p", "gfs2", "ocfs2", "lustre",
    "gpfs", "beegfs", "orangefs", "pvfs2", "glusterfs", "autofs", "davfs", "vboxsf", "acfs", "panfs", "wekafs",
})  # fmt: skip
O_PATH = getattr(os, "O_PATH", 0)  # Linux only; elsewhere there is no /proc either, but the module must load
_LOCATE = O_PATH | os.O_CLOEXEC


class RefusedFileError(OSError):
    """A file that we do not touch, and why: it may hang us, or opening it may do something."""


class Mount(NamedTuple):
    """One line of mountinfo: the kernel's id of the mount, where it is, and the type of file system."""

    id: int
    point: str
    type: str

    def is_remote(self) -> bool:
        """Tell whether reading may wait for another machine or for a user's program (network, FUSE)."""
        return self.type in _REMOTE or self.type.partition(".")[0] in {"fuse", "fuseblk"}


def mounts(pid: int) -> list[Mount]:
    """Return the mounts that a process sees, below its own root, in the order they were made."""
    with open(f"/proc/{pid}/mountinfo", "rb") as file:
        data = file.read(_MOUNTINFO_LIMIT + 1)
    if len(data) > _MOUNTINFO_LIMIT:  # anybody may make 100,000 mounts in a namespace of his own
        raise RefusedFileError(errno.EFBIG, f"more than {_MOUNTINFO_LIMIT} bytes of mounts")
    found = []
    for line in os.fsdecode(data).splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and fields[0].isdecimal():
            found.append(Mount(int(fields[0]), _unescape(fields[4]), after.partition(" ")[0]))
    return found


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def locate(pid: int, path: str) -> int:
    """Return an O_PATH descriptor of a path as the process itself would find it; the caller closes it.

    Raises OSError, and RefusedFileError for what lies on a network or FUSE file system. The mount is looked at before
    the path is walked, because the walk itself would hang on a dead server, and again after, because of symlinks.
    """
    if "\0" in path:
        raise RefusedFileError(errno.EINVAL, "no file has such a name", path)
    table = mounts(pid)
    _refuse_remote(_mount_above(path, table), path)
    root = os.open(f"/proc/{pid}/root", _LOCATE | os.O_DIRECTORY)
    try:
        located = _open_in_root(root, path)
    finally:
        os.close(root)
    try:
        number = _mount_id(located)
        _refuse_remote(next((mount for mount in table if mount.id == number), None), path)
    except BaseException:
        os.close(located)
        raise
    return located


def _mount_above(path: str, table: list[Mount]) -> Mount | None:
    target = os.path.normpath("/" + path).replace("//", "/") + "/"
    above = [mount for mount in table if target.startswith(mount.point.rstrip("/") + "/")]
    return max(reversed(above), key=lambda mount: len(mount.point), default=None)  # the last one covers its equals


def _refuse_remote(mount: Mount | None, path: str) -> None:
    if mount is None:
        raise RefusedFileError(errno.EXDEV, "on a mount that the process does not list", path)
    if mount.is_remote():
        raise RefusedFileError(errno.EREMOTE, f"on a {mount.type} file system, which is not read", path)


def _mount_id(descriptor: int) -> int:
    """Return the mount of a descriptor; unlike statfs(2) this asks no server."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        match = re.search(rb"^mnt_id:\s*(\d+)", file.read(), re.MULTILINE)
    return int(match[1]) if match else -1


def _open_in_root(root: int, path: str) -> int:
    """Resolve with openat2(2); by hand where the kernel (before 5.6) or a seccomp filter does not know it."""
    import ctypes

    how = (ctypes.c_uint64 * 3)(_LOCATE, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    located = libc.syscall(_SYS_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if located >= 0:
        return int(located)
    number = ctypes.get_errno()
    if number in {errno.ENOSYS, errno.EPERM}:
        return _walk(root, path)
    raise OSError(number, os.strerror(number), path)


def _walk(root: int, path: str) -> int:
    """Resolve a path component by component, each symlink read and walked below the root again."""
    here = [os.dup(root)]
    todo, links = _components(path), 0
    try:
        while todo:
            part = todo.pop()
            if part == "..":
                if len(here) > 1:
                    os.close(here.pop())
                continue
            found = os.open(part, _LOCATE | os.O_NOFOLLOW, dir_fd=here[-1])
            try:
                target = os.readlink("", dir_fd=found)
            except OSError:  # ENOENT or EINVAL: not a symlink
                here.append(found)
                continue
            os.close(found)
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                while len(here) > 1:
                    os.close(here.pop())
            todo += _components(target)
        return here.pop()
    finally:
        for descriptor in here:
            os.close(descriptor)


def _components(path: str) -> list[str]:
    """Return the parts of a path, last first, so that popping walks it."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]
