"""A regular file as one process has it: where it really lies, who may write it, and what its mount allows.

Source: path_resolution(7), access(2), capabilities(7), statvfs(3), acl(5).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from typing import Literal, NamedTuple

from airgap_check.kernel import foreign_path, procfs

_CAP_DAC_OVERRIDE = 1 << 1
_BLOCK = 1 << 20
_LARGEST = 1 << 30  # bytes; more is no artifact
_ACL = "system.posix_acl_access"


class StoredFile(NamedTuple):
    """What is known of a file. ``place`` tells it apart from any other path: its folder's identity, and its name.

    ``changed`` is when its content, or what the folder calls it, was last changed, in seconds since the epoch.
    """

    place: str
    changed: float
    mount_writable: bool
    writable: Literal["yes", "no", "root", "unknown"]
    how: str


def examine(pid: int, path: str) -> StoredFile:
    """Look at a regular file as a process finds it. Raises as `procfs.open_in_root`."""
    descriptor = procfs.open_in_root(pid, path)
    try:
        there = os.fstat(descriptor)
        read_only = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
        folder, name = _folder(pid, descriptor, path)
        acl = _has_acl(descriptor)
    finally:
        os.close(descriptor)
    try:
        above = os.fstat(folder)
        acl = acl or _has_acl_by_path(folder)
    finally:
        os.close(folder)
    may, how = _may_write(pid, there, above, acl=acl)
    return StoredFile(
        place=f"{above.st_dev}:{above.st_ino}/{name}",
        changed=max(there.st_mtime, there.st_ctime),
        mount_writable=not read_only,
        writable="no" if read_only else may,
        how="" if read_only else how,
    )


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


def _folder(pid: int, descriptor: int, path: str) -> tuple[int, str]:
    """Return a descriptor of the folder that a file really lies in, links followed, and its name there."""
    real = os.readlink(f"/proc/self/fd/{descriptor}")
    root = os.readlink(f"/proc/{pid}/root")
    inside = real.removeprefix(root) if root != "/" else real
    for candidate in (inside, path):
        if not candidate.startswith("/"):
            continue
        folder = foreign_path.locate(pid, os.path.dirname(candidate))
        try:
            found = os.stat(os.path.basename(candidate), dir_fd=folder)
            if os.path.samestat(found, os.fstat(descriptor)):
                return folder, os.path.basename(candidate)
        except OSError:
            pass
        os.close(folder)
    raise FileNotFoundError(errno.ENOENT, "it lies in no folder any more", path)


def _has_acl(descriptor: int) -> bool:
    try:
        return _ACL in os.listxattr(descriptor)
    except OSError:
        return False


def _has_acl_by_path(descriptor: int) -> bool:
    """Ask by the path in /proc, since an O_PATH descriptor shows no attributes itself."""
    try:
        return _ACL in os.listxattr(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False


def _may_write(
    pid: int, there: os.stat_result, above: os.stat_result, *, acl: bool
) -> tuple[Literal["yes", "no", "root", "unknown"], str]:
    """Tell whether a process may change a file, or put another in its place; the second needs its folder only."""
    try:
        status = procfs.read(pid, "status").decode(errors="replace")
    except OSError:
        return "unknown", "who runs it cannot be told"
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    uid = int(facts["Uid"].split()[1])
    groups = {int(facts["Gid"].split()[1]), *map(int, facts.get("Groups", "").split())}
    if uid == 0 or int(facts.get("CapEff", "0"), 16) & _CAP_DAC_OVERRIDE:
        return "root", "it runs as root, or with CAP_DAC_OVERRIDE"
    if _writes(there, uid, groups):
        return "yes", "its user may write the file"
    if there.st_uid == uid:
        return "yes", "its user owns the file, and may change its mode"
    sticky = above.st_mode & stat.S_ISVTX and uid not in {there.st_uid, above.st_uid}
    if above.st_uid == uid or (_writes(above, uid, groups) and not sticky):
        return "yes", "its user may replace the file in its folder"
    return ("unknown", "access control lists are not read") if acl else ("no", "")


def _writes(there: os.stat_result, uid: int, groups: set[int]) -> bool:
    """Apply the mode bits: of owner, group and others the first that fits decides."""
    if there.st_uid == uid:
        return bool(there.st_mode & stat.S_IWUSR)
    if there.st_gid in groups:
        return bool(there.st_mode & stat.S_IWGRP)
    return bool(there.st_mode & stat.S_IWOTH)


def started(pid: int) -> float | None:
    """Return when a process started, in seconds since the epoch, to a tick; None when it has gone.

    What psutil says is wrong by up to a second, as is the time of the boot in /proc/stat that it rests on.
    """
    ticks = procfs.start_ticks(pid)
    booted = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
    return None if ticks is None else booted + ticks * procfs.TICK / 1e9
