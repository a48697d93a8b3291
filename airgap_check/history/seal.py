"""Whether the memory is still as the last run left it: its digest, and how often it was written to, stand beside it.

SQLite finds pages that do not hang together, and no text or number in them that is another one by now; and from a log
that was damaged or has gone it silently takes what it can. The lock file holds a line against both: ``kept N`` while
somebody writes, or was killed, where N changes are in the memory at least; ``sealed DIGEST N`` once it is closed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import file_digest
from typing import NamedTuple

from airgap_check.history import database
from airgap_check.history.database import CorruptError
from airgap_check.history.folder import LOCK, refusal
from airgap_check.history.schema import VERSION

BROKEN = "its content is not what the last run left"
_WIDTH = 128  # bytes of the line, always: it is written in one piece over the one before
DIGITS = 15  # of a number of changes that can be one


class _Line(NamedTuple):
    digest: str
    changes: int


class Seal:
    """The line in the lock file of a folder, of which the caller holds the lock."""

    def __init__(self, lock: int, path: str) -> None:
        """Take the lock's descriptor, and the path of the memory."""
        self._lock, self._path = lock, path
        self._text = os.pread(lock, _WIDTH, 0)
        line = _read(self._text)
        self.changes = line.changes if line else 0
        self._digest = line.digest if line else ""

    @property
    def marked(self) -> bool:
        """Tell whether there ever was a memory in this folder."""
        return bool(self._text)

    @property
    def whole(self) -> bool | None:
        """Tell whether the memory is as it was sealed; None where it is not sealed. Raises OSError."""
        return _digest(self._path) == self._digest if self._digest else None

    def drop_log(self) -> None:
        """Drop what lies beside a memory that is whole: all that we wrote was in it when it was sealed. Raises OSError.

        A log is there again after a power cut, when the disk had not heard yet that it was deleted; or it is a forgery.
        """
        if _has_log(self._path):
            for name in database.LOGS:
                with suppress(FileNotFoundError):
                    os.unlink(self._path + name)

    def open(self) -> None:
        """Break the seal, before the memory is written to. Raises `UsageError` where even that cannot be written."""
        if self._digest or not self._text:
            try:
                self._write("")
                os.fsync(self._lock)  # before anything in the memory is another than the seal says
            except OSError as error:
                raise refusal(self._path, error) from error

    def count(self, changes: int) -> None:
        """Note that so many changes are in the memory now."""
        self.changes = changes
        with suppress(OSError):  # to know of fewer is no fault
            self._write("")

    def close(self) -> None:
        """Seal the memory, which nobody has open any more, unless it is sealed. Raises OSError."""
        if not self._digest and not _has_log(self._path):
            self._write(_digest(self._path))

    def _write(self, digest: str) -> None:
        words = f"sealed {VERSION} {digest} {self.changes}" if digest else f"kept {self.changes}"
        self._text = f"{words:{_WIDTH - 1}}\n".encode()
        os.pwrite(self._lock, self._text, 0)
        self._digest = digest


def check(folder: str, path: str) -> None:
    """Raise `CorruptError` where the memory is not as it was sealed, without the lock, wherever that can be told."""
    with suppress(OSError):
        lock = _without_following(os.path.join(folder, LOCK), os.O_RDONLY)
        try:
            before = os.pread(lock, _WIDTH, 0)
            broken = Seal(lock, path).whole is False
            if broken and os.pread(lock, _WIDTH, 0) == before:  # else somebody has begun to write
                raise CorruptError(BROKEN)
        finally:
            os.close(lock)


def _read(text: bytes) -> _Line | None:
    match text.split():
        case [b"kept", changes] if _is_number(changes):
            return _Line("", int(changes))
        case [b"sealed", version, digest, changes] if version == b"%d" % VERSION and _is_number(changes):
            return _Line(digest.decode(errors="replace"), int(changes))
    return None


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= DIGITS


def _has_log(path: str) -> bool:
    """Tell whether there is something that is not in the file itself yet."""
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except FileNotFoundError:
        return False


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


def _digest(path: str) -> str:
    with open(path, "rb", opener=_without_following) as file:
        return file_digest(file, "sha256").hexdigest()
