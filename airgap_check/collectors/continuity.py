"""Collects the time in which nobody looked at this host: between the runs that are remembered, and inside of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.evidence import Evidence, Interruption
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airgap_check.evidence import Status
    from airgap_check.history.precedent import Moment, Precedent

KIND = "continuity"
_GRACE = (0.5, 60.0)  # of the wanted distance, and seconds: what a timer and a slow run may take besides
_JUMP = 10.0  # seconds; less than that is what a clock makes up for when it is synchronised
_STATUSES: tuple[Status, ...] = ("complete", "partial", "unavailable")


def collect(precedent: Precedent, every: float | None) -> Evidence:
    """Say since when nobody looked; ``every`` is how many seconds runs are meant to be apart."""
    if precedent.heard is not None:
        scope = f"since {_second(precedent.heard.at)}, when a run last reported"
    elif precedent.killed:
        scope = "no run that is remembered came to its end"
    else:
        scope = "the first run that is remembered"
    if precedent.company:
        scope += f"; another run is at work since {_second(precedent.company)}"
    return Evidence(
        kind=KIND,
        status="partial" if precedent.mishap else "complete",
        records=tuple(_between(precedent, every)),
        reason=printable(precedent.mishap),
        scope=scope,
        counts={"runs": precedent.runs, "killed": len(precedent.killed)},
    )


def unavailable(reason: str) -> Evidence:
    """Say that earlier runs are remembered, but cannot be asked now."""
    return Evidence(kind=KIND, status="unavailable", reason=printable(reason))


def joined(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence with what lies between runs, and what lay inside of this one, in one piece at the end."""
    parts = [item for item in evidence if item.kind == KIND]
    others = [item for item in evidence if item.kind != KIND]
    if not parts:
        return others
    whole = Evidence(
        kind=KIND,
        status=max((part.status for part in parts), key=_STATUSES.index),
        records=tuple(record for part in parts for record in part.records),
        reason="; ".join(dict.fromkeys(part.reason for part in parts if part.reason)),
        scope="; ".join(dict.fromkeys(part.scope for part in parts if part.scope)),
        counts={name: count for part in parts for name, count in part.counts.items()},
        lost=sum(part.lost for part in parts),
        blind=tuple(dict.fromkeys(spot for part in parts for spot in part.blind)),
    )
    return [*others, whole]


def _between(precedent: Precedent, every: float | None) -> Iterator[Interruption]:
    now, heard, elapsed = precedent.now, precedent.heard, precedent.elapsed
    if heard is not None and elapsed is not None:
        jump = _jump(now, heard)
        if jump is not None:
            first, last = sorted((heard.at, now.at))
            yield Interruption(cause="clock", first=first, last=last, seconds=round(jump))
        until = min(now.at, precedent.company or now.at)
        if precedent.company is not None and jump is None:
            elapsed = max(0.0, (until - heard.at).total_seconds())
        if heard.at < until or (precedent.company is None and elapsed):
            yield Interruption(
                cause="no-run", first=min(heard.at, until), last=until, seconds=round(elapsed),
                overdue=_overdue(elapsed, every, sure=jump is None or now.since(heard) is not None),
            )  # fmt: skip
    for begun in precedent.killed:
        lasted = now.since(begun)
        lasted = lasted if lasted is not None else max((now.at - begun.at).total_seconds(), now.least_since(begun))
        # What was missed since another run was heard of has been said above, once.
        sure = now.since(begun) is not None or _jump(now, begun) is None
        overdue = _overdue(lasted, every if heard is None else None, sure=sure)
        first, last = sorted((begun.at, now.at))
        yield Interruption(cause="killed", first=first, last=last, seconds=round(lasted), overdue=overdue)


def _jump(now: Moment, heard: Moment) -> float | None:
    """Return by how many seconds the wall clock has gone wrong meanwhile, as far as that shows; None if it has not."""
    wall = (now.at - heard.at).total_seconds()
    wrong = wall - now.least_since(heard)
    if now.since(heard) is None:  # only too little time can show: nobody knows how long the machine was off
        return wrong if wall < 0 or wrong < -_JUMP else None
    return wrong if abs(wrong) > _JUMP else None


def _overdue(seconds: float, every: float | None, *, sure: bool) -> Literal["yes", "no", "unknown"]:
    """Tell whether that is too long; who is not ``sure`` knows only that it was so long at the least.

    Where nobody wants runs to come at a distance, none can be late. Not *unknown*: that would leave doubts in the
    verdict of every audit by hand.
    """
    if every is None:
        return "no"
    share, slack = _GRACE
    if seconds > every * (1 + share) + slack:
        return "yes"
    return "no" if sure else "unknown"


def _second(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
