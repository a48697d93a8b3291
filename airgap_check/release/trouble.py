"""What was found wrong, right, or beyond telling in an image: one aspect, one subject, in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Outcome

_MOST_OF_AN_ASPECT = 50  # findings that are told one by one; how many more there were is one more
_LONGEST = 300  # characters of a foreign name that are shown


class Trouble(NamedTuple):
    """One thing that had to be so; ``aspect`` names the rule, ``subject`` the member of the archive, or the blob."""

    aspect: str
    outcome: Outcome
    subject: str
    detail: str


class BrokenError(Exception):
    """What is read makes no sense from here on."""


class HostileError(Exception):
    """What is read was made to harm who unpacks it."""


class ExpiredError(Exception):
    """There is no time left."""


class Ledger:
    """Collects troubles, each once, and not without end."""

    def __init__(self, deadline: float | None = None) -> None:
        """Keep the deadline, in the seconds of the monotonic clock."""
        self._troubles: dict[Trouble, None] = {}
        self._counts: dict[tuple[str, Outcome], int] = {}
        self._deadline = deadline
        self.incomplete = ""

    def add(self, aspect: str, outcome: Outcome, subject: str, detail: str) -> None:
        """State something; what a terminal would obey is taken out of it."""
        trouble = Trouble(aspect, outcome, shown(subject), shown(detail))
        if trouble in self._troubles:
            return
        count = self._counts[aspect, outcome] = self._counts.get((aspect, outcome), 0) + 1
        if count <= _MOST_OF_AN_ASPECT:
            self._troubles[trouble] = None

    def fail(self, aspect: str, subject: str, detail: str) -> None:
        """State that something is not as it had to be."""
        self.add(aspect, "failed", subject, detail)

    def mentions(self, *aspects: str) -> bool:
        """Tell whether anything was stated of one of these aspects that is not *passed*."""
        return any(found.aspect in aspects and found.outcome != "passed" for found in self._troubles)

    def stop(self, reason: str) -> None:
        """Say why not everything was examined; the first reason stays."""
        self.incomplete = self.incomplete or shown(reason)

    def check_time(self) -> None:
        """Raise `ExpiredError` when there is no time left."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise ExpiredError

    def troubles(self) -> tuple[Trouble, ...]:
        """Return all of them, in the order in which they were found."""
        told = [
            Trouble(aspect, outcome, "others", f"and {count - _MOST_OF_AN_ASPECT:,} more of the kind")
            for (aspect, outcome), count in self._counts.items()
            if count > _MOST_OF_AN_ASPECT
        ]
        return (*self._troubles, *told)


def shown(text: str) -> str:
    """Return a foreign name as it may be shown."""
    text = printable(text[: 2 * _LONGEST])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
