"""What is remembered, for whoever asks: runs and findings, read without holding anything that a run needs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from airgap_check.errors import UsageError
from airgap_check.evidence.fact import Instant  # noqa: TC001  (msgspec reads the annotations)
from airgap_check.finding import Severity, Verdict  # noqa: TC001  (msgspec reads the annotations)
from airgap_check.history import database, seal
from airgap_check.history.presence import Presence
from airgap_check.history.store import Head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_T = TypeVar("_T")
_MOST = 1000  # findings of one answer

_RUN = """
SELECT run.id, started, heard, finished, lane, verdict, code, gap, low, medium, high, critical, appeared, resolved,
    standing, wording.body FROM run LEFT JOIN wording ON wording.id = run.reasons ORDER BY run.id DESC LIMIT ?
"""
_FINDING = """
SELECT rule, fingerprint, severity, subject, message, first, last, resolved, waived, times, reopened FROM finding
"""


class Run(NamedTuple):
    """A run in a line. Without ``heard`` it has not reported, without ``finished`` it goes on or was killed.

    ``gap`` is in seconds, since an earlier run reported; ``lane`` names how it looked, and at how much.
    """

    id: int
    started: Instant
    heard: Instant | None
    finished: Instant | None
    lane: str | None
    verdict: Verdict | None
    code: int | None
    gap: int | None
    low: int | None
    medium: int | None
    high: int | None
    critical: int | None
    appeared: int | None
    resolved: int | None
    standing: int | None
    reasons: str | None
    alive: bool = False

    @property
    def violations(self) -> int | None:
        """Return how many findings it had that nobody waived; None where it never reported."""
        counts = (self.low, self.medium, self.high, self.critical)
        return None if self.heard is None else sum(count or 0 for count in counts)


class Remembered(NamedTuple):
    """A finding in a line: it stands unless it is ``resolved``; ``reopened`` says how often it has come back."""

    rule: str
    fingerprint: str
    severity: Severity
    subject: str
    message: str
    first: Instant
    last: Instant
    resolved: Instant | None
    waived: bool
    times: int
    reopened: int


def _corrupt(path: str, error: UsageError) -> UsageError:
    return UsageError(f"{path}: is corrupt ({error}); the next run moves it aside and says so")


class Account:
    """The memory as it lies in a folder."""

    def __init__(self, folder: str, connection: sqlite3.Connection) -> None:
        """Take what `reading` has opened."""
        self._folder, self._connection = folder, connection

    def runs(self, limit: int) -> list[Run]:
        """Return the last runs, the oldest of them first. Raises `UsageError`."""
        found = self._rows(_RUN, (limit,), Run)
        found.reverse()
        if all(run.finished for run in found):
            return found
        try:
            with Presence(self._folder, write=False) as presence:
                return [run._replace(alive=run.finished is None and presence.is_alive(run.id)) for run in found]
        except OSError:  # nobody has said anywhere that he is at work
            return found

    def head(self, name: str) -> Head | None:
        """Return the last link of a chain that this host writes; None where it has none. Raises `UsageError`."""
        found = self._rows("SELECT digest, sequence FROM head WHERE name = ?", (name,), Head)
        return found[0] if found else None

    def standing(self) -> list[Remembered]:
        """Return the findings that stand, the gravest and oldest first. Raises `UsageError`."""
        order = "CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END"
        return self._rows(
            f"{_FINDING} WHERE resolved IS NULL AND waived = 0 ORDER BY {order}, first, rule LIMIT ?",
            (_MOST,),
            Remembered,
        )

    def standing_count(self) -> int:
        """Return how many findings stand. Raises `UsageError`."""
        ((count,),) = self._rows("SELECT count(*) FROM finding WHERE resolved IS NULL AND waived = 0", (), tuple[int])
        return count

    def findings(self, fingerprint: str) -> list[Remembered]:
        """Return the findings whose fingerprint begins so. Raises `UsageError`."""
        return self._rows(
            f"{_FINDING} WHERE substr(fingerprint, 1, ?) = ? LIMIT ?",
            (len(fingerprint), fingerprint, _MOST),
            Remembered,
        )

    def _rows(self, statement: str, values: Sequence[object], row: type[_T]) -> list[_T]:
        path = os.path.join(self._folder, database.FILE)
        try:
            rows = self._connection.execute(statement, values).fetchall()
            return [msgspec.convert(found, row, strict=False) for found in rows]  # SQLite has no truth but 0 and 1
        except (sqlite3.Error, ValueError) as error:
            reason = database.understood(path, error)
            raise _corrupt(path, reason) if isinstance(reason, database.CorruptError) else reason from error


@contextmanager
def reading(folder: str) -> Iterator[Account]:
    """Open the memory in a folder, and change nothing. Raises `UsageError` where there is none, or it is corrupt."""
    path = os.path.join(folder, database.FILE)
    try:
        seal.check(folder, path)
        connection = database.readable(path)
    except database.CorruptError as error:
        raise _corrupt(path, error) from error
    try:
        yield Account(folder, connection)
    finally:
        connection.close()
