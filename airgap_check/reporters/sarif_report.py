"""The report as SARIF 2.1.0 (OASIS), for code scanning and editors: what was found, undecided, and not seen.

A rule that could not be decided is a result of the kind *open*, not silence. A waived or baselined finding is a
suppressed result. What no consumer would take in such numbers is summed, and a notification says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.json_text import document, identity, long
from airgap_check.reporters.sarif_limits import MOST_RESULTS, Group, pieces, shares
from airgap_check.reporters.sarif_result import opened, result_of
from airgap_check.reporters.sarif_rule import DESCRIPTORS, notifications, rules
from airgap_check.reporters.undecided import open_question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airgap_check.finding import Finding, Known, Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"  # names the format; nobody here fetches it


def render(report: Report) -> str:
    """Render the report as one SARIF log with one run."""
    undecided = [result for result in report.results if open_question(result)]
    groups = list(_groups(report))
    allotted = shares([len(group.items) for group in groups], max(1, MOST_RESULTS - len(undecided)))
    summed: dict[str, int] = {}
    for group, share in zip(groups, allotted, strict=True):
        if len(group.items) > share:
            summed[group.rule] = summed.get(group.rule, 0) + len(group.items)
    frame = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [_run(report, summed)],
    }
    return document(frame, {"results": _results(report, groups, allotted)})


def _run(report: Report, summed: dict[str, int]) -> dict[str, Any]:
    host = printable(report.subject.hostname)
    run = {
        "tool": {
            "driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "semanticVersion": report.tool.version,
                "rules": rules(report),
                "notifications": DESCRIPTORS,
                "properties": {"sha256": report.tool.sha256, "rulesSha256": report.rules_sha256},
            }
        },
        "automationDetails": {
            "id": f"{report.tool.name}/{host.replace('/', '_')}/{report.started:%Y-%m-%dT%H:%M:%SZ}",
            "guid": _guid(report),
        },
        "invocations": [_invocation(report, summed)],
        "results": long("results"),
        "properties": _properties(report),
    }
    if report.baseline:
        run["baselineGuid"] = identity("run", report.baseline.hostname, report.baseline.finished)
    return run


def _guid(report: Report) -> str:
    """Identify the run by host and time, as a later report's baseline names it; a judgement of old evidence by more."""
    how = (report.policy.sha256, report.rules_sha256) if report.claim == "replayed" else ()
    return identity("run", report.subject.hostname, report.finished, *how)


def _invocation(report: Report, summed: dict[str, int]) -> dict[str, Any]:
    """Describe the run: a verdict was reached, so the tool did its work, whatever the verdict."""
    return {
        "executionSuccessful": True,
        "exitCode": report.exit_code,
        "exitCodeDescription": "; ".join((wording.EXITS[report.exit_code], *map(printable, report.reasons))),
        "arguments": [printable(argument) for argument in report.run.argv],
        "startTimeUtc": _time(report.started),
        "endTimeUtc": _time(report.finished),
        "machine": printable(report.subject.hostname),
        "account": printable(report.run.sudo_user or str(report.run.uid)),
        "toolExecutionNotifications": list(notifications(report, summed)),
    }


def _properties(report: Report) -> dict[str, Any]:
    return {
        "verdict": report.verdict,
        "claim": wording.claim(report),
        "reasons": [printable(reason) for reason in report.reasons],
        "window": {"start": _time(report.window.start), "end": _time(report.window.end)},
        "coverage": [
            {"collector": item.collector, "status": item.status, "reason": printable(item.reason), "lost": item.lost}
            for item in report.coverage
        ],
        "policy": {"path": printable(wording.origin(report)), "sha256": report.policy.sha256},
        "relaxedBy": [printable(text) for text in report.relaxed_by],
    }


def _groups(report: Report) -> Iterator[Group]:
    """Put together what may be summed: a sum must not mix what is accepted with what is not."""
    for result in report.results:
        alike: dict[str | None, list[Finding]] = {}
        for finding in result.findings:
            alike.setdefault(finding.waived_by, []).append(finding)
        yield from (Group(result.rule, result, findings) for findings in alike.values())
    gone: dict[str, list[Known]] = {}
    for one in report.baseline.vanished if report.baseline else ():
        gone.setdefault(one.rule, []).append(one)
    results = {result.rule: result for result in report.results}
    yield from (Group(rule, results.get(rule), vanished) for rule, vanished in gone.items())


def _results(report: Report, groups: list[Group], allotted: list[int]) -> Iterator[dict[str, Any]]:
    indexes = {result.rule: index for index, result in enumerate(report.results)}
    for group, share in zip(groups, allotted, strict=True):
        for piece in pieces(group.items, share):
            yield result_of(report, group, piece, indexes)
    for result in report.results:
        if why := open_question(result):
            yield opened(report, result, why, indexes[result.rule])


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
