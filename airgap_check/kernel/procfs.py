"""Reads what /proc says about processes, and other people's files the way those processes see them.

Paths are never trusted: a process may have planted a symlink out of its root, a FIFO, a device or a dead network mount.
"""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from functools import lru_cache

from airgap_check.evidence.fact import Process
from airgap_check.kernel import foreign_path
from airgap_check.redact import command, printable

TICK = 10_000_000  # nanoseconds: /proc counts in hundredths of a second on every architecture (USER_HZ)
_CHUNK = 1 << 16
_COMMAND_LENGTH = 512
_ARGUMENTS, _ARGUMENT_LENGTH = 64, 4096  # enough for those 512 characters; a command line may have megabytes
_HIDING = frozenset({"hidepid=2", "hidepid=invisible", "hidepid=4", "hidepid=ptraceable"})
_CAP_SYS_PTRACE = 1 << 19  # include/uapi/linux/capability.h
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # include/linux/proc_ns.h, PROC_PID_INIT_INO
_PF_KTHREAD = 0x00200000  # include/linux/sched.h


def check() -> None:
    """Raise OSError, and say why, where /proc is not what our own process ids mean anything to."""
    try:
        us = os.readlink("/proc/self")
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "/proc is not mounted, or is of another PID namespace") from None
    if us != str(os.getpid()):
        raise OSError(errno.ESRCH, "/proc is of another PID namespace")


def pids() -> list[int]:
    """Return the process ids that /proc lists, sorted."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def read(pid: int, name: str, limit: int = 1 << 20) -> bytes:
    """Return the whole of /proc/PID/name.

    Raises FileNotFoundError or ProcessLookupError when the process has vanished, PermissionError when we may not look,
    and OSError with EFBIG when there are more than ``limit`` bytes: half a file must not pass for all of it.
    """
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read_all(descriptor, limit)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, limit: int) -> bytes:
    parts, size = [], 0
    while part := os.read(descriptor, _CHUNK):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes")
    return b"".join(parts)


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on (proc_pid_stat(5), field 3); the name may hold anything."""
    return read(pid, "stat").rpartition(b")")[2].split()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in ticks of `TICK` after boot (field 22); None when it has gone."""
    try:
        return int(_stat_fields(pid)[19])
    except (OSError, IndexError, ValueError):
        return None


def is_kernel_thread(pid: int) -> bool:
    """Tell whether a process is a thread of the kernel: it has no environment, no files, no program."""
    try:
        return bool(int(_stat_fields(pid)[6]) & _PF_KTHREAD)
    except (OSError, IndexError, ValueError):
        return False


def is_zombie(pid: int) -> bool:
    """Tell whether a process is dead and only waits for its parent, or has vanished.

    One whose first thread alone has ended looks dead too, but its other threads run on.
    """
    try:
        return _stat_fields(pid)[0] in {b"Z", b"X"} and living_thread(pid) is None
    except PermissionError:
        return False
    except (OSError, IndexError):
        return True


def living_thread(pid: int) -> int | None:
    """Return the number of another thread than the first that has not ended; /proc knows it as if it were a process."""
    for name in os.listdir(f"/proc/{pid}/task"):
        try:
            if int(name) != pid and _stat_fields(int(name))[0] not in {b"Z", b"X"}:
                return int(name)
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
    return None


def environment_size(pid: int) -> int:
    """Return how many bytes the environment block of a process has (proc_pid_stat(5), fields 50 and 51).

    It is 0 without the right to look, and for kernel threads and zombies.
    """
    fields = _stat_fields(pid)
    return int(fields[48]) - int(fields[47]) if len(fields) > 48 else 0


def parent(pid: int) -> int:
    """Return the parent's process id; 0 when there is none, or none that we can see."""
    try:
        return int(_stat_fields(pid)[1])
    except (OSError, IndexError, ValueError):
        return 0


def effective_capabilities() -> int:
    """Return our own, a bit each (``CapEff`` of proc_pid_status(5)); raises OSError."""
    status = read(os.getpid(), "status")
    return int(status.partition(b"CapEff:")[2].split(None, 1)[0], 16)


def hides_processes() -> bool:
    """Tell whether /proc may leave out other users' processes (the mount option hidepid, proc(5))."""
    try:
        mounted = read(os.getpid(), "mounts").decode(errors="replace").split("\n")
        capabilities = effective_capabilities()
    except OSError:
        return False
    options = [fields[3] for line in mounted if len(fields := line.split(" ")) > 3 and fields[1:3] == ["/proc", "proc"]]
    hidden = any(option in _HIDING for option in (options[-1].split(",") if options else ()))
    return hidden and not capabilities & _CAP_SYS_PTRACE


def describe(pid: int) -> Process | None:
    """Say who a process is, its command line redacted and cut at 512 characters; None when it has vanished."""
    import psutil

    wanted = ["create_time", "name", "exe", "cmdline", "uids"]
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            try:
                facts = process.as_dict(attrs=wanted, ad_value=None)
            except OSError:  # without /proc/stat (subset=pid) nobody knows when the host, and so a process, started
                facts = {"create_time": None, **process.as_dict(attrs=wanted[1:], ad_value=None)}
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return None
    argv = [word if len(word) <= _ARGUMENT_LENGTH else "..." for word in (facts["cmdline"] or [])[:_ARGUMENTS]]
    return Process(
        pid=pid,
        started=datetime.fromtimestamp(facts["create_time"], UTC) if facts["create_time"] else None,
        name=printable(facts["name"]) if facts["name"] else None,
        executable=printable(facts["exe"]) if facts["exe"] else None,
        command=command(argv)[:_COMMAND_LENGTH] if argv else None,
        user=user_name(facts["uids"].effective) if facts["uids"] else None,
    )


def user_name(uid: int) -> str:
    """Name a user from /etc/passwd as a file: the name service might ask LDAP or DNS; unknown is the uid as text."""
    return _users().get(uid, str(uid))


@lru_cache(maxsize=1)
def _users() -> dict[int, str]:
    users: dict[int, str] = {}
    try:
        text = read_in_root(os.getpid(), "/etc/passwd", 1 << 24)
    except OSError:
        return users
    for line in text.decode(errors="replace").split("\n"):
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isdecimal():
            users.setdefault(int(fields[2]), printable(fields[0]))
    return users


def read_in_root(pid: int, path: str, limit: int = 1 << 20) -> bytes:
    """Return the bytes of a file as the process would find it: below its root, through its mounts.

    Raises OSError; `foreign_path.RefusedFileError` when the file is one that must not be touched (not a regular file,
    or on a network or FUSE file system, where a dead server would hang us), and EFBIG above ``limit`` bytes.
    """
    return _regular_bytes(foreign_path.locate(pid, path), limit)


def open_in_root(pid: int, path: str) -> int:
    """Open a regular file for reading as the process would find it; raises as `read_in_root`."""
    return _regular(foreign_path.locate(pid, path))


def names_in_root(pid: int, path: str, limit: int = 1024) -> list[str]:
    """Return the sorted names in a folder as the process would find it; raises OSError, EFBIG above ``limit`` names."""
    located = foreign_path.locate(pid, path)
    try:
        names = os.listdir(f"/proc/self/fd/{located}")
    finally:
        os.close(located)
    if len(names) > limit:
        raise OSError(errno.EFBIG, f"more than {limit} files", path)
    return sorted(names)


def _regular_bytes(located: int, limit: int) -> bytes:
    """Read the regular file that an O_PATH descriptor stands for, and close the descriptor."""
    descriptor = _regular(located)
    try:
        return _read_all(descriptor, limit)
    finally:
        os.close(descriptor)


def _regular(located: int) -> int:
    """Open the regular file that an O_PATH descriptor stands for, and close that descriptor.

    Opening a device or a FIFO can itself do something, so the kind is checked on the O_PATH descriptor first.
    """
    try:
        if not stat.S_ISREG(os.fstat(located).st_mode):
            raise foreign_path.RefusedFileError(errno.EINVAL, "not a regular file")
        return os.open(f"/proc/self/fd/{located}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(located)


def is_contained() -> bool:
    """Tell whether we are in a pid namespace of our own, and so see a container's share of the processes only."""
    try:
        return os.readlink("/proc/self/ns/pid") != _INITIAL_PID_NAMESPACE
    except OSError:
        return False
