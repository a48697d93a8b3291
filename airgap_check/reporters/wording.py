"""The words that every report for people shares: what the verdict is called, what it claims, how long a time was."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airgap_check.finding import Outcome, Report, Verdict

VERDICTS: Final[dict[Verdict, str]] = {
    "compliant": "COMPLIANT",
    "not_compliant": "NOT COMPLIANT",
    "inconclusive": "INCONCLUSIVE",
}
EXITS: Final = {
    0: "compliant", 1: "not compliant", 2: "bad usage or an invalid file", 3: "internal error", 4: "inconclusive"
}  # fmt: skip
OUTCOMES: Final[dict[Outcome, str]] = {
    "fail": "failed",
    "unknown": "undecided",
    "pass": "passed",
    "not_applicable": "does not apply",
}
ALLOWED: Final = {"yes": "allowed", "no": "refused", "unknown": "undecided"}  # what the allowlist says of a connection
_CLAIMS = {
    "snapshot": "snapshot: connections shorter than an instant are not covered",
    "replayed": "replayed: evidence recorded earlier, judged again",
}
_SOURCES = {
    "capture": "captured: only what these files hold was judged",
    "bundle": "bundle: files as they lie there, not what runs",
}
_REHEARSED = "rehearsed for {}: what this command reached for in a sealed world, not what a host does"
_KINDS = {
    "capture": "Report on captured traffic, written on",
    "bundle": "Report on a release bundle, written on",
    "rehearsal": "Report on a rehearsal, run on",
}


def claim(report: Report) -> str:
    """Say what kind of evidence the verdict rests on, and for an observation, how long it was."""
    for limitation in report.limitations:
        if limitation.id in _SOURCES:
            return _SOURCES[limitation.id]
    if report.reached is not None:
        again = "replayed: " if report.claim == "replayed" else ""
        return again + _REHEARSED.format(span(report.window.start, report.window.end))
    if report.claim != "observed":
        return _CLAIMS[report.claim]
    return f"observed for {span(report.window.start, report.window.end)}"


def kind(report: Report) -> str:
    """Say what was looked at, as a heading above the name of the host that did."""
    return next((_KINDS[one.id] for one in report.limitations if one.id in _KINDS), "Air-gap audit report")


def span(start: datetime, end: datetime) -> str:
    """Say how long it was from one moment to another: ``1h 2m 3s``, ``-5m`` for a step back."""
    seconds = round((end - start).total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return sign + (" ".join(f"{number}{unit}" for number, unit in parts if number) or "less than 1s")


def moment(time: datetime) -> str:
    """Write a time as RFC 3339 in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def gaps(report: Report) -> Iterable[str]:
    """Say each time inside the window in which nobody looked."""
    for start, end in report.window.gaps:
        yield f"{moment(start)} to {moment(end)} ({span(start, end)})"


def unobserved(report: Report) -> float:
    """Return the seconds in which nobody looked; a clock that was set back makes no gap smaller."""
    return sum(max(0.0, (end - start).total_seconds()) for start, end in report.window.gaps)


def runtimes(report: Report) -> Iterable[str]:
    """Name the runtimes that were found, and where each runs."""
    for runtime in report.subject.runtimes:
        version = f" {runtime.version}" if runtime.version else ""
        where = f" in {runtime.workload.kind} {runtime.workload.name}" if runtime.workload else ""
        yield f"{runtime.product}{version} {runtime.process.name}[{runtime.process.pid}]{where}"


def origin(report: Report) -> str:
    """Say where the policy comes from."""
    if report.policy.path:
        return report.policy.path
    bundled = any(limitation.id == "bundle" for limitation in report.limitations)
    whence = "this host" if report.reached is None else "what the command was given"
    return "none was given" if bundled else f"derived from {whence}, approved by nobody"


def approval(report: Report) -> str | None:
    """Say who approved the policy and when; None where nobody did."""
    approved = report.policy.approved
    return f"{approved.get('by', 'nobody named')}, on {approved.get('on', 'no date')}" if approved else None


def known_again(report: Report) -> str | None:
    """Say which earlier report excuses findings, and how many; None without one."""
    if not (baseline := report.baseline):
        return None
    known, gone = count(baseline.known, "finding"), len(baseline.vanished)
    whose = f"{baseline.path} of {baseline.hostname}, {moment(baseline.finished)} (sha256 {baseline.sha256[:16]})"
    return f"{whose}; {known} known from it, {gone} vanished"


def count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 finding``, ``1,200 findings``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
