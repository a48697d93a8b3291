"""The file of the memory as SQLite keeps it: made, brought up to date and checked; and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from airgap_check.errors import UsageError
from airgap_check.history.folder import StorageError
from airgap_check.history.schema import VERSION, changes

FILE = "history.sqlite"
_BUSY = 5.0  # seconds
_ASIDE = ".corrupt-"
LOGS = ("-wal", "-shm")
_DISK = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS,
})  # fmt: skip
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class CorruptError(UsageError):
    """The file is no memory (any more)."""


def understood(path: str, error: sqlite3.Error | ValueError) -> UsageError:
    """Say what an error means. Statements are our own: one that cannot be executed was met by a file that is not."""
    if isinstance(error, UnicodeEncodeError):  # a text of ours that no file can hold, and no fault of the file
        return UsageError(f"{path}: {error}")
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # the low byte is the primary code
    if isinstance(error, sqlite3.Error) and code in _DISK:
        return StorageError(f"{path}: {error}")
    if isinstance(error, sqlite3.Error) and code in _HELD:
        return UsageError(f"{path}: {error}")
    return CorruptError(str(error))


def opened(path: str, mishap: str, *, check: bool = True) -> sqlite3.Connection:
    """Open the file, and note in one that is still empty that there was another before.

    ``check`` looks through all of it: whoever knows that it is as we left it need not. Raises sqlite3.Error or
    ValueError, and `UsageError` for the file of a later version.
    """
    with ExitStack() as stack:
        connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY)
        stack.callback(connection.close)
        if check:  # it writes to the file, whatever that has been before
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # obeyed by a file that is still empty
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _make_ready(connection, path, mishap, check=check)
        stack.pop_all()
    return connection


def make(path: str) -> None:
    """Make an empty file: SQLite would give it the mode that our umask leaves; and it follows links. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def refuse_what_is_no_file(path: str) -> None:
    """Raise `UsageError` for a link, a folder or a device: SQLite would follow it."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise UsageError(f"{path}: is no regular file")


def _make_ready(connection: sqlite3.Connection, path: str, mishap: str, *, check: bool) -> None:
    if check:
        _check(connection)
    version = _version(connection, path)
    if version == VERSION:
        return
    connection.executescript(changes(version))
    if version == 0 and (text := mishap or _lost(path)):
        connection.execute("INSERT INTO mishap (body) VALUES (?)", (text,))
    connection.execute("COMMIT")
    if version:  # a file that was not empty can give back pages only once it has been written anew
        connection.execute("VACUUM")


def _check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError for a file that does not hang together."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _version(connection: sqlite3.Connection, path: str) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= VERSION:
        raise UsageError(f"{path}: written by another version of airgap-check (format {version})")
    return int(version)


def readable(path: str) -> sqlite3.Connection:
    """Open the file for reading only, whoever holds it. Raises `UsageError`.

    Where nothing can be written SQLite cannot share it with others; there are none then, and it is read as it lies.
    """
    if not os.path.lexists(path):
        raise UsageError(f"{path}: there is no such file: no run was remembered")
    refuse_what_is_no_file(path)
    try:
        return _read(path, "mode=ro")
    except StorageError:
        if os.path.exists(f"{path}-wal") and os.stat(f"{path}-wal").st_size:
            raise
    return _read(path, "mode=ro&immutable=1")


def _read(path: str, how: str) -> sqlite3.Connection:
    with ExitStack() as stack:
        try:
            name = quote(os.path.abspath(path))
            connection = sqlite3.connect(f"file:{name}?{how}", uri=True, isolation_level=None, timeout=_BUSY)
            stack.callback(connection.close)
            _check(connection)
            version = _version(connection, path)
        except (sqlite3.Error, ValueError) as error:
            raise understood(path, error) from error
        if version != VERSION:
            raise UsageError(f"{path}: holds no runs yet (format {version}); the next run brings it up to date")
        stack.pop_all()
    return connection


def move_aside(path: str, why: str) -> str:
    """Keep a file that is no memory any more for whoever wants to know why; to drop it would hide a change."""
    try:
        written = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
        aside = f"{path}{_ASIDE}{written:%Y%m%dT%H%M%SZ}"
        number = 1
        while os.path.lexists(aside):
            number += 1
            aside = f"{path}{_ASIDE}{written:%Y%m%dT%H%M%SZ}-{number}"
        for ending in (*LOGS, ""):  # the file goes last: killed before that, all of this is done again
            if os.path.lexists(path + ending):
                os.replace(path + ending, aside + ending)
    except OSError as error:
        raise StorageError(f"{path}: is corrupt ({why}) and cannot be moved aside: {error.strerror}") from error
    return f"{path} was corrupt ({why}) and has been moved to {aside}: earlier runs are forgotten"


def _lost(path: str) -> str:
    """Say of a new file that an earlier one lies beside it: whoever moved that did not live to tell."""
    here = Path(path)
    known = sorted(aside for aside in here.parent.glob(f"{here.name}{_ASIDE}*") if aside.name[-4:] not in LOGS)
    return f"{path} was corrupt and has been moved to {known[-1]}: earlier runs are forgotten" if known else ""
