"""Where the rehearsed command is, what a driver leaves behind for the browser, and on which port the command serves."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.drivers.http import Visitor
from airgap_check.kernel import proc_net, procfs, sock_diag
from airgap_check.kernel.open_sockets import OpenSockets

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

PATIENCE = 120.0  # seconds until a server must serve
_PAUSE = 0.2  # seconds between two looks
_PROBE_SECONDS = 5.0
_ORPHAN_SECONDS = 10.0  # of that patience, once the command has ended: it may have left a server behind
_DOMAIN = 53
_STARTING = (502, 503)  # what a server, or a proxy before one, says until it is ready
_PORTS = ("OS_PORT", "PORT")


class Where(NamedTuple):
    """The command: its process, environment and working directory; ``port`` None means that nobody said which.

    ``launch`` starts what a driver runs beside it, as `subprocess.Popen` does.
    """

    port: int | None
    pid: int
    environ: Mapping[str, str]
    cwd: str
    launch: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen


class Driven(NamedTuple):
    """What a driver found and made: the port, the cookies of who is signed in, and pages that are worth opening."""

    port: int | None = None
    cookies: Mapping[str, str] = {}
    pages: tuple[str, ...] = ("/",)


def await_server(where: Where, stop: threading.Event, path: str = "/", patience: float = PATIENCE) -> int | None:
    """Wait until the command answers HTTP, and is not starting, and return the port; None where it never does.

    Nothing of this is a visit: what the command reaches for while it starts, it does unasked.
    """
    deadline = time.monotonic() + patience
    while not stop.is_set() and time.monotonic() < deadline:
        if procfs.is_zombie(where.pid):
            deadline = min(deadline, time.monotonic() + _ORPHAN_SECONDS)
        for port in candidates(where):
            status = Visitor(port, seconds=_PROBE_SECONDS).ask("GET", path).status
            if status and status not in _STARTING:
                return port
        stop.wait(_PAUSE)
    return None


def candidates(where: Where) -> list[int]:
    """Return the ports that may be the command's, the likeliest first.

    Those that OS_PORT and PORT tell come first, then what the command and its offspring listen on, then what anybody
    else here does (a server may have left its parents), but neither we nor a name server. None of it counts where the
    caller has told the port, and nothing counts that nobody listens on.
    """
    try:
        rows = [row for row in proc_net.read("tcp") if row.state == sock_diag.LISTEN and _takes_loopback(row)]
    except OSError:  # then nobody can tell
        return [where.port] if where.port is not None else []
    listening = {row.local_port for row in rows}
    if where.port is not None:
        return [where.port] if where.port in listening else []
    told = [int(text) for name in _PORTS if (text := where.environ.get(name, "")).isdecimal() and len(text) < 6]
    theirs = family(where.pid)
    others = [pid for pid in procfs.pids() if pid not in theirs and pid != os.getpid()]
    found = [port for port in told if port in listening]
    for pids in (theirs, others):
        holders = OpenSockets()
        holders.walk(pids, [row.inode for row in rows], None)
        found += sorted(row.local_port for row in rows if holders.holder(row.inode) and row.local_port != _DOMAIN)
    return list(dict.fromkeys(found))


def _takes_loopback(row: sock_diag.Row) -> bool:
    """Tell whether a listener can be reached at 127.0.0.1 or ::1, so far as its address says."""
    if row.family == socket.AF_INET:
        return row.local[:1] == b"\x7f" or row.local == bytes(4)
    return row.local in {
        bytes(16),
        bytes(15) + b"\1",
        bytes(10) + b"\xff\xff" + bytes(4),
        bytes(10) + b"\xff\xff\x7f\0\0\1",
    }


def family(pid: int) -> set[int]:
    """Return a process and all that descend from it, so far as their parents still live."""
    children: dict[int, list[int]] = {}
    for other in procfs.pids():
        children.setdefault(procfs.parent(other), []).append(other)
    found, new = {pid}, [pid]
    while new:
        new = [child for one in new for child in children.get(one, ()) if child not in found]
        found.update(new)
    return found
