"""What one destination is told of a change: a line for people, JSON for machines, and never more than it can take."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from airgap_check.evidence.fact import Fact
from airgap_check.finding import SEVERITIES, Known, Severity, Verdict, at_least
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.alerts.settings import Destination, Event
    from airgap_check.history.change import Change

SCHEMA: Final = "airgap-check/alert/1"
LISTED = 50
"""How many findings, or lines, of a kind a message lists; beyond that it counts."""
_SHORT, _LONG = 128, 512  # characters
_NAMESPACE = UUID("5d3f0a53-5ad2-5b43-9f6f-0c3b7f6f7d11")


class Counts(Fact, frozen=True, kw_only=True):
    """How many there are of each kind, listed or not."""

    appeared: int
    resolved: int
    blinded: int
    reasons: int


class Alert(Fact, frozen=True, kw_only=True):
    """One message. ``id`` is the same whenever it is sent again, so that receivers can drop doubles.

    ``dropped`` counts older messages to the same destination that were given up, ``undelivered`` says in words which
    destinations could not be reached lately; both as of when it is sent.
    """

    schema: Literal["airgap-check/alert/1"] = SCHEMA
    id: str = ""
    host: str
    subject: str
    before: Verdict | None
    verdict: Verdict
    previous: datetime | None
    started: datetime
    finished: datetime
    counts: Counts
    reasons: tuple[str, ...]
    appeared: tuple[Known, ...]
    resolved: tuple[Known, ...]
    blinded: tuple[str, ...]
    dropped: int = 0
    undelivered: tuple[str, ...] = ()

    @property
    def gravity(self) -> Severity:
        """Return how grave the news is: the worst that appeared, at least what the verdict itself is worth."""
        least: dict[Verdict, Severity] = {"not_compliant": "high", "inconclusive": "medium", "compliant": "low"}
        found = [finding.severity for finding in self.appeared]
        return max([least[self.verdict], *found], key=SEVERITIES.index)


def of(change: Change, destination: Destination) -> Alert | None:
    """Say of a change what a destination wants to hear; None where that is nothing."""
    appeared = _wanted("appeared", change.appeared, destination)
    resolved = _wanted("resolved", change.resolved, destination)
    blinded = change.blinded if "blinded" in destination.on else ()
    turned = "verdict" in destination.on and change.verdict != (change.before or "compliant")
    if not (appeared or resolved or blinded or turned):
        return None
    counts = Counts(appeared=len(appeared), resolved=len(resolved), blinded=len(blinded), reasons=len(change.reasons))
    host = _cut(change.hostname, _SHORT)
    alert = Alert(
        host=host,
        subject=_subject(host, change, counts),
        before=change.before,
        verdict=change.verdict,
        previous=change.previous,
        started=change.started,
        finished=change.finished,
        counts=counts,
        reasons=_lines(change.reasons),
        appeared=_listed(appeared),
        resolved=_listed(resolved),
        blinded=_lines(blinded),
    )
    content = msgspec.json.encode((destination.name, alert), order="deterministic")
    return replace(alert, id=str(uuid5(_NAMESPACE, content.decode())))


def body(alert: Alert, limit: int) -> bytes:
    """Return an alert as JSON in one line of at most so many bytes; lists are shortened until it fits."""
    listed = LISTED
    while True:
        encoded = msgspec.json.encode(alert)
        if len(encoded) <= limit or not listed:
            return encoded
        listed //= 2
        alert = replace(
            alert,
            reasons=alert.reasons[:listed],
            appeared=alert.appeared[:listed],
            resolved=alert.resolved[:listed],
            blinded=alert.blinded[:listed],
            undelivered=alert.undelivered[: min(listed, 4)],
        )


def shown(verdict: Verdict | None) -> str:
    """Return a verdict as people read it."""
    return (verdict or "unknown").replace("_", " ")


def _wanted(event: Event, findings: Sequence[Known], destination: Destination) -> list[Known]:
    """Return the findings that a destination asked for, the gravest first."""
    if event not in destination.on:
        return []
    wanted = [finding for finding in findings if at_least(finding.severity, destination.min_severity)]
    return sorted(wanted, key=lambda finding: -SEVERITIES.index(finding.severity))


def _subject(host: str, change: Change, counts: Counts) -> str:
    was = f" (was {shown(change.before)})" if change.before and change.before != change.verdict else ""
    kinds = {"appeared": "new", "resolved": "resolved", "blinded": "blinded"}
    parts = [f"{number} {word}" for kind, word in kinds.items() if (number := getattr(counts, kind))]
    return f"airgap-check {host}: {shown(change.verdict)}{was}{': ' if parts else ''}{', '.join(parts)}"


def _listed(findings: Sequence[Known]) -> tuple[Known, ...]:
    return tuple(
        replace(
            finding,
            rule=_cut(finding.rule, _SHORT),
            subject=_cut(finding.subject, _LONG),
            message=_cut(finding.message, _LONG),
            fingerprint=_cut(finding.fingerprint, _SHORT),
        )
        for finding in findings[:LISTED]
    )


def _lines(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(_cut(text, _LONG) for text in texts[:LISTED])


def _cut(text: str, longest: int) -> str:
    """Return text as one printable line of at most so many characters."""
    text = printable(text[: longest + 1])
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
