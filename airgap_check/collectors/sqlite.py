"""Reads the tables that name destinations from an SQLite database, which may be hostile, without touching its files."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from airgap_check.collectors import sqlite_image
from airgap_check.collectors.stored_rows import TableRows, UnreadableError, columns_of, gather
from airgap_check.objectos.rows import CELL, ROWS, TABLES
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.objectos.rows import Table

SECONDS = 10.0  # for all questions together: a view can be made to run for ever
_STEPS = 10_000  # virtual machine instructions between two looks at the clock
_LENGTH = 16 << 20
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_FUNCTIONS = frozenset({"substr", "min", "count", "cast", "coalesce", "ifnull", "lower", "upper", "length"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _LENGTH,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


def read(thread: int, path: str, deadline: float | None) -> list[TableRows]:
    """Read every table of `TABLES` from a database as a process finds it.

    Raises OSError where the file may not be read, and `UnreadableError` where nothing of it could be understood.
    """
    try:
        image = sqlite_image.read(thread, path, deadline)
    except sqlite_image.ImageError as error:
        raise UnreadableError(str(error)) from None
    if not image.data:
        raise UnreadableError("is empty: no runtime has made its tables yet")
    end = min(deadline or float("inf"), time.monotonic() + SECONDS)
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
    try:
        _harden(connection, end)
        connection.deserialize(image.data)
        image.data.clear()
        connection.set_authorizer(_authorize)
        tables = [_table(connection, table) for table in TABLES]
    except (sqlite3.Error, MemoryError, OverflowError) as error:
        raise UnreadableError(_said(error, end)) from None
    finally:
        connection.close()
    return [one._replace(reason="; ".join(filter(None, (one.reason, image.doubt)))) for one in tables]


def _harden(connection: sqlite3.Connection, end: float) -> None:
    """Prepare for a file that somebody made to harm its reader (sqlite.org/security.html)."""
    for category, limit in _LIMITS.items():
        connection.setlimit(category, limit)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_FUNCTION and (second or first or "").lower() in _FUNCTIONS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _table(connection: sqlite3.Connection, table: Table) -> TableRows:
    """Read one table; the next may be sound although this one is not. Raises sqlite3.Error for the file as a whole."""
    kind = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE LIMIT 1", [table.name])
    stated = kind.fetchone()
    if stated is None:
        return TableRows(table, [], missing=True)
    if stated[0] not in {"table", "view"} or str(stated[1]).lstrip().lower().startswith("create virtual"):
        return TableRows(table, [], "is no ordinary table")
    try:
        described = connection.execute(f'SELECT * FROM "{table.name}" LIMIT 0').description  # noqa: S608
        present = {str(column[0]) for column in described}
        columns = columns_of(table, present)
        # As bytes: substr of text ends at the first NUL, and URL parsers drop one at the beginning (WHATWG URL, 4.4).
        wanted = ", ".join(f'substr(CAST("{name}" AS BLOB), 1, {4 * CELL + 1})' for name in columns)
        distinct = "DISTINCT " if table.grouped else ""
        query = f'SELECT {distinct}{wanted} FROM "{table.name}" LIMIT {ROWS + 1}'  # noqa: S608  (names of our own)
        return gather(table, columns, (tuple(map(_text, row)) for row in connection.execute(query)))
    except UnreadableError as error:
        return TableRows(table, [], str(error))
    except (sqlite3.Error, MemoryError, OverflowError) as error:
        return TableRows(table, [], _said(error, None))


def _text(cell: bytes | None) -> str | None:
    return None if cell is None else cell.decode(errors="replace")


def _said(error: Exception, end: float | None) -> str:
    """Return an error in words; what SQLite says may quote the schema."""
    if isinstance(error, MemoryError):
        return "needs more memory than is spent on it"
    if "interrupted" in str(error):
        return f"could not be read within {SECONDS:.0f} s" if end is None or time.monotonic() > end else "was cut short"
    return printable(str(error))[:200]
