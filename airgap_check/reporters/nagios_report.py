"""The report as a line for Nagios, Icinga and their kin, and the exit codes that they understand.

Source: *Monitoring Plugins Development Guidelines*: ``SERVICE STATUS - text | 'label'=value[unit];warn;crit;min;max``.
The threshold ``0`` means: alert when above.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from airgap_check.finding import SEVERITIES
from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.consequence import STATES, Consequence

if TYPE_CHECKING:
    from airgap_check.finding import Report

_LONGEST = 4_000  # bytes of the line; agents hand on 4 KiB
_FOR_PERFDATA = 1_000  # bytes that are kept for it


class Status(IntEnum):
    """What a plug-in says, which is also its exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


def render(report: Report) -> str:
    """Render the report as one line with performance data."""
    return _line(status(report), _text(report), _perfdata(report))


def unknown(text: str) -> str:
    """Return the line for a run without a verdict: what went wrong stands in it."""
    return _line(Status.UNKNOWN, text)


def status(report: Report) -> Status:
    """Return the status: a finding that does not fail the run is a warning, and no verdict is nobody's OK."""
    if report.verdict == "not_compliant":
        return Status.CRITICAL
    if report.verdict == "inconclusive":
        return Status.UNKNOWN
    return Status.WARNING if _counts(report)["reported"] else Status.OK


def _counts(report: Report) -> dict[str, int]:
    """Count findings by state, and those that nobody accepted by severity."""
    consequence = Consequence(report)
    counts: dict[str, int] = dict.fromkeys((*STATES, *SEVERITIES), 0)
    for result in report.results:
        for finding in result.findings:
            counts[consequence.of(result, finding)] += 1
            counts[result.severity] += finding.waived_by is None
    return counts


def _text(report: Report) -> str:
    reasons = "; ".join(report.reasons)
    if report.verdict == "compliant" and (reported := _counts(report)["reported"]):
        rules = ", ".join(result.rule for result in report.results if result.outcome == "fail")
        reasons = f"{wording.count(reported, 'finding')} below the severity that fails: {rules}"
    relaxed = f"; relaxed by: {', '.join(report.relaxed_by)}" if report.relaxed_by else ""
    return f"{report.verdict.replace('_', ' ')} ({wording.claim(report)}): {reasons}{relaxed}"


def _perfdata(report: Report) -> str:
    counts = _counts(report)
    values = [
        f"findings={counts['failing'] + counts['reported']};0;;0",
        f"failing={counts['failing']};;0;0",
        *(f"{severity}={counts[severity]};;;0" for severity in reversed(SEVERITIES)),
        f"waived={counts['waived']};;;0",
        f"baselined={counts['baselined']};;;0",
        f"unknown={sum(1 for result in report.results if result.outcome == 'unknown')};;;0",
        f"lost={sum(item.lost for item in report.coverage)};;;0",
        f"unobserved={wording.unobserved(report):.0f}s;;;0",
        f"duration={max(0.0, (report.finished - report.started).total_seconds()):.3f}s;;;0",
    ]
    return " ".join(values)


def _line(status: Status, text: str, perfdata: str = "") -> str:
    """Put the line together; a ``|`` of the host's would begin performance data, and only the first line counts."""
    head = f"AIRGAP {status.name} - "
    room = _LONGEST - _FOR_PERFDATA - len(head)
    shown = printable(" ".join(text.split())).replace("|", "/").encode(errors="replace")
    if len(shown) > room:
        shown = shown[: room - 4] + b" ..."
    ended = shown.decode(errors="ignore")
    return f"{head}{ended} | {perfdata}\n" if perfdata else f"{head}{ended}\n"
