"""Reads the tables that name destinations from a PostgreSQL database, as the runtime's own role, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.collectors.postgresql_session import Login, Session
from airgap_check.collectors.stored_rows import TableRows, UnreadableError, columns_of, gather
from airgap_check.objectos.rows import CELL, ROWS, TABLES

if TYPE_CHECKING:
    from airgap_check.objectos.rows import Table

__all__ = ["Login", "read"]

_COLUMNS = 2000  # more than a table can have
_ORDINARY = frozenset({"r", "p", "m"})  # relkind of pg_class: a view may run anybody's functions as the runtime's role


def read(login: Login, deadline: float | None) -> list[TableRows]:
    """Read every table of `TABLES`. Raises `UnreadableError` where the server cannot be asked."""
    tables: list[TableRows] = []
    with Session(login, deadline) as session:
        for table in TABLES:
            try:
                tables.append(_table(session, table))
            except UnreadableError as error:  # the server has gone: what it has told so far still counts
                tables.append(TableRows(table, [], str(error)))
    return tables


def _table(session: Session, table: Table) -> TableRows:
    """Read one table; the next may be readable although this one is not."""
    at = f"pg_catalog.to_regclass('{table.name}')"
    kinds = list(session.ask(f"SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = {at}", 1))  # noqa: S608  (names of our own)
    if not kinds:
        return TableRows(table, [], missing=True)
    if kinds[0][0] not in _ORDINARY:
        return TableRows(table, [], "is no ordinary table")
    session.savepoint()
    try:
        names = f"SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = {at} AND attnum > 0"  # noqa: S608
        present = {name[0] or "" for name in session.ask(f"{names} AND NOT attisdropped", _COLUMNS)}
        columns = columns_of(table, present)
        wanted = ", ".join(f'pg_catalog.left("{name}"::pg_catalog.text, {CELL + 1})' for name in columns)
        distinct = "DISTINCT " if table.grouped else ""
        query = f'SELECT {distinct}{wanted} FROM "{table.name}" LIMIT {ROWS + 1}'  # noqa: S608
        return gather(table, columns, session.ask(query, ROWS + 1))
    except UnreadableError as error:
        session.back()
        return TableRows(table, [], str(error))
