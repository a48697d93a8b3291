"""The report as JUnit XML, a test case a rule, for a CI system: red is what failed the run, and nothing else is.

Written for the schema of Jenkins' xUnit plug-in (junit-10.xsd). A rule that fails below the threshold passes, with its
findings in ``system-out``; an undecided one is an *error* where it left the verdict open and *skipped* elsewhere.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from airgap_check.redact import printable
from airgap_check.reporters.consequence import Consequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.finding import Finding, Report, RuleResult
    from airgap_check.reporters.consequence import State

_LONGEST_LINE = 4_000  # characters of a finding
_ASIDES: Final[dict[str, tuple[State, ...]]] = {
    "Below the severity that fails": ("reported",), "Accepted": ("waived", "baselined")
}  # fmt: skip
_LONGEST_TEXT = 2_000_000  # characters; libxml2 refuses a text of more than 10 million bytes


def render(report: Report) -> str:
    """Render the report as one ``testsuites`` document."""
    consequence = Consequence(report)
    suites = [_suite(report, "verdict", [_verdict(report)])]
    _properties(suites[0], report)
    for folder, results in groupby(sorted(report.results, key=_rule), key=_folder):
        suites.append(_suite(report, folder, [_case(result, consequence) for result in results]))
    root = ET.Element("testsuites", name=printable(report.tool.name))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", _seconds(report))
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _rule(result: RuleResult) -> str:
    return result.rule


def _folder(result: RuleResult) -> str:
    return result.rule.partition(".")[0]


def _seconds(report: Report) -> str:
    return f"{max(0.0, (report.finished - report.started).total_seconds()):.3f}"


def _suite(report: Report, name: str, cases: Iterable[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", name=printable(name))
    suite.extend(cases)
    suite.set("tests", str(len(suite)))
    for attribute, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(1 for case in suite if case.find(child) is not None)))
    suite.set("time", _seconds(report) if name == "verdict" else "0.000")
    suite.set("timestamp", f"{report.started:%Y-%m-%dT%H:%M:%S}")
    suite.set("hostname", printable(report.subject.hostname))
    return suite


def _properties(suite: ET.Element, report: Report) -> None:
    """Say which host was judged, by which tool, under which policy and rules, and what the verdict claims."""
    properties = ET.Element("properties")
    facts = {
        "host": report.subject.hostname,
        "verdict": report.verdict,
        "claim": report.claim,
        "exit code": str(report.exit_code),
        "policy": report.policy.path or "derived",
        "policy sha256": report.policy.sha256,
        "rules sha256": report.rules_sha256,
        "tool": f"{report.tool.name} {report.tool.version}",
        "tool sha256": report.tool.sha256,
        "relaxed by": "; ".join(report.relaxed_by) or "nothing",
    }
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))
    suite.insert(0, properties)


def _verdict(report: Report) -> ET.Element:
    case = ET.Element("testcase", name="verdict", classname="verdict", time=_seconds(report))
    message = printable(f"{report.verdict.replace('_', ' ')} ({report.claim})")
    good: list[str] = []
    if report.verdict == "compliant":
        good = [message, *report.reasons, ""]
    else:
        kind = "failure" if report.verdict == "not_compliant" else "error"
        _tell(case, kind, report.reasons, type=report.verdict, message=message)
    seen = [f"{item.collector}: {item.status}{f': {item.reason}' if item.reason else ''}" for item in report.coverage]
    limits = [limitation.text for limitation in report.limitations]
    _tell(case, "system-out", [*good, "What was seen:", *seen, "", "Limitations:", *limits])
    return case


def _case(result: RuleResult, consequence: Consequence) -> ET.Element:
    case = ET.Element("testcase", name=printable(result.rule), classname=printable(_folder(result)), time="0.000")
    failing = list(consequence.findings(result, "failing"))
    if failing:
        number = f"{len(failing)} finding{'s' if len(failing) > 1 else ''}"
        lines = [*map(_line, failing), *_undecided(result), "", "How to fix:", *result.remediation.splitlines()]
        _tell(case, "failure", lines, type=result.severity, message=printable(f"{number}: {result.title}"))
    elif result.outcome == "unknown":
        kind = "error" if consequence.blocks(result) else "skipped"
        _tell(case, kind, [], type=result.severity, message=printable(f"undecided: {result.reason}"))
    elif result.outcome == "not_applicable":
        _tell(case, "skipped", [], message=printable(f"does not apply: {result.reason}"))
    if said := list(_aside(result, consequence)):
        _tell(case, "system-out", said)
    return case


def _aside(result: RuleResult, consequence: Consequence) -> Iterator[str]:
    """Yield what does not make a case fail and must be seen; in one text, for many readers look at the first only."""
    if result.outcome == "pass" or (result.outcome == "fail" and not consequence.fails(result)):
        yield from _undecided(result)
    for heading, states in _ASIDES.items():
        if findings := list(consequence.findings(result, *states)):
            yield f"{heading}:"
            yield from map(_line, findings)


def _undecided(result: RuleResult) -> list[str]:
    return [f"Note: {result.reason}"] if result.reason else []


def _line(finding: Finding) -> str:
    times = f" x{finding.count}" if finding.count > 1 else ""
    accepted = f", waived by {finding.waived_by}" if finding.waived_by else ""
    return f"{finding.message}{times} [who: {finding.subject}, fingerprint: {finding.fingerprint}{accepted}]"


def _tell(case: ET.Element, kind: str, lines: Iterable[str], **attributes: str) -> None:
    """Add an element with lines of text; what is too long for one text node goes on in a second element."""
    for text in _texts(lines):
        ET.SubElement(case, kind, attributes).text = text


def _texts(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to texts of bounded length, at least one; they hold no character that XML forbids."""
    taken: list[str] = []
    length = 0
    for line in lines:
        shown = printable(line)[:_LONGEST_LINE]
        if length > _LONGEST_TEXT:
            yield "\n".join(taken)
            taken, length = [], 0
        taken.append(shown)
        length += len(shown) + 1
    yield "\n".join(taken)
