"""The report for a person at a terminal: the verdict and its claim, then what was found, then what was not seen."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from airgap_check.redact import printable
from airgap_check.reporters import spoken, wording
from airgap_check.reporters.account import (
    Advice,
    Grid,
    Heading,
    Headline,
    Labelled,
    Line,
    RuleHeading,
    Statement,
    account,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report

DEFAULT_WIDTH = 120
_NARROWEST = 20  # columns; fewer, and every word would be a column of letters
_HANG = 2  # columns by which the rest of a line to be typed stands further in, where it does not fit
_FILL = re.compile(r"(?: |\x1b\[[0-9;]*m)+$")  # blanks up to the edge, and the colours between them
_VERDICTS = {"compliant": "bold green", "not_compliant": "bold red", "inconclusive": "bold yellow"}
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_TONES = {"complete": "green", "partial": "yellow", "unavailable": "red", "plain": "default", "dim": "dim", "": ""}


def render(
    report: Report, *, colour: bool = False, width: int | None = None, verbose: bool = False, plain: bool = False
) -> str:
    """Render the report as text of a width in columns; everything that came from the host is made harmless.

    ``plain`` is for who hears the report: no colour, no table, no column, one statement a line.
    """
    statements = account(report, verbose=verbose)
    if plain:
        return spoken.tell(statements)
    text = StringIO()
    console = Console(
        file=text,
        width=max(width or DEFAULT_WIDTH, _NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    for statement in statements:
        _draw(console, statement)
    return "".join(f"{_FILL.sub(_unfilled, line)}\n" for line in text.getvalue().splitlines())


def _unfilled(fill: re.Match[str]) -> str:
    return fill[0].replace(" ", "")


def _draw(console: Console, statement: Statement) -> None:
    match statement:
        case Headline():
            word = Text(wording.VERDICTS[statement.verdict], _VERDICTS[statement.verdict])
            console.print(word.append(f" ({statement.claim})", "default"), soft_wrap=True)
        case Heading():
            console.print()
            console.print(Text(statement.text, "bold"))
        case RuleHeading(severity, rule, title):
            console.print()
            name = Text.assemble((printable(rule), "bold"), f"  {printable(title)}")
            _beside(console, (Text(severity, _COLOURS[severity]), name), 0, gap=2)
        case Line(_, text, indent, tone):
            _beside(console, (Text(printable(text), _TONES[tone]),), indent)
        case Labelled(label, text, indent):
            _beside(console, (_label(label), Text(printable(text))), indent)
        case Advice(label, text, indent):
            room = max(console.width, _NARROWEST) - indent - len(label) - 2
            lines = [part for line in text.splitlines() for part in _hanging(console, printable(line), room)]
            _beside(console, (_label(label), Text("\n".join(lines))), indent)
        case Grid(rows):
            table = _grid(2, max(len(row.cells) for row in rows))
            for row in rows:
                table.add_row(*(Text(printable(text), _TONES[tone]) for text, tone in row.cells))
            console.print(Padding(table, (0, 0, 0, 2)))


def _label(word: str) -> Text:
    return Text(f"{word}:", "dim", no_wrap=True)


def _hanging(console: Console, line: str, room: int) -> Iterator[str]:
    """Break a line that is to be typed, which begins with blanks, so that one sees where the next one begins."""
    words = line.lstrip(" ")
    lead = len(line) - len(words)
    if not lead:
        yield line
        return
    for index, part in enumerate(Text(words).wrap(console, max(room - lead - _HANG, 1), overflow="fold")):
        yield " " * (lead + _HANG * bool(index)) + part.plain.rstrip()


def _grid(gap: int, columns: int) -> Table:
    """Make a table without lines; a word that is too long goes on below, for what is cut off could be what matters."""
    table = Table.grid(padding=(0, gap))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def _beside(console: Console, cells: tuple[Text, ...], indent: int, gap: int = 1) -> None:
    """Print texts side by side, each a paragraph whose later lines hang."""
    table = _grid(gap, len(cells))
    table.add_row(*cells)
    console.print(Padding(table, (0, 0, 0, indent)))
