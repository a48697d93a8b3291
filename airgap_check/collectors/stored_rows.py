"""What was read from the tables of one business database, whichever kind of database it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos.rows import CELL, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airgap_check.objectos.rows import Row, Table

CHARACTERS = 64 << 20  # of one table; metadata of a big application is some megabytes


class TableRows(NamedTuple):
    """The rows of one table: ``missing`` where this product has none, ``reason`` says what was not seen of it."""

    table: Table
    rows: list[Row]
    reason: str = ""
    missing: bool = False


class UnreadableError(Exception):
    """A database could not be examined; the text says why, and holds no secret."""


def gather(table: Table, columns: Sequence[str], cells: Iterable[Sequence[str | None]]) -> TableRows:
    """Take the rows of a table as they come, as far as that is reasonable, and say what that leaves out."""
    kept: list[Row] = []
    reasons: list[str] = []
    size = cut = 0
    for one in cells:
        size += sum(len(text) for text in one if text)
        if len(kept) == ROWS or size > CHARACTERS:
            reasons.append(f"was read up to row {len(kept)} only, there are more")
            break
        cut += sum(1 for text in one if text and len(text) > CELL)
        kept.append(dict(zip(columns, one, strict=False)))
    if cut:
        reasons.append(f"{cut} values are longer than {CELL} characters, which is as far as they are read")
    return TableRows(table, kept, "; ".join(reasons))


def columns_of(table: Table, present: set[str]) -> tuple[str, ...]:
    """Return the columns to ask for; raises `UnreadableError` where the table has not what makes it worth reading."""
    lacking = [name for name in table.needed if name not in present]
    if lacking:
        raise UnreadableError(f"has no column {', '.join(lacking)}: its rows are of a form that is not known")
    return tuple(name for name in table.columns if name in present)
