"""Finds a file below another process's root without leaving it, and without waking a dead network file system.

The kernel may not walk a path for us: it would follow a symlink into a mount whose server is dead, and wait for ever.
So every step is taken by hand, and only after a look at the mount that it leads to.
Source: path_resolution(7), proc_pid_mountinfo(5), proc_pid_fdinfo(5).
"""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

_MOUNTINFO_LIMIT = 4 << 20
_LINKS = 40  # MAXSYMLINKS
_ACL = "system.posix_acl_access"
_REMOTE = frozenset({
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "9p", "gfs2", "ocfs2", "lustre",
    "gpfs", "beegfs", "orangefs", "pvfs2", "glusterfs", "autofs", "davfs", "vboxsf", "acfs", "panfs", "wekafs",
})  # fmt: skip
O_PATH = getattr(os, "O_PATH", 0)  # Linux only; elsewhere there is no /proc either, but the module must load
_LOCATE = O_PATH | os.O_CLOEXEC


class RefusedFileError(OSError):
    """A file that we do not touch, and why: it may hang us, or opening it may do something."""


class Mount(NamedTuple):
    """One line of mountinfo: the kernel's id of the mount, where it is, its file system, the mount it is made on.

    ``root`` is the part of the file system that is mounted; device, ``source`` and ``options`` tell which one it is.
    """

    id: int
    point: str
    type: str
    parent: int = 0
    device: str = ""
    root: str = "/"
    source: str = ""
    options: str = ""

    def is_remote(self) -> bool:
        """Tell whether reading may wait for another machine or for a user's program (network, FUSE)."""
        return self.type in _REMOTE or self.type.partition(".")[0] in {"fuse", "fuseblk"}


def mounts(pid: int) -> list[Mount]:
    """Return the mounts that a process sees, below its own root, in the order they were made."""
    with open(f"/proc/{pid}/mountinfo", "rb") as file:
        data = file.read(_MOUNTINFO_LIMIT + 1)
    if len(data) > _MOUNTINFO_LIMIT:  # anybody may make 100,000 mounts in a namespace of his own
        raise RefusedFileError(errno.EFBIG, f"more than {_MOUNTINFO_LIMIT} bytes of mounts")
    return parse(data)


def parse(data: bytes) -> list[Mount]:
    """Return the mounts that mountinfo lists; a malformed line is no mount."""
    found = []
    for line in os.fsdecode(data).split("\n"):  # a name may hold whatever else Python ends lines at
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and fields[0].isdecimal() and fields[1].isdecimal():
            kind, source, options = [*after.split(" ", 2), "", ""][:3]
            device, root, point = (_unescape(field) for field in fields[2:5])
            found.append(Mount(int(fields[0]), point, kind, int(fields[1]), device, root, _unescape(source), options))
    return found


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


class Place(NamedTuple):
    """Where a walk is: an O_PATH descriptor, its mount, and its path below the root ("" for the root itself)."""

    descriptor: int
    mount: Mount
    path: str


class Step(NamedTuple):
    """One entry that a walk went through, and the folder that calls it so, as stat(2) describes them.

    ``fixed`` tells that nobody can put another in its place, since a mount covers it or the folder is read-only;
    ``acl`` that the folder has an access control list.
    """

    path: str
    entry: os.stat_result
    folder: os.stat_result
    fixed: bool
    acl: bool


def locate(pid: int, path: str) -> int:
    """Return an O_PATH descriptor of a path as the process itself would find it; the caller closes it.

    Raises OSError, and RefusedFileError for what lies on, or is reached through, a network or FUSE file system.
    """
    return follow(pid, path).descriptor


def follow(pid: int, path: str, steps: list[Step] | None = None) -> Place:
    """Return where a path really leads, as `locate`; what lies on the way is added to ``steps``."""
    if "\0" in path:
        raise RefusedFileError(errno.EINVAL, "no file has such a name", path)
    table = _Table(mounts(pid), path)
    table.check_root()
    root = os.open(f"/proc/{pid}/root", _LOCATE | os.O_DIRECTORY)
    try:
        return _walk(root, path, table, steps)
    finally:
        os.close(root)


def identity(pid: int, path: str) -> tuple[int, int]:
    """Return device and inode of a file or folder as a process finds it; raises as `locate`."""
    located = locate(pid, path)
    try:
        status = os.fstat(located)
    finally:
        os.close(located)
    return status.st_dev, status.st_ino


def real(pid: int, path: str) -> str:
    """Return a path without symlinks, below the root of the process; raises as `locate`."""
    place = follow(pid, path)
    os.close(place.descriptor)
    return place.path or "/"


class _Table:
    """The mounts that a walk may come to; ``path`` is what is being looked for, for the sake of the error."""

    def __init__(self, listed: list[Mount], path: str) -> None:
        self._by_id = {mount.id: mount for mount in listed}
        self._made_on = {(mount.parent, mount.point): mount for mount in listed}
        self._roots = [mount for mount in listed if mount.point == "/"]
        self._path = path

    def check_root(self) -> None:
        """Refuse a root that may hang, before it is opened: even that asks an NFS server (d_weak_revalidate)."""
        self._refuse_remote(self._roots[-1] if self._roots else None)

    def check_step(self, mount: int, point: str) -> None:
        """Refuse a step from a mount onto a path where another one, or a pile of them, is mounted that may hang."""
        top, height = mount, 0
        while (mounted := self._made_on.get((top, point))) and height < len(self._by_id):
            top, height = mounted.id, height + 1
        if height:
            self._refuse_remote(self._by_id[top])

    def arrive(self, descriptor: int) -> Mount:
        """Return the mount that a step has led to; a second look, since mounts come and go."""
        mount = self._by_id.get(_mount_id(descriptor))
        self._refuse_remote(mount)
        assert mount
        return mount

    def _refuse_remote(self, mount: Mount | None) -> None:
        if mount is None:
            raise RefusedFileError(errno.EXDEV, "on a mount that the process does not list", self._path)
        if mount.is_remote():
            raise RefusedFileError(errno.EREMOTE, f"on a {mount.type} file system, which is not read", self._path)


def _mount_id(descriptor: int) -> int:
    """Return the mount of a descriptor; unlike statfs(2) this asks no server."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        match = re.search(rb"^mnt_id:\s*(\d+)", file.read(), re.MULTILINE)
    return int(match[1]) if match else -1


def _walk(root: int, path: str, table: _Table, steps: list[Step] | None = None) -> Place:
    """Resolve a path component by component, each symlink read and walked below the root again."""
    here: list[Place] = []
    todo, links = _components(path), 0
    try:
        here.append(_arrived(os.dup(root), "", table))
        while todo:
            part = todo.pop()
            if part == "..":
                if len(here) > 1:
                    os.close(here.pop().descriptor)
                continue
            step = _step(here[-1], part, table)
            if steps is not None:
                steps.append(_described(here[-1], step))
            target = _target(step)
            if target is None:
                here.append(step)
                continue
            os.close(step.descriptor)
            links += 1
            if links > _LINKS or step.mount.type == "proc":  # of /proc, /proc/self among them: another one to him
                raise RefusedFileError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                while len(here) > 1:
                    os.close(here.pop().descriptor)
            todo += _components(target)
        return here.pop()
    finally:
        for place in here:
            os.close(place.descriptor)


def _step(place: Place, part: str, table: _Table) -> Place:
    path = f"{place.path}/{part}"
    table.check_step(place.mount.id, path)
    return _arrived(os.open(part, _LOCATE | os.O_NOFOLLOW, dir_fd=place.descriptor), path, table)


def _described(folder: Place, step: Place) -> Step:
    read_only = bool(os.fstatvfs(folder.descriptor).f_flag & os.ST_RDONLY)
    return Step(
        path=step.path,
        entry=os.fstat(step.descriptor),
        folder=os.fstat(folder.descriptor),
        fixed=read_only or step.mount.id != folder.mount.id,
        acl=has_acl(folder.descriptor),
    )


def has_acl(descriptor: int) -> bool:
    """Tell whether an access control list says more than the mode; asked by /proc, since O_PATH has no attributes."""
    try:
        return _ACL in os.listxattr(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False


def _arrived(descriptor: int, path: str, table: _Table) -> Place:
    try:
        return Place(descriptor, table.arrive(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise


def _target(place: Place) -> str | None:
    try:
        return os.readlink("", dir_fd=place.descriptor)
    except OSError:  # ENOENT or EINVAL: not a symlink
        return None


def _components(path: str) -> list[str]:
    """Return the parts of a path, last first, so that popping walks it."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]
