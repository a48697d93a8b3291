"""What SARIF says of the tool itself: its rules, and the notices of what it did not see, was spared, or summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.sarif_limits import MOST_RULES, MOST_TAGS
from airgap_check.reporters.sarif_result import LEVELS, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report, RuleResult

_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}  # the middle of each of GitHub's ranges
_NOTICES = {
    "coverage": "Something was seen in part, or not at all.",
    "gap": "Nobody looked for a while.",
    "self-test": "An observer did not see an attempt of our own.",
    "relaxed": "Something made this run milder than the default.",
    "limitation": "What this kind of run can never show.",
    "summed": "There are more findings than consumers accept as results, so that some results stand for many.",
}
DESCRIPTORS = [
    {"id": name, "shortDescription": {"text": meaning}, "fullDescription": {"text": meaning}}
    for name, meaning in _NOTICES.items()
]


def rules(report: Report) -> list[dict[str, Any]]:
    """Describe every rule that was judged, up to the limit."""
    return [_rule(result) for result in report.results[:MOST_RULES]]


def _rule(result: RuleResult) -> dict[str, Any]:
    why, fix = printable_lines(result.rationale), printable_lines(result.remediation)
    fence = "`" * max(3, _longest_run(fix) + 1)
    controls = [f"{catalogue}/{one}" for catalogue, ids in result.controls.items() for one in ids]
    return {
        "id": result.rule,
        "name": "".join(word.capitalize() for word in result.rule.replace(".", "-").split("-")),
        "shortDescription": {"text": printable(result.title)},
        "fullDescription": {"text": why or printable(result.title)},
        "help": {"text": f"{why}\n\n{fix}", "markdown": f"{why}\n\n**What to do**\n\n{fence}text\n{fix}\n{fence}\n"},
        "defaultConfiguration": {"level": LEVELS[result.severity]},
        "properties": {
            "tags": ["security", *controls][:MOST_TAGS],
            "security-severity": _SCORES[result.severity],
            "severity": result.severity,
            "controls": {catalogue: list(ids) for catalogue, ids in result.controls.items()},
        },
    }


def notifications(report: Report, summed: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Yield everything that a reader of the results alone would not know."""
    yield from _unseen(report)
    for relaxed in report.relaxed_by:
        yield _notice("relaxed", "warning", f"relaxed by {relaxed}")
    for limitation in report.limitations:
        yield _notice("limitation", "note", limitation.text)
    for rule, number in summed.items():
        yield _notice("summed", "warning", f"{rule}: {number:,} findings share fewer results; each sum says how many")
    if len(report.results) > MOST_RULES:
        yield _notice("summed", "warning", f"{len(report.results) - MOST_RULES:,} rules are not described")


def _unseen(report: Report) -> Iterator[dict[str, Any]]:
    for item in report.coverage:
        if item.status != "complete" or item.lost:
            lost = f", {item.lost:,} events lost" if item.lost else ""
            yield _notice("coverage", "warning", f"{item.collector} is {item.status}{lost}: {item.reason or '-'}")
        for blind in item.blind:
            yield _notice("coverage", "note", f"{item.collector} does not see: {blind}")
    for gap in wording.gaps(report):
        yield _notice("gap", "warning", f"nobody looked from {gap}")
    for trial in report.self_test:
        if trial.seen != "yes" or trial.process == "wrong":
            seen = {"yes": "of the wrong process", "no": "not seen", "skipped": "skipped"}[trial.seen]
            yield _notice("self-test", "warning", f"{trial.observer}, attempt {trial.mode}: {seen}. {trial.note}")


def printable_lines(prose: str) -> str:
    """Keep the lines of a text, and nothing else that a terminal would obey."""
    return "\n".join(map(printable, prose.splitlines()))


def _notice(name: str, level: str, message: str) -> dict[str, Any]:
    index = list(_NOTICES).index(name)
    return {"descriptor": {"id": name, "index": index}, "level": level, "message": {"text": text(message)}}


def _longest_run(prose: str) -> int:
    """Return the length of the longest run of backquotes, which a fence must be longer than."""
    return max((len(run) for run in "".join(c if c == "`" else " " for c in prose).split()), default=0)
