"""The report as OCSF events, JSON Lines, for a SIEM: the verdict, findings, then what was seen of the network.

A finding carries no advice: a hundred thousand would carry the same. `airgap-check rules show` tells how to mend it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.reporters import wording
from airgap_check.reporters.json_text import lines
from airgap_check.reporters.ocsf_event import Envelope
from airgap_check.reporters.ocsf_finding import (
    coverage_event,
    finding_event,
    gap_event,
    rule_event,
    vanished_event,
    verdict_event,
)
from airgap_check.reporters.ocsf_network import NAMES, connection_event, name_event
from airgap_check.reporters.undecided import open_question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report


def render(report: Report) -> str:
    """Render the report as one event a line."""
    return lines(_events(report))


def _events(report: Report) -> Iterator[dict[str, Any]]:
    envelope = Envelope(report)
    yield verdict_event(envelope, report)
    for result in report.results:
        yield from (finding_event(envelope, report, result, finding) for finding in result.findings)
        if (doubt := open_question(result)) or result.outcome == "pass":
            yield rule_event(envelope, report, result, doubt)
    for item in report.coverage:
        if item.status != "complete" or item.lost:
            yield coverage_event(envelope, report, item)
    yield from (gap_event(envelope, report, gap) for gap in wording.gaps(report))
    if report.baseline:
        yield from (vanished_event(envelope, report, one) for one in report.baseline.vanished)
    yield from (connection_event(envelope, report, judged) for judged in report.connections)
    for result in report.results:
        for finding in result.findings:
            if finding.record.get("kind") in NAMES:
                yield name_event(envelope, report, result, finding)
