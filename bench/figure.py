"""A figure as the benchmarks print it."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """A measured figure; ``aim`` is the most it should be, or with ``least`` the least."""

    what: str
    value: float
    unit: str
    aim: float | None = None
    detail: str = ""
    least: bool = False

    @property
    def met(self) -> bool:
        """Tell whether the aim was reached."""
        if self.aim is None:
            return True
        return self.value >= self.aim if self.least else self.value <= self.aim
