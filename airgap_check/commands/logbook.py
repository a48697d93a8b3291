"""Runs and findings that are remembered, as text: a table of 80 columns, or a statement a line for a screen reader."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from airgap_check.commands import sparkline
from airgap_check.redact import printable
from airgap_check.reporters.wording import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airgap_check.history.account import Account, Remembered, Run

_SHOWN = 200  # findings
_BARS = 60  # as many as stand in a line beside their title
_HEADINGS = ("run", "began (UTC)", "how", "verdict", "found", "new", "gone", "gap")
_INDENT = " " * 12
_WIDTHS = (5, -16, -9, -13, 6, 5, 5, -7)  # negative ones are flush left


def table(memory: Account, limit: int, *, width: int, ascii_alone: bool) -> Iterator[str]:
    """Yield the lines of the table, and of the findings that stand, folded to a width."""
    runs = memory.runs(limit)
    if not runs:
        yield "no run is remembered yet"
        return
    yield _row(_HEADINGS)
    for run in runs:
        counts = ("-" if count is None else str(count) for count in (run.violations, run.appeared, run.resolved))
        began = f"{run.started:%Y-%m-%d %H:%M}"
        yield _row((str(run.id), began, _state(run), _verdict(run) or "-", *counts, _gap(run.gap)))
    last = runs[-_BARS:]
    title = "found" if len(last) == len(runs) else f"found, last {_BARS}"
    yield from ("", f"{title}: {sparkline.draw([run.violations for run in last], ascii_alone=ascii_alone)}", "")
    yield from _standing(memory, width)


def statements(memory: Account, limit: int) -> Iterator[str]:
    """Yield the same, each a sentence in a line."""
    runs = memory.runs(limit)
    if not runs:
        yield "No run is remembered yet."
    for run in runs:
        words = [f"Run {run.id}: {(_verdict(run) or 'no verdict').lower()}", _state(run)]
        words.append(f"began {run.started:%Y-%m-%d %H:%M:%S} UTC")
        if run.violations is not None:
            words.append(f"{run.violations} found, {run.appeared} new, {run.resolved} gone")
        if run.gap is not None:
            words.append(f"{_gap(run.gap)} after an earlier run reported")
        yield "; ".join(words)
    if runs:
        yield from _standing(memory, plain=True)


def whole(one: Remembered) -> Iterator[str]:
    """Yield all that is remembered of a finding."""
    state = f"resolved {_minute(one.resolved)}" if one.resolved else "waived" if one.waived else "stands"
    yield printable(f"{one.rule}  ({one.severity})  {state}")
    yield f"  {printable(one.subject)}"
    yield f"  {printable(one.message)}"
    times, back = _count(one.times, "run"), _count(one.reopened, "time")
    yield f"  first seen {_minute(one.first)}, last seen {_minute(one.last)}, in {times}, came back {back}"
    yield f"  fingerprint {printable(one.fingerprint)}"
    yield ""


def _row(cells: Sequence[str]) -> str:
    sized = (
        f"{cell:<{-width}}" if width < 0 else f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)
    )
    return "  ".join(sized).rstrip()


def _state(run: Run) -> str:
    """Say how a run looked, or what else became of it."""
    if run.finished is None:
        return "at work" if run.alive else "killed"
    return printable(run.lane or "-").partition(" ")[0]


def _verdict(run: Run) -> str | None:
    return VERDICTS[run.verdict] if run.verdict else None


def _gap(seconds: int | None) -> str:
    """Write a number of seconds in its two greatest units."""
    if seconds is None:
        return "-"
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds % 60}s" if minutes else f"{seconds}s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _standing(memory: Account, width: int = 0, *, plain: bool = False) -> Iterator[str]:
    """Yield the findings that stand, the gravest first."""
    count = memory.standing_count()
    yield f"{_count(count, 'finding')} stand{'s' if count == 1 else ''}"
    for one in memory.standing()[:_SHOWN]:
        since, digits = f"since {_minute(one.first)}", one.fingerprint[:12]
        if plain:
            yield printable(f"Finding: {one.message}; {one.severity}, {one.rule}, {since}, fingerprint {digits}")
            continue
        yield printable(f"  {one.severity:8}  {since}  {digits}  {one.rule}")
        yield from textwrap.wrap(
            printable(one.message), width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
        )
    if count > _SHOWN:
        yield f"and {count - _SHOWN} more: --json lists them"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
