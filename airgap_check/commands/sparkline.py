"""A row of bars, one a number: how something went, in a line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.:-=+*#"  # as dense as they are high, where the terminal knows ASCII alone
_GAP = " "


def draw(values: Sequence[int | None], *, ascii_alone: bool = False) -> str:
    """Draw a bar for each number, the lowest for 0 alone and the highest for the greatest; None is a blank."""
    bars = _ASCII if ascii_alone else _BLOCKS
    top = max((value for value in values if value is not None), default=0)
    return "".join(_GAP if value is None else bars[_height(value, top, len(bars))] for value in values)


def _height(value: int, top: int, steps: int) -> int:
    """Return which bar it is; what is not 0 never looks like it."""
    return 0 if value <= 0 else max(1, round(value / top * (steps - 1)))
