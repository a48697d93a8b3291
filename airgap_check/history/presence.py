"""Which runs are at work: each holds one byte of a file while it lives, and the kernel lets go of it when it dies."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Self

FILE = "running"
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid; fcntl_locking(2)


class Presence:
    """One open file, and with it the bytes that we hold. No pid goes into it: another pid namespace may read it."""

    def __init__(self, folder: str, *, write: bool = True) -> None:
        """Open the file, and make it where there is none, unless only to ask. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._descriptor = os.open(
            os.path.join(folder, FILE), flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold(self, run: int) -> None:
        """Say that this run is at work, until we are closed or gone. Raises OSError where another one says so."""
        lock = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, run, 1, 0)
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, lock)

    def is_alive(self, run: int) -> bool:
        """Tell whether somebody else says so of a run."""
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, run, 1, 0)
        answer = struct.unpack(_FLOCK, fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked))
        return bool(answer[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Let go of everything."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
