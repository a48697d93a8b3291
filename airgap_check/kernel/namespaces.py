"""Makes namespaces for processes of our own, and says exactly what is missing where the kernel makes none.

Source: namespaces(7), user_namespaces(7), capabilities(7), mount(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING

from airgap_check.kernel import procfs
from airgap_check.kernel.syscalls import check, libc

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNT, IPC, USER, PID, NETWORK = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000  # CLONE_NEW...
NO_EXECUTION = 8  # MS_NOEXEC
_READ_ONLY, _NO_SETUID, _NO_DEVICES = 1, 2, 4  # MS_RDONLY, MS_NOSUID, MS_NODEV
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 32, 4096, 16384, 1 << 18
_PDEATHSIG = 1  # prctl(2)
_SYS_ADMIN = 21  # CAP_SYS_ADMIN

# A file that says no, what it says then, and what that means.
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off (sysctl user.max_user_namespaces=0)"),
    ("/proc/sys/user/max_net_namespaces", "0",
     "network namespaces are switched off (sysctl user.max_net_namespaces=0)"),
    ("/proc/sys/user/max_pid_namespaces", "0", "pid namespaces are switched off (sysctl user.max_pid_namespaces=0)"),
    ("/proc/sys/user/max_mnt_namespaces", "0", "mount namespaces are switched off (sysctl user.max_mnt_namespaces=0)"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0",
     "only root may make user namespaces (sysctl kernel.unprivileged_userns_clone=0)"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "AppArmor lets only named programs use user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=1)"),
)  # fmt: skip


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; of a new pid namespace our next child is the first process. Raises OSError."""
    check(libc().unshare(flags))


def may_administer() -> bool:
    """Tell whether we have CAP_SYS_ADMIN, without which every namespace needs a user namespace around it."""
    return bool(procfs.effective_capabilities() >> _SYS_ADMIN & 1)


def become_own_user() -> None:
    """Enter a new user namespace in which we are who we are, with every capability there. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(USER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def why_not() -> str:
    """Say what on this machine forbids namespaces, to ordinary users or to all; empty where nothing known does."""
    return next((text for name, value, text in _SWITCHES if _line(name) == value), "")


def _line(name: str) -> str | None:
    try:
        with open(name, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def die_with(parent: int) -> None:
    """Be killed when the thread that forked us ends; at once where it has ended already."""
    check(libc().prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def keep_mounts_to_ourselves() -> None:
    """Let nothing that is mounted from now on be seen outside of this mount namespace. Raises OSError."""
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)


def mount(kind: str, target: str, flags: int = 0, options: Iterable[str] = ()) -> None:
    """Mount a file system of a kind that needs no device. Raises OSError."""
    _mount(kind, target, kind, flags | _NO_SETUID | _NO_DEVICES, ",".join(options))


def bind(source: str, target: str) -> None:
    """Let a file or folder be seen at another place, too. Raises OSError."""
    _mount(source, target, None, _BIND)


def make_read_only(path: str) -> None:
    """Let nobody write at a place, which must be a mount of its own, made by `bind`. Raises OSError."""
    _mount("none", path, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES | NO_EXECUTION)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    names = (os.fsencode(text) if text is not None else None for text in (source, target, kind))
    check(libc().mount(*names, ctypes.c_ulong(flags), options.encode() or None))
