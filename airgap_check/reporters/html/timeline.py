"""The timeline as geometry: a bar from first to last for each who and where, and the times in which nobody looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.reporters import egress, wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airgap_check.evidence import Allowed
    from airgap_check.finding import Report
    from airgap_check.reporters.egress import Flow

WIDTH = 960
BEGIN, END = 330, 940  # where the time axis begins and ends
TOP = 34
ROW = 24
_MOST = 30
_TICKS = 5
_LEAST_WIDTH = 3.0  # of a bar: a moment must be seen, too


class Bar(NamedTuple):
    """A stretch of the axis, and what it stands for."""

    x: float
    width: float
    title: str


class Row(NamedTuple):
    """A line of the timeline."""

    text: str
    y: float
    allowed: Allowed
    bars: tuple[Bar, ...]


class Timeline(NamedTuple):
    """The whole drawing; ``ticks`` are places and times, ``gaps`` the hatched stretches."""

    height: int
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    gaps: tuple[Bar, ...]


class _Axis:
    """Places moments between the first and the last one."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start, self.end = start, end
        self._seconds = (end - start).total_seconds()

    def place(self, moment: datetime) -> float:
        share = (moment - self.start).total_seconds() / self._seconds
        return BEGIN + (END - BEGIN) * min(max(share, 0.0), 1.0)

    def bar(self, first: datetime, last: datetime, title: str) -> Bar:
        left = self.place(first)
        width = max(self.place(last) - left, _LEAST_WIDTH)
        return Bar(round(min(left, END - width), 1), round(width, 1), title)

    def ticks(self) -> Iterator[tuple[float, str]]:
        for index in range(_TICKS):
            moment = self.start + (self.end - self.start) * index / (_TICKS - 1)
            yield round(self.place(moment), 1), f"{moment:%H:%M:%S}"


def draw(report: Report, flows: Sequence[Flow]) -> Timeline | None:
    """Draw what has times; None where nothing has, as in a snapshot."""
    timed = [flow for flow in flows if flow.first]
    firsts = [flow.first for flow in timed if flow.first]
    lasts = [flow.last for flow in timed if flow.last]
    start = min([report.window.start, *firsts])
    end = max([report.window.end, *lasts])
    if start == end or not (timed or report.window.gaps):
        return None
    axis = _Axis(start, end)
    rows = list(_rows(axis, timed))
    return Timeline(
        height=TOP + max(len(rows), 1) * ROW + 8,
        rows=tuple(row._replace(y=TOP + index * ROW) for index, row in enumerate(rows)),
        ticks=tuple(axis.ticks()),
        gaps=tuple(
            axis.bar(first, last, f"unobserved: {wording.moment(first)} to {wording.moment(last)}")
            for first, last in report.window.gaps
        ),
    )


def _rows(axis: _Axis, flows: Sequence[Flow]) -> Iterator[Row]:
    shown = flows if len(flows) <= _MOST else flows[: _MOST - len(egress.WORST_FIRST)]
    for flow in shown:
        yield Row(f"{flow.who} to {flow.where}", 0, flow.allowed, (_bar(axis, flow),))
    for allowed in egress.WORST_FIRST:
        others = [flow for flow in flows[len(shown) :] if flow.allowed == allowed]
        if others:
            text = f"{len(others):,} more, {wording.ALLOWED[allowed]}"
            yield Row(text, 0, allowed, tuple(_united(axis, others)))


def _bar(axis: _Axis, flow: Flow) -> Bar:
    first, last = flow.first or axis.start, flow.last or axis.end
    when = f"{wording.moment(first)} to {wording.moment(last)}"
    words = f"{wording.count(flow.connections, 'connection')}, {wording.ALLOWED[flow.allowed]}"
    return axis.bar(first, last, f"{flow.who} to {flow.where}: {words}, {when}")


def _united(axis: _Axis, flows: Sequence[Flow]) -> Iterator[Bar]:
    """Yield the stretches that the bars of many flows cover together."""
    bars = sorted(_bar(axis, flow)[:2] for flow in flows)
    left, right, number = bars[0][0], bars[0][0], 0
    for x, width in bars:
        if x > right + 1:
            yield Bar(round(left, 1), round(right - left, 1), wording.count(number, "pair"))
            left, number = x, 0
        right = max(right, x + width)
        number += 1
    yield Bar(round(left, 1), round(right - left, 1), wording.count(number, "pair"))
