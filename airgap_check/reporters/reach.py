"""What a rehearsed command reached for, in the words that every report for people shares."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from airgap_check.reporters import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence.fact import Endpoint
    from airgap_check.finding import Reached, Report

TITLE: Final = "What it reached for"
UNSEEN: Final = "Predicted, and never reached for"
UNASKED: Final = "unasked"
NOT_PREDICTED: Final = "nothing"
NOTHING: Final = "It dialled nothing, and asked for no name."
IN_FULL: Final = 100  # destinations for people; the JSON report has all
_FEW = 3
_LONGEST = 120  # characters of what was said


class Destination(NamedTuple):
    """A destination in words: ``verdict`` is what the policy says, and the parts say who, when, what and why.

    ``during`` is `UNASKED` where it was never reached for while a visit was under way.
    """

    target: str
    times: str
    verdict: str
    who: str
    during: str
    said: str
    predicted: str


def command(report: Report) -> str:
    """Return the command that was rehearsed, as it was called; empty where nobody wrote that down."""
    words = report.run.argv
    return shlex.join(words[words.index("--") + 1 :]) if "--" in words else ""


def destinations(report: Report) -> list[Destination]:
    """Describe the first destinations, those that are refused before the others."""
    return [_described(one) for one in (report.reached or ())[:IN_FULL]]


def rest(report: Report) -> str | None:
    """Say how many destinations are left out; None where there are no more."""
    return _more(len(report.reached or ()))


def unseen(report: Report) -> list[tuple[str, str]]:
    """Return the first destinations that were predicted and never reached for, and what leads there."""
    return [(target(one.remote), _first(one.predicted)) for one in (report.predicted_unseen or ())[:IN_FULL]]


def rest_unseen(report: Report) -> str | None:
    """Say how many of those are left out."""
    return _more(len(report.predicted_unseen or ()))


def summary(report: Report) -> str:
    """Count destinations by what the policy says of them."""
    reached = report.reached or ()
    if not reached:
        return NOTHING
    words = [
        f"{number:,} {word}"
        for allowed, word in wording.ALLOWED.items()
        if (number := sum(one.allowed == allowed for one in reached))
    ]
    predicted = sum(bool(one.predicted) for one in reached)
    return f"{wording.count(len(reached), 'destination')}: {', '.join(words)}; {predicted:,} predicted"


def target(remote: Endpoint) -> str:
    """Write a destination as host and port."""
    host = remote.name or remote.address or "?"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{remote.port}" if remote.port else host


def _described(one: Reached) -> Destination:
    asked = one.protocol == "dns"
    return Destination(
        target=target(one.remote) if asked else f"{target(one.remote)}/{one.protocol}",
        times=f"{one.count:,} times" if one.count > 1 else "once",
        verdict=_verdict(one),
        who=_first(one.who) or "unknown process",
        during=_during(one),
        said="asked for by name, never dialled" if asked else _said(one),
        predicted=_first(one.predicted) or NOT_PREDICTED,
    )


def _verdict(one: Reached) -> str:
    public = ", public" if one.remote.scope in {"public", "metadata"} else ""
    by = f" by {one.by}" if one.by and one.allowed == "yes" else f" ({one.by})" if one.by else ""
    return f"{wording.ALLOWED[one.allowed]}{by}{public}"


def _during(one: Reached) -> str:
    parts = [
        f"{occasion.trigger or UNASKED}{f' x{occasion.count}' if occasion.count > 1 else ''}"
        for occasion in one.occasions
    ]
    return UNASKED if all(occasion.trigger is None for occasion in one.occasions) else _first(parts)


def _said(one: Reached) -> str:
    spoken = ", ".join(one.spoken) + (" inside TLS" if one.encrypted else "")
    words = _first(one.requests) or _first(one.openings[:1])
    ended = f"; {one.ended[0]}" if one.ended else ""
    shown = words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"
    return f"{spoken}: {shown}{ended}" if shown else f"{spoken}{ended}"


def _first(items: Sequence[str]) -> str:
    return ", ".join(_few(items))


def _few(items: Sequence[str]) -> Iterator[str]:
    yield from items[:_FEW]
    if len(items) > _FEW:
        yield f"and {len(items) - _FEW:,} more"


def _more(total: int) -> str | None:
    return f"and {total - IN_FULL:,} more; the JSON report has all" if total > IN_FULL else None
