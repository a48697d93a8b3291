"""Reads what the rows of each runtime's business database name: webhooks, settings, identity providers, metadata.

Only with `--database`. Files are read where they lie; a server is dialled only when the allowlist approves it, from the
runtime's own network namespace, as the runtime's own role, read-only, and never by a name that would have to be asked
for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airgap_check.collectors import database_server, sqlite
from airgap_check.collectors.default_database import default_database
from airgap_check.collectors.stored_rows import TableRows, UnreadableError
from airgap_check.evidence import Evidence
from airgap_check.evidence.asset import Check, Reference
from airgap_check.kernel import foreign_path, procfs
from airgap_check.objectos import business_database, rows
from airgap_check.redact import printable, url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.objectos.business_database import Database

_ELSEWHERE = "holds none of the tables that a runtime makes: what it knows is in another database or schema"
_BLIND = "rows that are encrypted at rest, tables of applications, and a default datasource that the artifact declares"


def collect(
    installations: Sequence[Installation],
    approves: Callable[[Endpoint], bool],
    deadline: float | None,
    *,
    addresses: Callable[[Endpoint], Sequence[str]] = lambda _: (),
) -> Evidence:
    """Read every database that a runtime uses, each once.

    ``approves`` tells whether the allowlist approves a server, ``addresses`` the numeric addresses that the name of one
    was resolved to: without one it is not dialled, since nobody here asks a resolver.
    """
    reading = _Reading(approves, addresses, deadline)
    for installation in installations:
        if deadline is not None and time.monotonic() > deadline:
            reading.reasons.append("stopped at the time limit before the database of every runtime was read")
            break
        reading.installation(installation)
    return Evidence(
        kind="database",
        status="partial" if reading.reasons else "complete",
        records=tuple(reading.records),
        reason="; ".join(dict.fromkeys(reading.reasons)),
        scope="the tables of each runtime's business database that name destinations",
        counts={"databases": reading.databases, "tables": reading.tables, "rows": reading.rows},
        blind=(_BLIND,),
    )


class _Reading:
    """What was read so far, and what could not be."""

    def __init__(
        self,
        approves: Callable[[Endpoint], bool],
        addresses: Callable[[Endpoint], Sequence[str]],
        deadline: float | None,
    ) -> None:
        self._approves, self._addresses, self._deadline = approves, addresses, deadline
        self._seen: set[tuple[object, ...]] = set()
        self.records: list[AnyRecord] = []
        self.reasons: list[str] = []
        self.databases = self.tables = self.rows = 0

    def installation(self, installation: Installation) -> None:
        """Read the databases of one runtime that no other has shown already; one that has gone leaves no doubts."""
        if procfs.start_ticks(installation.thread) is None:
            return
        try:
            named = business_database.named(installation.product, installation.settings) or [_default(installation)]
        except (OSError, UnreadableError) as error:
            self._unread(installation, "the business database", _words(error))
            return
        for database in named:
            subject = _label(database)
            try:
                read = self._read(installation, database)
            except (OSError, UnreadableError) as error:
                self._unread(installation, subject, _words(error))
                continue
            if read is not None and all(one.missing for one in read):
                self._unread(installation, subject, _ELSEWHERE)
            elif read is not None:
                self._state(installation, subject, read)

    def _read(self, installation: Installation, database: Database) -> list[TableRows] | None:
        """Read one database; None when it was read before."""
        if database.kind == "sqlite":
            path = installation.path(database.path)
            if path is None:
                raise UnreadableError("its path is relative to a working directory that cannot be told")
            if self._known(*foreign_path.identity(installation.thread, path)):
                return None
            return sqlite.read(installation.thread, path, self._deadline)
        if self._known(database.url, installation.netns):
            return None
        if database.kind == "postgresql":
            return database_server.read(installation, database, self._approves, self._addresses, self._deadline)
        if database.kind == "memory":
            raise UnreadableError("is kept in the runtime's memory, which cannot be examined")
        raise UnreadableError(f"cannot be examined: {database.scheme or 'this kind of database'} is not read")

    def _known(self, *key: object) -> bool:
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def _unread(self, installation: Installation, subject: str, why: str) -> None:
        self.reasons.append(f"{subject}: {why}")
        self.records.append(_check(installation, "database", subject, "unknown", why))

    def _state(self, installation: Installation, subject: str, read: Sequence[TableRows]) -> None:
        self.databases += 1
        self.records.append(_check(installation, "database", subject, "passed", "was read"))
        for one in read:
            self.tables += not one.missing
            self.rows += len(one.rows)
            self.records.append(_table_check(installation, subject, one))
            if one.reason:
                self.reasons.append(f"{subject}: {one.table.name} {one.reason}")
            self.records += _references(installation, one)


def _references(installation: Installation, one: TableRows) -> Iterator[Reference]:
    for found in rows.references(one.table, one.rows, installation.settings.__contains__):
        yield Reference(
            path=one.table.name,
            process=installation.process,
            workload=installation.workload,
            seen="database",
            **found._asdict(),
        )


def _table_check(installation: Installation, subject: str, one: TableRows) -> Check:
    detail = one.reason or ("is not there: this runtime has no such table" if one.missing else f"{len(one.rows)} rows")
    return _check(
        installation, "table", f"{one.table.name} of {subject}", "unknown" if one.reason else "passed", detail
    )


def _check(installation: Installation, aspect: str, subject: str, outcome: str, detail: str) -> Check:
    return Check(
        aspect=aspect,
        subject=subject,
        outcome="passed" if outcome == "passed" else "unknown",
        detail=detail,
        process=installation.process,
        workload=installation.workload,
        seen="database",
    )


def _default(installation: Installation) -> Database:
    """Return the database of a runtime that was told of none. Raises OSError, and `UnreadableError` as well."""
    found = default_database(installation)
    if found is None:
        raise UnreadableError("no setting names it, and where its default lies cannot be told without a home folder")
    return found


def _label(database: Database) -> str:
    """Name a database without its secrets."""
    return url(printable(database.path or database.url or database.named_by))[:300]


def _words(error: OSError | UnreadableError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there: no runtime has made it, or it is not where its settings say"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return printable(text)[:300]
