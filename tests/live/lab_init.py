"""The first process of a laboratory host: it gives the host a file system of its own and starts what it is told to.

It runs as ``python -I -S lab_init.py SOCKET HOSTNAME`` inside new mount, net, uts and pid namespaces, where it is
pid 1: when it ends, and it ends when the test closes its end of the socket, the kernel ends all else in the host.
Standard library only, and little of it: a laboratory should stand in a tenth of a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_MS_BIND, _MS_MOVE = 0x1000, 0x2000  # linux/mount.h
_MNT_DETACH = 2
# What programs need of /etc to start at all; everything else there belongs to the machine, not to this host.
_KEPT = ("passwd", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "protocols", "services")
_SYSTEMD = ("/usr/lib/systemd", "/lib/systemd", "/usr/local/lib/systemd")
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = [text.encode() or None for text in (source, target, kind)]
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None):
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def _tmpfs(target: str) -> None:
    _mount("tmpfs", target, "tmpfs", data="mode=0755")


def _forget_foreign_namespaces() -> None:
    """Detach the network namespaces that the machine keeps by mounts: they are not this host's."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - nsfs " in line:
            _libc.umount2(line.split()[4].encode(), _MNT_DETACH)


def _furnish(hostname: str) -> None:
    """Lay /proc, /run, /etc and the folders of systemd anew, so that nothing of the machine shows through."""
    _forget_foreign_namespaces()
    _mount("proc", "/proc", "proc")
    _tmpfs("/run")
    etc = Path("/run/etc")
    etc.mkdir()
    _tmpfs(str(etc))
    for name in _KEPT:
        kept = Path("/etc", name)
        if kept.is_dir():
            shutil.copytree(kept, etc / name)
        elif kept.exists():
            shutil.copy(kept, etc / name)
    (etc / "nsswitch.conf").write_text(_NSSWITCH)
    (etc / "hosts").write_text(_HOSTS)
    (etc / "hostname").write_text(f"{hostname}\n")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    _mount(str(etc), "/etc", flags=_MS_MOVE)
    etc.rmdir()
    Path("/run/lab").mkdir()
    _tmpfs("/var/lib")  # containers, packages and what an audit remembers are the machine's, not this host's
    for folder in _SYSTEMD:
        if Path(folder).is_dir() and not any(parent.is_symlink() for parent in (Path(folder), *Path(folder).parents)):
            _tmpfs(folder)
    socket.sethostname(hostname)


def _expose(paths: list[str]) -> None:
    """Make ``paths`` reachable for every user, though a folder above them may be closed (say, root's home).

    The closed folder is covered, in this mount namespace only, by an empty one that holds nothing but those paths.
    """
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    covered: list[str] = []
    for path, descriptor in opened.items():
        closed = next((str(up) for up in reversed(Path(path).parents) if not up.stat().st_mode & 0o001), None)
        if closed is not None:
            _tmpfs(closed)
            covered.append(closed)
        if any(Path(path).is_relative_to(folder) for folder in covered):
            Path(path).mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{descriptor}", path, flags=_MS_BIND)
        os.close(descriptor)


def _become(order: dict[str, Any], descriptors: list[int]) -> None:
    """Turn this forked child into the process that was ordered. Returns never."""
    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        if order["cgroup"]:
            Path(order["cgroup"], "cgroup.procs").write_text("0")
        os.chdir(order["cwd"])
        if order["user"]:
            uid, gid = order["user"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that on
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(2, f"{order['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _obey(order: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    if "write" in order:
        Path(order["write"]).write_text(order["text"])
    elif "expose" in order:
        _expose(order["expose"])
    elif "signal" in order:
        os.kill(order["pid"], order["signal"])
    else:
        pid = os.fork()
        if pid == 0:
            _become(order, descriptors)
        return {"pid": pid}
    return {"done": True}


def _bury(control: socket.socket) -> None:
    """Report every child that has ended; orphans of others come to pid 1 too."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(json.dumps({"ended": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


def _serve(control: socket.socket, wakeup: int) -> None:
    while True:
        ready, _, _ = select.select([control.fileno(), wakeup], [], [])
        if wakeup in ready:
            os.read(wakeup, 4096)
            with suppress(BrokenPipeError):
                _bury(control)
        if control.fileno() in ready:
            try:
                message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 8)
            except ConnectionResetError:  # the test closed its end with something of ours still unread
                return
            if not message:
                return
            try:
                answer = _obey(json.loads(message), descriptors)
            except OSError as error:
                answer = {"error": str(error)}
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(json.dumps(answer).encode())


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    _furnish(sys.argv[2])
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    socket.send_fds(control, [b'{"ready": true}'], [namespace, root])
    os.close(root)
    os.close(namespace)
    _serve(control, reading)


if __name__ == "__main__":
    _main()
