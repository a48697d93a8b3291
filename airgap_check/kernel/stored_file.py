"""A regular file as one process has it: where it really lies, who may write it, and what its mount allows.

Source: path_resolution(7), access(2), capabilities(7), statvfs(3), acl(5).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.kernel import foreign_path, procfs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airgap_check.kernel.foreign_path import Mount, Place, Step

_CAP_DAC_OVERRIDE = 1 << 1
_BLOCK = 1 << 20
_LARGEST = 1 << 30  # bytes; more is no artifact
LAYERS = "overlay"  # what the name of a place among the layers of an image begins with
_NOBODY = -1  # the user of whom only what others may do is true


class StoredFile(NamedTuple):
    """What is known of a file. ``place`` tells its real path apart from any other, on whichever host it is mounted.

    ``changed`` is when its content, its owner or mode, or a link that leads to it was last changed, in seconds since
    the epoch. ``identity`` is its device and inode.
    """

    place: str
    identity: tuple[int, int]
    changed: float
    mount_writable: bool
    writable: Literal["yes", "no", "root", "unknown"]
    how: str


def examine(pid: int, path: str) -> StoredFile:
    """Look at a regular file as a process finds it. Raises as `procfs.open_in_root`."""
    steps: list[Step] = []
    found = foreign_path.follow(pid, path, steps)
    try:
        there = os.fstat(found.descriptor)
        if not stat.S_ISREG(there.st_mode):
            raise foreign_path.RefusedFileError(errno.EINVAL, "not a regular file")
        system = os.fstatvfs(found.descriptor)
        read_only = bool(system.f_flag & os.ST_RDONLY)
        acl = foreign_path.has_acl(found.descriptor)
    finally:
        os.close(found.descriptor)
    links = [step.entry.st_ctime for step in steps if stat.S_ISLNK(step.entry.st_mode)]
    may, how = _may_write(pid, _Target(there, read_only, acl), steps)
    return StoredFile(
        place=_place(found, system.f_fsid),
        identity=(there.st_dev, there.st_ino),
        changed=max(there.st_mtime, there.st_ctime, *links),
        mount_writable=not read_only,
        writable=may,
        how=how,
    )


def paths(place: str) -> Iterator[str]:
    """Yield where a place is to be found from here, whatever the process called it that it was seen in."""
    for mount in foreign_path.mounts(os.getpid()):
        if mount.is_remote():
            continue
        try:
            number = os.statvfs(mount.point).f_fsid
        except OSError:
            continue
        root = f"{_volume(mount, number)}:{mount.root.rstrip('/')}"
        if place.startswith(f"{root}/"):
            yield mount.point.rstrip("/") + place.removeprefix(root)
        elif place == root:
            yield mount.point


def _place(found: Place, number: int) -> str:
    """Name a path of a file system so that no other mount of it, no restart, and no new folder gives it another name.

    A new release in a folder of the same name is at the same place; a link that now leads elsewhere leads to another.
    """
    mount = found.mount
    below = found.path.removeprefix(mount.point.rstrip("/"))
    return f"{_volume(mount, number)}:{mount.root.rstrip('/')}{below}"


def _volume(mount: Mount, number: int) -> str:
    """Name a file system by what it is made of.

    One that is made of nothing has only its device, which the next one may be given, and the number that it calls
    itself by (f_fsid): a random one since Linux 5.13 (mm/shmem.c).
    """
    if mount.type == "overlay":  # the layers of an image: the same path in two containers is two places
        options = dict(option.partition("=")[::2] for option in mount.options.split(","))
        return f"{LAYERS} {options.get('upperdir') or options.get('lowerdir') or mount.device}"
    if not mount.source.startswith("/") and mount.type != "zfs":
        return f"{mount.type} {mount.device} {number:x}"
    try:
        with open(f"/sys/dev/block/{mount.device}/loop/backing_file", encoding="utf-8", errors="replace") as file:
            return file.read().strip()  # an image of a release that is mounted is not what was mounted there before
    except OSError:
        return mount.source


def digest(pid: int, path: str) -> str:
    """Return the SHA-256 of a file as a process finds it, in hexadecimal; raises as `procfs.open_in_root`, or EFBIG."""
    descriptor = procfs.open_in_root(pid, path)
    with open(descriptor, "rb", buffering=0) as file:
        if os.fstat(descriptor).st_size > _LARGEST:
            raise OSError(errno.EFBIG, f"larger than {_LARGEST} bytes", path)
        found, left = hashlib.sha256(), _LARGEST
        while left > 0 and (block := file.read(_BLOCK)):
            found.update(block)
            left -= len(block)
    return found.hexdigest()


def is_remote(pid: int, path: str) -> bool | None:
    """Tell whether a path, or the folder that it would be made in, lies on a network or FUSE file system.

    None where there is neither. Raises OSError where that may not be looked at.
    """
    while True:
        try:
            os.close(foreign_path.locate(pid, path))
        except foreign_path.RefusedFileError as error:
            if error.errno == errno.EREMOTE:
                return True
            raise
        except (FileNotFoundError, NotADirectoryError):
            if path in {"/", ""}:
                return None
            path = os.path.dirname(path)
        else:
            return False


class _Target(NamedTuple):
    """The file itself: what stat(2) says, whether its mount is read-only, whether it has an access control list."""

    stat: os.stat_result
    read_only: bool
    acl: bool


def _may_write(pid: int, target: _Target, steps: Sequence[Step]) -> tuple[Literal["yes", "no", "root", "unknown"], str]:
    """Tell whether a process may change a file, or put another in the place of it, of a folder or link on the way."""
    try:
        status = procfs.read(pid, "status").decode(errors="replace")
    except OSError:
        return "unknown", "who runs it cannot be told"
    facts = dict(line.split(":\t", 1) for line in status.split("\n") if ":\t" in line)
    uid = int(facts["Uid"].split()[1])
    groups = {int(facts["Gid"].split()[1]), *map(int, facts.get("Groups", "").split())}
    if uid == 0 or int(facts.get("CapEff", "0"), 16) & _CAP_DAC_OVERRIDE:
        # No mode keeps root out; but what anybody may write is no better because root runs it.
        how = _way_in(target, steps, _NOBODY, frozenset(), "anybody")
        return ("yes", how) if how else ("root", "it runs as root, or with CAP_DAC_OVERRIDE")
    how = _way_in(target, steps, uid, groups, "its user")
    if how:
        return "yes", how
    doubt = (target.acl and not target.read_only and target.stat.st_mode & stat.S_IWGRP) or any(
        step.acl and not step.fixed and step.folder.st_mode & stat.S_IWGRP for step in steps
    )  # the group bits are the most that a list may give (acl(5), the mask entry)
    return ("unknown", "access control lists are not read") if doubt else ("no", "")


def _way_in(target: _Target, steps: Sequence[Step], uid: int, groups: Collection[int], who: str) -> str:
    """Say how somebody could write a file or replace it, "" where he cannot."""
    if not target.read_only:
        if target.stat.st_uid == uid:
            return f"{who} owns the file, and may change its mode"
        if _writes(target.stat, uid, groups):
            return f"{who} may write the file"
    for step in reversed(steps):
        sticky = step.folder.st_mode & stat.S_ISVTX and uid not in {step.entry.st_uid, step.folder.st_uid}
        owned = step.folder.st_uid == uid
        if not step.fixed and (owned or (_writes(step.folder, uid, groups) and not sticky)):
            return f"{who} may put something else in the place of {step.path}"
    return ""


def _writes(there: os.stat_result, uid: int, groups: Collection[int]) -> bool:
    """Apply the mode bits: of owner, group and others the first that fits decides."""
    if there.st_uid == uid:
        return bool(there.st_mode & stat.S_IWUSR)
    if there.st_gid in groups:
        return bool(there.st_mode & stat.S_IWGRP)
    return bool(there.st_mode & stat.S_IWOTH)


def started(pid: int) -> float | None:
    """Return when a process had started, in seconds since the epoch, at the end of that tick; None when it has gone.

    Who writes a file and then starts what reads it may do both within one tick, and that is no change. What psutil says
    is wrong by up to a second, as is the time of the boot in /proc/stat that it rests on.
    """
    ticks = procfs.start_ticks(pid)
    booted = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
    return None if ticks is None else booted + (ticks + 1) * procfs.TICK / 1e9
