"""Keeps what a walk finds, within bounds: beyond them a destination counts once, and flaws are only counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.objectos.artifact.found import Flaw, Found

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Dialer
    from airgap_check.evidence.fact import Endpoint

_DESTINATIONS, _DISTINCT, _FLAWS = 1_000, 5_000, 50


class Sink:
    """Takes what is found; without ``bounded``, all of it. ``dropped`` counts destinations beyond the bound."""

    def __init__(self, *, bounded: bool = True) -> None:
        """Begin empty."""
        self.found: list[Found] = []
        self.dropped = 0
        self._bounded = bounded
        self._flaws: list[Flaw] = []
        self._counts: dict[str, int] = {}
        self._known: set[object] = set()

    def wants(self, end: Endpoint | None, text: str, dialer: Dialer, role: str | None) -> bool:
        """Tell whether one more destination should be added: each place of the first, each destination of all."""
        if not self._bounded:
            return True
        same = (end.name, end.address, end.port, dialer, role) if end else (text, dialer, role)
        known = same in self._known
        if len(self.found) < _DESTINATIONS or (not known and len(self.found) < _DISTINCT):
            self._known.add(same)
            return True
        self.dropped += not known
        return False

    def flaw(self, aspect: str, detail: str, pointer: str) -> None:
        """Add a flaw."""
        self._counts[aspect] = self._counts.get(aspect, 0) + 1
        if self._counts[aspect] <= _FLAWS or not self._bounded:
            self._flaws.append(Flaw(aspect, "failed", detail, pointer))

    def flaws(self) -> tuple[Flaw, ...]:
        """Return the flaws, and of each aspect how many more there are."""
        more = {aspect: count - _FLAWS for aspect, count in self._counts.items() if self._bounded and count > _FLAWS}
        return (*self._flaws, *(Flaw(aspect, "failed", f"and {count} more", None) for aspect, count in more.items()))
