"""Who runs this tool, with which rights, on which host: what a report says of itself."""

from __future__ import annotations

import os
import sys
from hashlib import sha256

from airgap_check import __version__
from airgap_check.evidence.inspection import Clock, Run, Subject, Tool
from airgap_check.kernel import procfs
from airgap_check.redact import command, printable
from airgap_check.rulebook import shipped

# linux/capability.h, in the order of their bits
_CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
)
_NOBODY_LOGGED_IN = 0xFFFFFFFF  # /proc/self/loginuid before anybody did
_UNSYNCHRONIZED = 0x0040  # linux/timex.h: STA_UNSYNC


def tool() -> Tool:
    """Describe this program; the digest is over its own files and the shipped rules, names and contents."""
    digest = sha256()
    package = os.path.dirname(os.path.abspath(__file__))
    for top in (package, shipped()):
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".py", ".yaml")):
                    path = os.path.join(folder, name)
                    with open(path, "rb") as file:
                        digest.update(f"{os.path.relpath(path, top)}\0".encode() + sha256(file.read()).digest())
    return Tool(name="airgap-check", version=__version__, sha256=digest.hexdigest())


def subject() -> Subject:
    """Describe the host. The machine id is hashed, as machine-id(5) asks of whoever shows it to others."""
    system = os.uname()
    machine_id = _line("/etc/machine-id")
    return Subject(
        hostname=printable(system.nodename),
        machine_id_hash=sha256(f"airgap-check:{machine_id}".encode()).hexdigest() if machine_id else None,
        boot_id=_line("/proc/sys/kernel/random/boot_id"),
        kernel=f"{system.sysname} {system.release}",
        scope="namespace" if procfs.is_contained() else "host",
    )


def run(argv: list[str]) -> Run:
    """Describe the caller and the rights in force."""
    login = _line("/proc/self/loginuid")
    sudo_user = os.environ.get("SUDO_USER")
    login_uid = int(login) if login and login.isdigit() and int(login) != _NOBODY_LOGGED_IN else None
    return Run(
        uid=os.geteuid(),
        login_uid=login_uid,
        sudo_user=printable(sudo_user) if sudo_user else None,
        capabilities=_capabilities(),
        argv=tuple(command([argument]) for argument in argv),
    )


def _capabilities() -> tuple[str, ...]:
    try:
        mask = procfs.effective_capabilities()
    except OSError:
        return ()
    return tuple(f"CAP_{name.upper()}" for bit, name in enumerate(_CAPABILITIES.split()) if mask >> bit & 1)


def clock() -> Clock:
    """Ask the kernel whether its clock is synchronised (adjtimex(2) with no modes set changes nothing)."""
    if not sys.platform.startswith("linux"):
        return Clock(synchronized=None, source="unknown")
    import ctypes

    # struct timex: unsigned modes, then long offset, freq, maxerror, esterror, and int status
    timex = ctypes.create_string_buffer(512)
    state = ctypes.CDLL(None).adjtimex(timex)
    at = 5 * ctypes.sizeof(ctypes.c_long)
    status = int.from_bytes(timex.raw[at : at + 4], sys.byteorder)
    return Clock(synchronized=None if state < 0 else not status & _UNSYNCHRONIZED, source="adjtimex")


def _line(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline(256).strip() or None
    except OSError:
        return None
