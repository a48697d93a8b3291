"""The memory of this host: one SQLite file, opened, sealed and recovered; and the assets and heads of chains in it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self, TypeVar

from msgspec import Meta, convert

from airgap_check.errors import UsageError
from airgap_check.evidence.fact import Instant  # noqa: TC001  (msgspec reads the annotations)
from airgap_check.history import database, folder, presence, retention
from airgap_check.history.database import CorruptError
from airgap_check.history.folder import StorageError
from airgap_check.history.seal import BROKEN, DIGITS, Seal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

_T = TypeVar("_T")
_Count = Annotated[int, Meta(ge=0, lt=10**DIGITS)]


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
    first: Instant
    last: Instant


class Preflight(NamedTuple):
    """A preflight that was green: until when that holds, and for what, as one text (`history.clearance`)."""

    made: Instant
    until: Instant
    binding: str


class Head(NamedTuple):
    """The last link of a chain: its SHA-256 in hexadecimal, and its number, from 1."""

    digest: str
    sequence: int


class Store:
    """The memory in one folder, held by one run at a time.

    ``mishap`` says what became of an earlier memory, until a run has reported it. A disk that is full leaves a memory
    that can be read: ``unwritable`` says why nothing is added to it.
    """

    def __init__(self, path: str) -> None:
        """Open it, and make it where there is none. Raises `UsageError` for a folder that cannot be used or trusted."""
        folder.prepare(path)
        self.folder = path
        self._path = os.path.join(path, database.FILE)
        self.unwritable = ""
        with ExitStack() as stack:
            self._seal = Seal(stack.enter_context(folder.locked(path)), self._path)
            lost = f"{self._path} has gone: earlier runs are forgotten" if self._missing() else ""
            try:
                self._connection = self._opened(lost)
            except CorruptError as error:
                self._connection = self._opened(database.move_aside(self._path, str(error)))
            stack.callback(self._close_seal)  # of what was opened only: to seal a file that is wrong would excuse it
            stack.callback(self._close)
            self._miss_changes()
            self._held = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def _close(self) -> None:
        self._connection.close()

    def _close_seal(self) -> None:
        if not self.unwritable:
            with suppress(OSError):  # unsealed, it is looked through by the next run
                self._seal.close()

    def _missing(self) -> bool:
        there_was_one = self._seal.marked or os.path.lexists(os.path.join(self.folder, presence.FILE))
        return there_was_one and not os.path.lexists(self._path)

    def _miss_changes(self) -> None:
        """Note where the memory is an older one than it was: a log was damaged or deleted, or the file put back."""
        ((changes,),) = self._read("SELECT coalesce(max(sequence), 0) FROM head WHERE name = ''", (), tuple[_Count])
        missing, self._seal.changes = self._seal.changes - changes, max(self._seal.changes, changes)
        if missing > 0 and not self.unwritable:
            lost = f"{missing} change{'s' if missing > 1 else ''}"
            text = f"{self._path} has lost its last {lost}: what runs wrote then is forgotten"
            with self.writing() as connection:
                connection.execute("INSERT INTO mishap (body) VALUES (?)", (text,))

    def _opened(self, mishap: str) -> sqlite3.Connection:
        try:
            return self._opened_as_sealed() if os.path.lexists(self._path) else self._made(mishap)
        except StorageError as error:
            reason: UsageError = error
        except (sqlite3.Error, ValueError) as error:
            reason = database.understood(self._path, error)
        except OSError as error:
            reason = StorageError(f"{self._path}: {error.strerror}")
        if not isinstance(reason, StorageError):
            raise reason
        try:
            connection = database.readable(self._path)
        except UsageError:
            raise reason from None
        self.unwritable = str(reason)
        return connection

    def _opened_as_sealed(self) -> sqlite3.Connection:
        database.refuse_what_is_no_file(self._path)
        whole = self._seal.whole
        if whole is False:
            raise CorruptError(BROKEN)
        if whole:
            self._seal.drop_log()
        else:
            self._seal.open()
        return database.opened(self._path, "", check=not whole)

    def _made(self, mishap: str) -> sqlite3.Connection:
        """Make an empty memory; killed on the way, it is one that has lost as many changes as there were before."""
        database.make(self._path)
        self._seal.open()
        connection = database.opened(self._path, mishap)
        self._seal.changes = 0
        return connection

    def _start_anew(self, why: str) -> None:
        """Go on with an empty memory; what was corrupt lies beside it, or stays and is never sealed."""
        self._connection.close()
        self.unwritable = why
        aside = database.move_aside(self._path, why)
        self.unwritable = ""
        self._connection = self._opened(aside)

    @property
    def mishap(self) -> str:
        """Say what became of an earlier memory, if anything that no report has said yet."""
        return "; ".join(text for (text,) in self._read("SELECT body FROM mishap ORDER BY id LIMIT 10", (), tuple[str]))

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write all of it or nothing. Raises `UsageError` where it cannot be written.

        `CorruptError` means that the memory is an empty one now, and the same can be written to it.
        """
        if self.unwritable:
            raise StorageError(self.unwritable)
        try:
            self._seal.open()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                changes = self._seal.changes + 1
                self._connection.execute("INSERT OR REPLACE INTO head VALUES ('', '', ?)", (changes,))
                self._connection.execute("COMMIT")
                self._seal.count(changes)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except (sqlite3.Error, ValueError) as error:
            raise self._recovered(error) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read several things as they were at one moment. Raises `UsageError` as `writing` does."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except (sqlite3.Error, ValueError) as error:
            raise self._recovered(error) from error

    def give_back(self) -> None:
        """Let the file shrink where there is less in it than there was; a disk that fails now keeps it as it is."""
        with suppress(sqlite3.Error):
            retention.give_back(self._connection)

    def _recovered(self, error: sqlite3.Error | ValueError) -> UsageError:
        reason = database.understood(self._path, error)
        if isinstance(reason, CorruptError) and not self.unwritable:
            self._start_anew(str(reason))
        return reason

    def _read(self, statement: str, values: Sequence[object], row: type[_T]) -> list[_T]:
        """Return the rows, of that type. Of a memory that turns out to be corrupt nothing is known any more.

        Raises `UsageError` where it cannot be read.
        """
        for retry in (True, False):
            try:
                return [convert(found, row) for found in self._connection.execute(statement, values)]
            except (sqlite3.Error, ValueError) as error:
                reason = self._recovered(error)
                if not isinstance(reason, CorruptError) or not retry:
                    raise reason from error
        return []

    def of(self, kind: str, owner: str) -> list[Sighting]:
        """List what was ever seen of an owner, the latest first; not by time, for a clock may have been set back."""
        return self._sightings("owner", kind, owner)

    def at(self, kind: str, place: str) -> list[Sighting]:
        """List every content that was seen at one place, the latest first."""
        return self._sightings("place", kind, place)

    def _sightings(self, column: Literal["owner", "place"], kind: str, wanted: str) -> list[Sighting]:
        return self._read(
            "SELECT kind, owner, place, digest, path, first, last FROM sighting"  # noqa: S608  (one of two words)
            f" WHERE kind = ? AND {column} = ? ORDER BY last DESC, first DESC LIMIT 1000",
            (kind, _storable(wanted)),
            Sighting,
        )

    def keep(self, sightings: list[Sighting]) -> None:
        """Remember what was seen now. Raises `UsageError` where it cannot be written."""
        rows = [(*map(_storable, one[:5]), one.first.isoformat(), one.last.isoformat()) for one in sightings]
        with self.writing() as connection:
            connection.executemany(
                "INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET last = max(last, excluded.last), path = excluded.path",
                rows,
            )

    def keep_preflight(self, preflight: Preflight) -> None:
        """Remember a green preflight in place of earlier ones. Raises `UsageError` where it cannot be written."""
        with self.writing() as connection:
            connection.execute("DELETE FROM preflight")
            row = (preflight.made.isoformat(), preflight.until.isoformat(), preflight.binding)
            connection.execute("INSERT INTO preflight VALUES (?, ?, ?)", row)

    def forget_preflight(self) -> None:
        """Forget the last green preflight: a later one was not."""
        with self.writing() as connection:
            connection.execute("DELETE FROM preflight")

    def preflight(self) -> Preflight | None:
        """Return the last green preflight."""
        found = self._read("SELECT made, until, binding FROM preflight", (), Preflight)
        return found[0] if found else None

    def head(self, name: str) -> Head | None:
        """Return the last link of a chain that this host writes; None where it has none yet."""
        found = self._read("SELECT digest, sequence FROM head WHERE name = ?", (name,), Head)
        return found[0] if found else None

    def set_head(self, name: str, head: Head) -> None:
        """Remember the last link of a chain. Raises `UsageError` where it cannot be written."""
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (name, *head))


def _storable(text: str) -> str:
    """Escape what a name on this host can hold and UTF-8 cannot."""
    return text.encode(errors="backslashreplace").decode()
