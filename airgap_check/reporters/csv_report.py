"""The report as a table, RFC 4180: a row for the verdict, one a rule with findings or undecided, one a finding.

A spreadsheet must not take a cell for a formula: where one would begin, be it at the start or after a separator that
another locale has, an apostrophe stands in front of it (OWASP, *CSV Injection*).
"""

from __future__ import annotations

import csv
import re
from io import StringIO
from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.consequence import Consequence
from airgap_check.reporters.facets import Facets, facets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report, RuleResult

_FACETS = Facets._fields
COLUMNS = (
    "row", "rule", "severity", "outcome", "state", "subject", "message", "reason", "count", *_FACETS, "fingerprint",
    "waived_by", "controls", "remediation", "host", "finished", "policy_sha256",
)  # fmt: skip
_HARMLESS = re.compile(r"[\w.:/>()\[\]][^;]*", re.ASCII | re.DOTALL)  # sooner than to look for a formula
_LONGEST = 32_000  # characters of a cell; Excel takes 32,767 and makes another row of the rest
_FORMULA = re.compile(r"(\A\s*|;\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def render(report: Report) -> str:
    """Render the report as comma-separated values with a header."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writeheader()
    host, finished = _cell(report.subject.hostname), wording.moment(report.finished)
    common = {"host": host, "finished": finished, "policy_sha256": report.policy.sha256}
    for row in _rows(report):
        writer.writerow({name: _cell(value) for name, value in row.items() if value is not None} | common)
    return text.getvalue()


def _rows(report: Report) -> Iterator[dict[str, object]]:
    consequence = Consequence(report)
    relaxed = [f"relaxed by: {option}" for option in report.relaxed_by]
    yield {
        "row": "verdict",
        "outcome": report.verdict,
        "message": wording.claim(report),
        "reason": (*report.reasons, *relaxed),
    }
    for result in report.results:
        rule = {"rule": result.rule, "severity": result.severity}
        if result.findings or result.outcome == "unknown":
            yield {
                **rule,
                "row": "rule",
                "outcome": result.outcome,
                "state": _state(result, consequence),
                "message": result.title,
                "reason": result.reason,
                "count": len(result.findings),
                "controls": tuple(f"{name}: {', '.join(ids)}" for name, ids in result.controls.items()),
                "remediation": tuple(result.remediation.splitlines()),
            }
        for finding in result.findings:
            yield {
                **rule,
                "row": "finding",
                "outcome": "fail",
                "state": consequence.of(result, finding),
                "subject": finding.subject,
                "message": finding.message,
                "reason": ", ".join(f"{reason.field} {reason.value}" for reason in finding.because),
                "count": finding.count,
                **facets(finding.record)._asdict(),
                "fingerprint": finding.fingerprint,
                "waived_by": finding.waived_by,
            }


def _state(result: RuleResult, consequence: Consequence) -> str:
    """Say what a rule as a whole did to the verdict."""
    if consequence.fails(result):
        return "failing"
    if consequence.blocks(result):
        return "open"
    return "reported" if result.outcome in {"fail", "unknown"} else "accepted"


def _cell(value: object) -> object:
    """Write a text as a cell, and several as its lines; a line break of the host's own is a blank."""
    if isinstance(value, tuple):
        text = "\n".join(map(printable, value))
    elif isinstance(value, str):
        text = printable(value)
    else:
        return value
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} ..."
    return text if _HARMLESS.fullmatch(text) else _FORMULA.sub(r"\1'", text)
