"""The egress map as geometry: who stands left, where stands right, a line between them for what was tried."""

from __future__ import annotations

from collections import Counter
from math import log10
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.reporters import egress, wording

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from airgap_check.evidence import Allowed
    from airgap_check.reporters.egress import Flow

WIDTH = 960  # of the drawing, in its own units; the browser scales it
LEFT, RIGHT = 330, 610  # where lines begin and end
_ROW = 26
_TOP = 34  # below the headings of the columns
_MOST_LEFT = 18
_MOST_RIGHT: dict[Allowed, int] = {"no": 20, "unknown": 12, "yes": 12}


class Node(NamedTuple):
    """A name at a height; ``allowed`` is empty on the left."""

    text: str
    y: float
    allowed: Allowed | str = ""


class Link(NamedTuple):
    """A line from a height on the left to one on the right."""

    path: str
    thickness: float
    allowed: Allowed
    title: str


class EgressMap(NamedTuple):
    """The whole drawing."""

    height: int
    left: tuple[Node, ...]
    right: tuple[Node, ...]
    links: tuple[Link, ...]


def draw(flows: Sequence[Flow]) -> EgressMap:
    """Place what a page can show, worst first; the many that remain share one place a side, and one an outcome."""
    who = _kept((flow.who for flow in flows), _MOST_LEFT, "processes")
    where = {
        allowed: _kept((flow.where for flow in flows if flow.allowed == allowed), _MOST_RIGHT[allowed], "destinations")
        for allowed in egress.WORST_FIRST
    }
    weights: Counter[tuple[str, Allowed, str]] = Counter()
    for flow in flows:
        weights[who[flow.who], flow.allowed, where[flow.allowed][flow.where]] += flow.connections
    lefts = list(dict.fromkeys(who.values()))
    rights = [(allowed, name) for allowed in egress.WORST_FIRST for name in dict.fromkeys(where[allowed].values())]
    rows = max(len(lefts), len(rights), 1)
    left, right = _heights(lefts, rows), _heights(rights, rows)
    return EgressMap(
        height=_TOP + rows * _ROW + 6,
        left=tuple(Node(name, left[name]) for name in lefts),
        right=tuple(Node(name, right[allowed, name], allowed) for allowed, name in rights),
        links=tuple(
            _link(left[one], right[allowed, other], allowed, number, f"{one} to {other}")
            for (one, allowed, other), number in weights.items()
        ),
    )


def _kept(names: Iterable[str], most: int, noun: str) -> dict[str, str]:
    """Say for each name under which it is shown: its own, or that of all the others."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= most:
        return {name: name for name in distinct}
    others = f"{len(distinct) - most + 1:,} other {noun}"
    return {name: name if index < most - 1 else others for index, name in enumerate(distinct)}


def _heights(keys: Sequence[Hashable], rows: int) -> dict[Hashable, float]:
    """Spread names evenly over the rows of the longer side."""
    step = rows * _ROW / max(len(keys), 1)
    return {key: round(_TOP + (index + 0.5) * step, 1) for index, key in enumerate(keys)}


def _link(begin: float, end: float, allowed: Allowed, number: int, title: str) -> Link:
    middle = (LEFT + RIGHT) // 2
    path = f"M{LEFT} {begin}C{middle} {begin} {middle} {end} {RIGHT} {end}"
    thickness = round(1.25 + log10(max(number, 1)), 2)
    return Link(path, thickness, allowed, f"{title}: {wording.count(number, 'connection')}, {wording.ALLOWED[allowed]}")
