"""The memory of this host: one SQLite file, in which each asset that was ever seen has a line a content."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from airgap_check.errors import UsageError
from airgap_check.history import folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_VERSION = 1
_FILE = "history.sqlite"
_SCHEMA = """
CREATE TABLE sighting (
    kind TEXT NOT NULL, owner TEXT NOT NULL, place TEXT NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL,
    first TEXT NOT NULL, last TEXT NOT NULL, PRIMARY KEY (kind, owner, place, digest)) WITHOUT ROWID;
CREATE TABLE preflight (made TEXT PRIMARY KEY, until TEXT NOT NULL, binding TEXT NOT NULL) WITHOUT ROWID;
"""
_BUSY_MS = 5000


class Sighting(NamedTuple):
    """A content that was seen: ``kind`` is artifact or image, ``owner`` the workload whose it was.

    ``place`` is the identity of its path (file system and path on it, or the image's repository), ``path`` how it was
    called; ``digest`` is ``sha256:`` and hexadecimal digits.
    """

    kind: str
    owner: str
    place: str
    digest: str
    path: str
    first: datetime
    last: datetime


class Preflight(NamedTuple):
    """A preflight that was green: until when that holds, and for what, as one text (`airgap_check.preflight`)."""

    made: datetime
    until: datetime
    binding: str


class Store:
    """The memory in one folder, held by one run at a time. ``mishap`` says what had to be moved aside, if anything."""

    def __init__(self, path: str) -> None:
        """Open it, and make it where there is none. Raises `UsageError` for a folder that cannot be used or trusted."""
        folder.prepare(path)
        self._path = os.path.join(path, _FILE)
        self._lock = folder.locked(path)
        self._lock.__enter__()
        self.mishap = ""
        try:
            self._connection = self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT:
                self._lock.__exit__(None, None, None)
                raise UsageError(f"{self._path}: {error}") from error
            self.mishap = self._move_aside(str(error))
            self._connection = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()
        self._lock.__exit__(None, None, None)

    def _opened(self) -> sqlite3.Connection:
        if not os.path.lexists(self._path):
            # SQLite would give it the mode that our umask leaves; and it follows links.
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with ExitStack() as stack:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_MS / 1000)
            stack.callback(connection.close)
            self._make_ready(connection)
            stack.pop_all()
        return connection

    def _make_ready(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")
        elif version != _VERSION:
            raise UsageError(f"{self._path}: written by another version of airgap-check (format {version})")

    def _move_aside(self, why: str) -> str:
        """Keep a file that is no memory any more for whoever wants to know why; to drop it would hide a change."""
        written = datetime.fromtimestamp(os.stat(self._path).st_mtime, UTC)
        aside = f"{self._path}.corrupt-{written:%Y%m%dT%H%M%SZ}"
        for ending in ("", "-wal", "-shm"):
            if os.path.lexists(self._path + ending):
                os.replace(self._path + ending, aside + ending)
        return f"{self._path} was corrupt ({why}) and has been moved to {aside}: earlier runs are forgotten"

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Write all of it or nothing. Raises `UsageError` where it cannot be written."""
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
        except sqlite3.OperationalError as error:
            raise UsageError(f"{self._path}: {error}") from error

    def of(self, kind: str, owner: str) -> list[Sighting]:
        """List what was ever seen of an owner, the latest first; not by time, for a clock may have been set back."""
        return self._sightings("owner", kind, owner)

    def at(self, kind: str, place: str) -> list[Sighting]:
        """List every content that was seen at one place, the latest first."""
        return self._sightings("place", kind, place)

    def _sightings(self, column: Literal["owner", "place"], kind: str, wanted: str) -> list[Sighting]:
        rows = self._connection.execute(
            "SELECT kind, owner, place, digest, path, first, last FROM sighting"  # noqa: S608  (one of two words)
            f" WHERE kind = ? AND {column} = ? ORDER BY last DESC, first DESC LIMIT 1000",
            (kind, wanted),
        )
        return [Sighting(*row[:5], *map(datetime.fromisoformat, row[5:])) for row in rows]

    def keep(self, sightings: list[Sighting]) -> None:
        """Remember what was seen now. Raises `UsageError` where it cannot be written."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET last = max(last, excluded.last), path = excluded.path",
                [(*one[:5], one.first.isoformat(), one.last.isoformat()) for one in sightings],
            )

    def keep_preflight(self, preflight: Preflight) -> None:
        """Remember a green preflight in place of earlier ones. Raises `UsageError` where it cannot be written."""
        with self._writing() as connection:
            connection.execute("DELETE FROM preflight")
            row = (preflight.made.isoformat(), preflight.until.isoformat(), preflight.binding)
            connection.execute("INSERT INTO preflight VALUES (?, ?, ?)", row)

    def forget_preflight(self) -> None:
        """Forget the last green preflight: a later one was not."""
        with self._writing() as connection:
            connection.execute("DELETE FROM preflight")

    def preflight(self) -> Preflight | None:
        """Return the last green preflight."""
        with closing(self._connection.execute("SELECT made, until, binding FROM preflight")) as rows:
            row = rows.fetchone()
        return Preflight(datetime.fromisoformat(row[0]), datetime.fromisoformat(row[1]), row[2]) if row else None
