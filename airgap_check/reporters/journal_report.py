"""The report as lines for a journal: each stands alone, and begins with its priority (sd-daemon(3)).

The verdict comes first, then what it rests on; what is waived, or fails nothing, is left to the other formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.finding import SEVERITIES
from airgap_check.redact import printable
from airgap_check.reporters.consequence import Consequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report, Severity

_MOST, _LONGEST = 30, 1000  # lines of findings, and characters in a line
# What syslog(3) calls err, warning, notice and info.
_PRIORITIES: dict[Severity | None, int] = {"critical": 3, "high": 4, "medium": 5, "low": 6, None: 6}


def line(severity: Severity | None, text: str) -> str:
    """Return a line with the priority of a severity; None is for what is no finding."""
    return f"<{_PRIORITIES[severity]}>{printable(text)[:_LONGEST]}"


def render(report: Report) -> str:
    """Render the report as lines, the gravest findings first."""
    return "".join(f"{text}\n" for text in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    consequence = Consequence(report)
    failing = [
        (result, finding)
        for result in sorted(report.results, key=lambda result: -SEVERITIES.index(result.severity))
        for finding in consequence.findings(result, "failing")
    ]
    grave: Severity | None = None if report.exit_code == 0 else "high"
    verdict = f"{report.verdict.replace('_', ' ')} ({report.claim})"
    yield line(grave, f"{verdict}: {'; '.join(report.reasons)}" if report.reasons else verdict)
    for result, finding in failing[:_MOST]:
        times = f" (x{finding.count})" if finding.count > 1 else ""
        yield line(result.severity, f"{result.severity}  {result.rule}  {finding.message}{times}")
    if len(failing) > _MOST:
        yield line("high", f"and {len(failing) - _MOST} more findings, which --report NAME=FILE has")
