"""Reads the environment blocks and command lines of all processes, and keeps only what is of interest."""

from __future__ import annotations

import errno
import os
import time
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors import command_line
from airgap_check.kernel import procfs
from airgap_check.objectos import catalogue, product, settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_LIMIT = 8 << 20  # the kernel allows 6 MiB of arguments and environment together (fs/exec.c, bprm_stack_limits)
SETTINGS = 2000  # nobody means more by one environment or file, but somebody may want to drown the audit
_OTHERS = ("NODE_ENV", "OS_MODE")
_HOLE = bytes(4096)  # a page that was thrown away (madvise) reads as this
_WORTH_A_LOOK = (b"object", b"os\0", b"--env-file")
# Names that are not listed one by one begin like this; the product's own are all kept, for what they say of another.
_OWN = b"OS_"
_BEGINNINGS = (b"npm_config_", b"NPM_CONFIG_", b"AWS_ENDPOINT_URL_", b"UV_INDEX_", b"CARGO_REGISTRIES_")


class Seen(NamedTuple):
    """A process with something to say: its variables of interest, and its command line where that matters.

    ``environ`` is None where we may not look. ``thread`` is what /proc knows it by: another number than the pid's where
    the first thread has ended, which takes its working directory, root and namespaces along.
    """

    pid: int
    thread: int
    name: str
    argv: tuple[str, ...]
    environ: dict[str, str] | None
    called: product.Invocation | None
    exposed: tuple[str, ...]


class Sweep(NamedTuple):
    """All processes once: those with something to say, how many there were, and those that we may not read.

    ``retitled`` counts those that wrote their title over their environment, as nginx, sshd and PostgreSQL do.
    """

    seen: list[Seen]
    processes: int
    unreadable: list[str]
    unfinished: int
    retitled: int = 0


class ConcealedError(OSError):
    """An environment block that a process has blanked or unmapped, so that nobody can read what it was given."""


class RetitledError(ConcealedError):
    """One that was blanked by a process that shows its title in its place: common, and no concealment."""


def sweep(pids: Iterable[int], deadline: float | None) -> Sweep:
    """Read every process; past ``deadline`` (time.monotonic()) the rest is counted as unfinished."""
    blocks: dict[bytes, dict[str, str]] = {}
    seen: list[Seen] = []
    unreadable: list[str] = []
    retitled = 0
    listed = list(pids)
    for index, pid in enumerate(listed):
        if deadline is not None and time.monotonic() > deadline:
            return Sweep(seen, index, unreadable, len(listed) - index, retitled)
        try:
            found = _look(pid, blocks)
        except RetitledError:
            retitled += 1
            found = _look_at_command_line(pid)
        except PermissionError:
            found = None
            if not procfs.is_kernel_thread(pid) and not procfs.is_zombie(pid):
                unreadable.append(f"{pid} ({name_of(pid)})")
                found = _look_at_command_line(pid)
        except OSError as error:
            found = None
            if not isinstance(error, FileNotFoundError | ProcessLookupError):
                unreadable.append(f"{pid} ({name_of(pid)}): {error.strerror}")
                found = _look_at_command_line(pid)
        if found:
            seen.append(found)
    return Sweep(seen, len(listed), unreadable, 0, retitled)


def _look(pid: int, blocks: dict[bytes, dict[str, str]]) -> Seen | None:
    block, thread = _block(pid)
    environ = blocks.get(block)
    if environ is None:
        environ = blocks[block] = of_interest(block)
    return _with_command_line(pid, thread, environ)


def _block(pid: int) -> tuple[bytes, int]:
    """Return the environment block of a process, and the thread that still has it.

    The kernel returns what is mapped, so a block that is shorter than it says, or blank, is one that we cannot read.
    """
    thread, block, size = pid, b"", 0
    for _ in range(2):  # a process that is just being replaced by execve(2) has another block the second time
        try:
            block = procfs.read(thread, "environ", _LIMIT)
        except ProcessLookupError:  # what newer kernels (6.16) say of a process without memory
            block = b""
        if not block:
            thread = procfs.living_thread(pid) or pid
            block = procfs.read(thread, "environ", _LIMIT) if thread != pid else b""
        size = procfs.environment_size(thread)
        if len(block) >= size and not (block and _is_blanked(block)):
            return block, thread
    if size and _is_blanked(block) and _is_retitled(thread):
        raise RetitledError(errno.ENODATA, "its title stands where its environment was")
    raise ConcealedError(errno.ENODATA, "it has blanked or unmapped its environment")


def _is_blanked(block: bytes) -> bool:
    return not block.strip(b"\0") or _HOLE in block


def _is_retitled(thread: int) -> bool:
    """Tell whether a process wrote a title over its arguments, and so over its environment, which follows them.

    It ends in more than one NUL, in none, or is one word with blanks. JavaScript interpreters change their title
    within their arguments only (libuv's uv_set_process_title), so a blank environment of theirs is no side effect.
    """
    raw = procfs.read(thread, "cmdline", _LIMIT)
    if product.is_interpreter(os.readlink(f"/proc/{thread}/exe").removesuffix(" (deleted)")):
        return False
    return raw.endswith(b"\0\0") or not raw.endswith(b"\0") or (raw.count(b"\0") == 1 and b" " in raw)


def _look_at_command_line(pid: int) -> Seen | None:
    """Look at the one thing that everybody may read of a process whose environment is closed to us."""
    try:
        return _with_command_line(pid, pid, None)
    except OSError:
        return None


def _with_command_line(pid: int, thread: int, environ: dict[str, str] | None) -> Seen | None:
    raw = procfs.read(thread, "cmdline", _LIMIT)
    exposes = command_line.may_expose(raw)
    if not (environ or exposes or any(word in raw for word in _WORTH_A_LOOK)):
        return None
    argv = tuple(os.fsdecode(raw).rstrip("\0").split("\0"))  # a title is shorter than the arguments below it
    exposed = tuple(command_line.exposed(argv)) if exposes else ()
    called = product.invocation(argv)
    if not (environ or exposed or called or product.env_files(argv)):
        return None
    return Seen(pid, thread, name_of(pid), argv, environ, called, exposed)


def of_interest(block: bytes) -> dict[str, str]:
    """Return the variables of a NUL-separated block that the catalogue may know; of two, the first, as getenv(3).

    Raises OSError when there are more than anybody can mean.
    """
    found: dict[str, str] = {}
    exact = _exact()
    for entry in block.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals and (name.startswith(_OWN) or name in exact or (name.startswith(_BEGINNINGS) and _is_known(name))):
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    if len(found) > SETTINGS:
        raise OSError(errno.E2BIG, f"more than {SETTINGS} settings")
    return found


@cache
def _exact() -> frozenset[bytes]:
    return frozenset(os.fsencode(name) for name in (*catalogue.load().variables, *product.TELLTALES, *_OTHERS))


def _is_known(name: bytes) -> bool:
    return settings.variable(os.fsdecode(name)) is not None


def context(thread: int, names: Collection[str]) -> dict[str, str]:
    """Return other variables of a process, as far as it lets us look: its HOME, say."""
    try:
        block = procfs.read(thread, "environ", _LIMIT)
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in os.fsdecode(block).split("\0"))
    found: dict[str, str] = {}
    for name, _, value in pairs:
        if name in names:
            found.setdefault(name, value)
    return found


def name_of(pid: int) -> str:
    """Return the name that a process gave itself (comm), "?" when it has vanished."""
    try:
        return os.fsdecode(procfs.read(pid, "comm", 64)).rstrip("\n")
    except OSError:
        return "?"
