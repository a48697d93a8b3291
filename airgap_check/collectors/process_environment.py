"""Reads the environment blocks and command lines of all processes, and keeps only what is of interest."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors import command_line
from airgap_check.kernel import procfs
from airgap_check.objectos import product
from airgap_check.objectos.settings import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIMIT = 8 << 20  # the kernel allows 6 MiB of arguments and environment together (fs/exec.c, bprm_stack_limits)
SETTINGS = 2000  # nobody means more by one environment or file, but somebody may want to drown the audit
_OTHERS = ("NODE_ENV", "OS_MODE")
_EXACT = frozenset(os.fsencode(name) for name in (*CATALOGUE, *product.TELLTALES, *_OTHERS))


class Seen(NamedTuple):
    """A process with something to say: its variables of interest, and its command line where that matters.

    ``environ`` is None where we may not look.
    """

    pid: int
    name: str
    argv: tuple[str, ...]
    environ: dict[str, str] | None
    called: product.Invocation | None
    exposed: tuple[str, ...]


class Sweep(NamedTuple):
    """All processes once: those with something to say, how many there were, and those that we may not read."""

    seen: list[Seen]
    processes: int
    unreadable: list[str]
    unfinished: int


def sweep(pids: Iterable[int], deadline: float | None) -> Sweep:
    """Read every process; past ``deadline`` (time.monotonic()) the rest is counted as unfinished."""
    blocks: dict[bytes, dict[str, str]] = {}
    seen: list[Seen] = []
    unreadable: list[str] = []
    listed = list(pids)
    for index, pid in enumerate(listed):
        if deadline is not None and time.monotonic() > deadline:
            return Sweep(seen, index, unreadable, len(listed) - index)
        try:
            found = _look(pid, blocks)
        except PermissionError:
            found = None
            if not procfs.is_kernel_thread(pid) and not procfs.is_zombie(pid):
                unreadable.append(f"{pid} ({name_of(pid)})")
                found = _look_at_command_line(pid)
        except OSError as error:
            found = None
            if not isinstance(error, FileNotFoundError | ProcessLookupError):
                unreadable.append(f"{pid} ({name_of(pid)}): {error.strerror}")
        if found:
            seen.append(found)
    return Sweep(seen, len(listed), unreadable, 0)


def _look(pid: int, blocks: dict[bytes, dict[str, str]]) -> Seen | None:
    block = procfs.read(pid, "environ", _LIMIT)
    environ = blocks.get(block)
    if environ is None:
        environ = blocks[block] = of_interest(block)
    return _with_command_line(pid, environ)


def _look_at_command_line(pid: int) -> Seen | None:
    """Look at the one thing that everybody may read of a process whose environment is closed to us."""
    try:
        return _with_command_line(pid, None)
    except OSError:
        return None


def _with_command_line(pid: int, environ: dict[str, str] | None) -> Seen | None:
    raw = procfs.read(pid, "cmdline", _LIMIT)
    exposes = command_line.may_expose(raw)
    if not (environ or exposes or b"object" in raw or b"os\0" in raw):
        return None
    argv = tuple(os.fsdecode(raw).removesuffix("\0").split("\0"))
    exposed = tuple(command_line.exposed(argv)) if exposes else ()
    called = product.invocation(argv)
    if not (environ or exposed or called):
        return None
    return Seen(pid, name_of(pid), argv, environ, called, exposed)


def of_interest(block: bytes) -> dict[str, str]:
    """Return the variables of a NUL-separated block that the catalogue may know; of two, the first, as getenv(3).

    Raises OSError when there are more than anybody can mean.
    """
    found: dict[str, str] = {}
    for entry in block.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals and (name.startswith(b"OS_") or name in _EXACT):
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    if len(found) > SETTINGS:
        raise OSError(errno.E2BIG, f"more than {SETTINGS} settings")
    return found


def name_of(pid: int) -> str:
    """Return the name that a process gave itself (comm), "?" when it has vanished."""
    try:
        return os.fsdecode(procfs.read(pid, "comm", 64)).rstrip("\n")
    except OSError:
        return "?"
