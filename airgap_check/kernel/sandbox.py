"""Makes a control group to be thrown away, below one that is observed, and leaves nothing of it behind.

Who has made one locks it: whoever sees it knows that it is in use, from within another pid namespace, too.
Source: cgroups(7), flock(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from contextlib import ExitStack, suppress

_PREFIX = "airgap-check-selftest-"
_NAMED = re.compile(rf"{_PREFIX}\d{{1,10}}-[0-9a-f]{{8}}")
_ATTEMPTS = 5  # at one that nobody takes for left behind before it is locked
_PATIENCE = 5.0  # seconds until the kernel lets go of a cgroup whose last process has ended


class Sandbox:
    """An empty cgroup below ``directory``; ``number`` is its id. Raises OSError where none can be made.

    What an earlier run of ours left behind when it was killed is removed first.
    """

    def __init__(self, directory: str) -> None:
        _sweep(directory)
        self._path, self._lock = _made(directory)
        self.name, self.number = os.path.basename(self._path), os.fstat(self._lock).st_ino

    def admit(self, pid: int) -> None:
        """Move a process of ours in; raises OSError."""
        descriptor = os.open(os.path.join(self._path, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % pid)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Remove the cgroup, whose processes have ended."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                os.rmdir(self._path)
            except OSError as error:
                if error.errno == errno.EBUSY and time.monotonic() < deadline:
                    time.sleep(0.005)
                    continue
            os.close(self._lock)
            return


def is_anothers(descriptor: int) -> bool:
    """Tell whether a directory of the hierarchy is the sandbox of another run, which root has at work at this moment.

    It may be one of this very process, where one observation hands over to the next: whoever asks knows its own.
    The name alone proves nothing: anybody may take it below a directory that was given to him. What he makes is his,
    and nobody else can lock what only root may open. A cgroup cannot be renamed. Raises OSError.
    """
    if _NAMED.fullmatch(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))) is None:
        return False
    made = os.fstat(descriptor)
    return made.st_uid == 0 and not made.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and not _locks(descriptor)


def _locks(descriptor: int) -> bool:
    """Lock a directory, unless somebody else has it. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _made(directory: str) -> tuple[str, int]:
    """Make a cgroup; return its path, and the descriptor that keeps it locked. Raises OSError."""
    for _ in range(_ATTEMPTS):
        path = os.path.join(directory, f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
        os.mkdir(path, 0o700)
        with suppress(FileNotFoundError), ExitStack() as undo:
            lock = _opened(path)
            undo.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(path):
                undo.pop_all()
                return path, lock
    raise OSError(errno.EAGAIN, "it is swept away by others", directory)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sweep(directory: str) -> None:
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if _NAMED.fullmatch(entry.name):
                with suppress(OSError):  # somebody else's, or a cgroup with a process in it
                    _remove(entry.path)


def _remove(path: str) -> None:
    left = _opened(path)
    try:
        if _locks(left):
            os.rmdir(path)
    finally:
        os.close(left)
