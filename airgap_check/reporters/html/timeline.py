"""The timeline as geometry: when each who and where was seen, and hatched, the times in which nobody looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.reporters import egress, unobserved, wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airgap_check.evidence import Allowed
    from airgap_check.finding import Report
    from airgap_check.reporters.egress import Flow
    from airgap_check.reporters.unobserved import Absence

WIDTH = 960
BEGIN, END = 330, 940  # where the time axis begins and ends
TOP = 34
ROW = 24
_BEFORE = 44  # the width of what lies before the window, which has no scale
_BREAK = 10  # and between it and the axis
_MOST = 30
_TICKS = 5
_LEAST_WIDTH = 3.0  # of a bar: a moment must be seen, too


class Bar(NamedTuple):
    """A stretch of the axis, and what it stands for."""

    x: float
    width: float
    title: str


class Row(NamedTuple):
    """A line of the timeline; ``told`` says in words what its bars show."""

    text: str
    y: float
    allowed: Allowed
    bars: tuple[Bar, ...]
    told: str


class Timeline(NamedTuple):
    """The whole drawing; ``ticks`` are places and times, ``gaps`` the hatched stretches, ``before`` the one ahead."""

    height: int
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    gaps: tuple[Bar, ...]
    before: Bar | None


class _Axis:
    """Places moments between the first and the last one."""

    def __init__(self, start: datetime, end: datetime, begin: int) -> None:
        self.start, self.end, self._begin = start, end, begin
        self._seconds = (end - start).total_seconds()

    def place(self, moment: datetime) -> float:
        share = (moment - self.start).total_seconds() / self._seconds
        return self._begin + (END - self._begin) * min(max(share, 0.0), 1.0)

    def bar(self, first: datetime, last: datetime, title: str) -> Bar:
        left = self.place(first)
        width = max(self.place(last) - left, _LEAST_WIDTH)
        return Bar(round(min(left, END - width), 1), round(width, 1), title)

    def ticks(self) -> Iterator[tuple[float, str]]:
        days = (self.end - self.start).days
        for index in range(_TICKS):
            moment = self.start + (self.end - self.start) * index / (_TICKS - 1)
            yield round(self.place(moment), 1), f"{moment:%m-%d %H:%M}" if days else f"{moment:%H:%M:%S}"


def draw(report: Report, flows: Sequence[Flow]) -> Timeline | None:
    """Draw a run that watched while time passed; None for one that did not, and for a window of no length."""
    timed = [flow for flow in flows if flow.times]
    start = min([report.window.start, *(flow.times[0][0] for flow in timed)])
    end = max([report.window.end, *(last for flow in timed for _, last in flow.times)])
    if start == end or not (timed or report.window.gaps or report.claim == "observed"):
        return None
    absences = unobserved.absences(report)
    earlier = [one for one in absences if one.start < start]
    axis = _Axis(start, end, BEGIN + (_BEFORE + _BREAK if earlier else 0))
    rows = list(_rows(axis, timed))
    return Timeline(
        height=TOP + max(len(rows), 1) * ROW + 8,
        rows=tuple(row._replace(y=TOP + index * ROW) for index, row in enumerate(rows)),
        ticks=tuple(axis.ticks()),
        gaps=tuple(axis.bar(max(one.start, start), one.end, f"nobody looked: {one}") for one in absences
                   if one.end > start),
        before=_before(earlier),
    )  # fmt: skip


def _before(earlier: Sequence[Absence]) -> Bar | None:
    """Draw what lies before the window in one stretch: hours beside seconds would leave the seconds no room."""
    if not earlier:
        return None
    return Bar(BEGIN, _BEFORE, "; ".join(f"before this run: {one}" for one in earlier))


def _rows(axis: _Axis, flows: Sequence[Flow]) -> Iterator[Row]:
    shown = flows if len(flows) <= _MOST else flows[: _MOST - len(egress.WORST_FIRST)]
    for flow in shown:
        yield _row(axis, f"{flow.who} to {flow.where}", [flow])
    for allowed in egress.WORST_FIRST:
        others = [flow for flow in flows[len(shown) :] if flow.allowed == allowed]
        if others:
            yield _row(axis, f"{len(others):,} more, {wording.ALLOWED[allowed]}", others)


def _row(axis: _Axis, text: str, flows: Sequence[Flow]) -> Row:
    times = sorted(time for flow in flows for time in flow.times)
    number, allowed = sum(flow.connections for flow in flows), flows[0].allowed
    what = f"{wording.count(number, 'connection')}, {wording.ALLOWED[allowed]}"
    told = f"{what}, {wording.moment(times[0][0])} to {wording.moment(max(last for _, last in times))}"
    return Row(text, 0, allowed, tuple(_united(axis, times)), told)


def _united(axis: _Axis, times: Iterable[tuple[datetime, datetime]]) -> Iterator[Bar]:
    """Yield the stretches that moments cover together; such as no eye could keep apart are one."""
    begin = end = None
    for first, last in times:
        if begin and end and axis.place(first) <= axis.place(end) + _LEAST_WIDTH:
            end = max(end, last)
            continue
        if begin and end:
            yield _stretch(axis, begin, end)
        begin, end = first, last
    if begin and end:
        yield _stretch(axis, begin, end)


def _stretch(axis: _Axis, first: datetime, last: datetime) -> Bar:
    begin, end = wording.moment(first), wording.moment(last)
    return axis.bar(first, last, begin if begin == end else f"{begin} to {end}")
