"""How long the memory keeps what, so that it stays small: by age and by number, and never what still stands."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from sqlite3 import Connection

AGE = timedelta(days=400)
RUNS = 20_000  # two weeks of minutely runs, 69 days of five-minutely ones, AGE of hourly ones
RESOLVED = 20_000  # findings that are gone
_SLACK = 500  # rows more than that, until they are worth the work
_AT_ONCE = 1000  # rows that one run drops for their age: a clock that leaps must not empty the memory at once
_PAGES = 2000  # that one run gives back to the file system


def trim(connection: Connection, now: datetime) -> None:
    """Drop what is too old or too many. Part of a transaction; raises sqlite3.Error."""
    old = (now - AGE).isoformat()
    dropped = connection.execute(
        "DELETE FROM run WHERE id IN (SELECT id FROM run WHERE id < (SELECT max(id) FROM run) ORDER BY id LIMIT ?)"
        " AND started < ? AND (finished IS NOT NULL OR told = 1)",
        (_AT_ONCE, old),
    ).rowcount
    (first, last) = connection.execute("SELECT min(id), max(id) FROM run").fetchone()
    if first is not None and last - first >= RUNS + _SLACK:
        dropped += connection.execute("DELETE FROM run WHERE id <= ?", (last - RUNS,)).rowcount
    if dropped:
        connection.execute(
            "DELETE FROM wording WHERE id NOT IN (SELECT terms FROM run WHERE terms IS NOT NULL UNION"
            " SELECT coverage FROM run WHERE coverage IS NOT NULL UNION"
            " SELECT reasons FROM run WHERE reasons IS NOT NULL)"
        )
    connection.execute(
        "DELETE FROM finding WHERE (rule, fingerprint) IN"
        " (SELECT rule, fingerprint FROM finding WHERE resolved < ? LIMIT ?)",
        (old, _AT_ONCE),
    )
    (gone,) = connection.execute("SELECT count(*) FROM finding WHERE resolved IS NOT NULL").fetchone()
    if gone > RESOLVED + _SLACK:
        connection.execute(
            "DELETE FROM finding WHERE (rule, fingerprint) IN (SELECT rule, fingerprint FROM finding"
            " WHERE resolved IS NOT NULL ORDER BY resolved LIMIT ?)",
            (gone - RESOLVED,),
        )


def give_back(connection: Connection) -> None:
    """Return pages that nothing is on to the file system; outside a transaction. Raises sqlite3.Error."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free > _PAGES // 20:
        # Each step gives back one page and is a row without columns, after which `execute` would stop.
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
