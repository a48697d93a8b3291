"""Makes a control group to be thrown away, below one that is observed, and leaves nothing of it behind.

Source: cgroups(7).
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from contextlib import suppress

from airgap_check.kernel import procfs

_PREFIX = "airgap-check-selftest-"
_LEFT_BEHIND = re.compile(rf"{_PREFIX}(\d{{1,10}})-[0-9a-f]{{8}}")
_PATIENCE = 5.0  # seconds until the kernel lets go of a cgroup whose last process has ended


class Sandbox:
    """An empty cgroup below ``directory``; ``number`` is its id. Raises OSError where none can be made.

    What an earlier run of ours left behind when it was killed is removed first.
    """

    def __init__(self, directory: str) -> None:
        _sweep(directory)
        self.name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._path = os.path.join(directory, self.name)
        os.mkdir(self._path, 0o700)
        self.number = os.stat(self._path).st_ino

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
            return


def is_anothers(descriptor: int) -> bool:
    """Tell whether a directory of the hierarchy is the sandbox of another run, which root has at work at this moment.

    It may be one of this very process, where one observation hands over to the next: whoever asks knows its own.
    The name alone proves nothing: anybody may take it below a directory that was given to him. What he makes is his.
    A cgroup cannot be renamed. Raises OSError.
    """
    name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
    match = _LEFT_BEHIND.fullmatch(name)
    if match is None:
        return False
    made = os.fstat(descriptor)
    return made.st_uid == 0 and not made.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and _is_roots(int(match[1]))


def _is_roots(pid: int) -> bool:
    """Tell whether a process is there and has no other user than root, not even a saved one (proc_pid_status(5))."""
    try:
        uids = procfs.read(pid, "status").partition(b"\nUid:")[2].partition(b"\n")[0].split()
    except OSError:
        return False
    return len(uids) == 4 and set(uids) == {b"0"}


def _sweep(directory: str) -> None:
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = _LEFT_BEHIND.fullmatch(entry.name)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                with suppress(OSError):  # a cgroup with a process in it cannot be removed
                    os.rmdir(entry.path)
