"""The report in the Test Anything Protocol, a test point a rule and one for the verdict.

It says *version 13*, whose YAML blocks and directives are those of version 14: a reader of 14 takes both, and Perl's
own ``prove`` calls a 14 an error. What does not fail the run, waived or below the threshold, is ``# TODO``; a rule
that left the verdict open is ``not ok``, and any other undecided one ``# SKIP``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.reporters.consequence import Consequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.finding import Report, RuleResult

_LONGEST_REASON = 500  # characters in a line of a test point; its block has more
_LONGEST_TEXT = 4_000  # characters in a line of a block; Perl's reader gives up on a stream where one has 32,767


def render(report: Report) -> str:
    """Render the report as a TAP stream."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    consequence = Consequence(report)
    yield "TAP version 13"
    yield f"1..{len(report.results) + 1}"
    ok = "ok" if report.verdict == "compliant" else "not ok"
    yield f"{ok} 1 - verdict: {report.verdict.replace('_', ' ')} ({report.claim})"
    yield from _verdict(report)
    for number, result in enumerate(report.results, 2):
        ok, directive = _outcome(result, consequence)
        reason = f" # {directive}" if directive else ""
        yield f"{ok} {number} - {_safe(f'{result.rule}: {result.title}')}{reason}"
        if result.outcome == "unknown" or result.findings:
            yield from _block(result, consequence)


def _outcome(result: RuleResult, consequence: Consequence) -> tuple[str, str]:
    """Return how a rule's test point begins, and the directive at its end."""
    if consequence.fails(result) or consequence.blocks(result):
        return "not ok", ""
    reason = _safe(result.reason[:_LONGEST_REASON])
    if result.outcome == "unknown":
        return "ok", f"SKIP undecided: {reason}"
    if result.outcome == "not_applicable":
        return "ok", f"SKIP does not apply: {reason}"
    if any(consequence.findings(result, "reported")):
        return "not ok", f"TODO {result.severity}, below the severity that fails"
    if result.findings:
        return "not ok", f"TODO {len(result.findings)} accepted by a waiver or baseline"
    return "ok", ""


def _verdict(report: Report) -> Iterator[str]:
    yield "  ---"
    yield f"  host: {_scalar(report.subject.hostname)}"
    yield f"  tool: {_scalar(f'{report.tool.name} {report.tool.version}')}"
    yield f"  policy_sha256: {_scalar(report.policy.sha256)}"
    yield f"  started: {_scalar(f'{report.started:%Y-%m-%dT%H:%M:%SZ}')}"
    yield f"  finished: {_scalar(f'{report.finished:%Y-%m-%dT%H:%M:%SZ}')}"
    yield from _list("reasons", "reason", report.reasons)
    yield from _list("relaxed_by", "option", report.relaxed_by)
    yield from _list("limitations", "limitation", [limitation.text for limitation in report.limitations])
    if report.coverage:
        yield "  coverage:"
        for item in report.coverage:
            yield f"    - collector: {_scalar(item.collector)}"
            yield f"      status: {item.status}"
            yield f"      reason: {_scalar(item.reason)}"
            yield f"      lost: {item.lost}"
    yield "  ..."


def _block(result: RuleResult, consequence: Consequence) -> Iterator[str]:
    yield "  ---"
    yield f"  severity: {result.severity}"
    yield f"  outcome: {result.outcome}"
    if result.reason:
        yield f"  reason: {_scalar(result.reason)}"
    if result.findings:
        yield f"  remediation: {_scalar(result.remediation)}"
        yield "  findings:"
        for finding in result.findings:
            yield f"    - message: {_scalar(finding.message)}"
            yield f"      subject: {_scalar(finding.subject)}"
            yield f"      state: {consequence.of(result, finding)}"
            yield f"      count: {finding.count}"
            yield f"      fingerprint: {_scalar(finding.fingerprint)}"
            if finding.waived_by:
                yield f"      waived_by: {_scalar(finding.waived_by)}"
    yield "  ..."


def _list(name: str, item: str, texts: Iterable[str]) -> Iterator[str]:
    """Write a list of mappings with one key: Perl's reader takes a colon in a bare item for one."""
    if entries := [f"    - {item}: {_scalar(text)}" for text in texts]:
        yield f"  {name}:"
        yield from entries


def _scalar(text: str) -> str:
    """Write a text as a double-quoted scalar, which YAML and JSON write alike; no line of it begins a test point."""
    shown = printable(text)
    return json.dumps(shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]} ...", ensure_ascii=False)


def _safe(text: str) -> str:
    """Make a text part of a test point's line: a ``#`` of its own is no directive."""
    return printable(text).replace("\\", "\\\\").replace("#", "\\#")
