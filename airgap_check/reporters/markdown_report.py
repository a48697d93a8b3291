"""The report as Markdown (CommonMark with the tables of GitHub), short: for a ticket, a merge request, a wiki.

Whatever comes from the host stands in code spans, so that nothing of it is a link, an image, markup or HTML: an image
in a report would phone home as soon as somebody reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.reporters import egress, proof, reach, sign_off, unobserved, wording
from airgap_check.reporters.html.dossier import dossiers, without_findings
from airgap_check.reporters.policy_line import for_finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report
    from airgap_check.reporters.html.dossier import Dossier
    from airgap_check.reporters.proof import Sight

_EACH = 25  # findings of a rule
_MOST_FLOWS = 40
_MOST_VANISHED = 100
_PLAIN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_BACKTICKS = re.compile(r"`+")


def render(report: Report) -> str:
    """Render the report."""
    return "\n".join(_lines(report)) + "\n"


def code(text: object) -> str:
    """Write a text as a code span, in which nothing means anything (CommonMark 6.1)."""
    text = printable(str(text))
    if not text.strip():
        return "-"
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(text)), default=0) + 1)
    # A blank is taken off each end by the reader, where there is one at both.
    pad = " " if "`" in (text[0], text[-1]) or (text[0] == text[-1] == " ") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def cell(text: object) -> str:
    """Write a text as a code span inside a table, where a bar would end the cell whatever stands around it."""
    return code(str(text).replace("|", "¦"))


def prose(text: str) -> str:
    """Write sentences: words as they are, and whatever is more than a word as a code span."""
    parts = printable(" ".join(text.splitlines())).split("`")
    if len(parts) % 2 == 0:
        parts = ["'".join(parts)]
    # Spans that touch are one to the reader, and no backtick is left in any of them that could end it early.
    written = [
        " ".join(map(_word, part.split(" "))) if not index % 2 else part.strip() and code(part)
        for index, part in enumerate(parts)
    ]
    return "".join(written).strip()


def _word(word: str) -> str:
    """Write one word with the punctuation around it, which means nothing there; what has signs inside is code."""
    if not word or _PLAIN.fullmatch(word):
        return word
    core = word.strip(".,;:()\"'!?%")
    if not core:
        return word
    before, after = word[: word.index(core)], word[word.index(core) + len(core) :]
    if core.isdecimal():
        after = after.replace(".", "\\.").replace(")", "\\)")  # at the begin of a line it would count a list
    return before + (core if _PLAIN.fullmatch(core) else code(core)) + after


def _lines(report: Report) -> Iterator[str]:
    yield f"# {wording.VERDICTS[report.verdict].capitalize()}: {code(report.subject.hostname)}"
    yield ""
    yield f"**{wording.VERDICTS[report.verdict]}** ({prose(wording.claim(report))}), {wording.moment(report.started)}"
    yield ""
    yield from (f"- {prose(reason)}" for reason in report.reasons)
    yield from (f"- relaxed by {prose(text)}" for text in report.relaxed_by)
    yield from _reached(report)
    yield from _coverage(report)
    yield from _egress(report)
    found = dossiers(report)
    if found:
        yield from ("", "## Findings")
    for one in found:
        yield from _rule(one)
    yield from _vanished(report)
    yield from _undecided(report)
    yield from _self_test(report)
    yield from _sign_off(report)


def _coverage(report: Report) -> Iterator[str]:
    yield from ("", "## What was seen, and what was not", "")
    yield from ("| Evidence | Status | Seen | Lost |", "| --- | --- | --- | ---: |")
    for item in report.coverage:
        seen = "; ".join(part for part in (item.reason, item.scope) if part)
        yield f"| {cell(item.collector)} | {item.status} | {prose(seen.replace('|', '¦')) or '-'} | {item.lost:,} |"
    yield ""
    for item in report.coverage:
        if item.blind:
            yield f"- Not seen by {code(item.collector)}:"
        yield from (f"  - {prose(text)}" for text in item.blind)
    yield from (f"- Nobody looked: {prose(str(one))}" for one in unobserved.absences(report))


def _egress(report: Report) -> Iterator[str]:
    flows = egress.flows(report)
    yield from ("", "## Who talked to where", "")
    if not flows:
        yield egress.nothing(report)
        return
    yield from ("| Who | Where | Policy | By, or why not | Connections |", "| --- | --- | --- | --- | ---: |")
    for flow in flows[:_MOST_FLOWS]:
        allowed = wording.ALLOWED[flow.allowed]
        by = cell(egress.reason(flow))
        yield f"| {cell(flow.who)} | {cell(flow.where)} | {allowed} | {by} | {flow.connections:,} |"
    if len(flows) > _MOST_FLOWS:
        yield from ("", f"And {egress.rest(flows[_MOST_FLOWS:])}.")


def _reached(report: Report) -> Iterator[str]:
    if report.reached is None:
        return
    yield from ("", f"## {reach.TITLE}", "")
    if command := reach.command(report):
        yield from (code(command), "")
    yield prose(reach.summary(report))
    if report.reached:
        yield from ("", "| Destination | Times | Policy | Who | On | Said | Predicted by |")
        yield "| --- | ---: | --- | --- | --- | --- | --- |"
    for one in reach.destinations(report):
        told = (one.verdict, one.who, one.during, one.said, one.predicted)
        yield f"| {cell(one.target)} | {prose(one.times)} | {' | '.join(map(cell, told))} |"
    if more := reach.rest(report):
        yield from ("", f"{more[:1].upper()}{more[1:]}.")
    if report.predicted_unseen:
        yield from ("", f"### {reach.UNSEEN}", "")
        yield from (f"- {code(target)}, predicted by {code(predicted)}" for target, predicted in reach.unseen(report))
        if more := reach.rest_unseen(report):
            yield f"- {more}"


def _rule(one: Dossier) -> Iterator[str]:
    result = one.result
    yield from ("", f"### {result.severity.capitalize()}: {prose(result.title)}", "")
    counts = [wording.count(one.open, "finding")]
    counts += [f"{one.waived:,} waived"] if one.waived else []
    counts += [f"{one.baselined:,} known from the baseline"] if one.baselined else []
    yield f"{code(result.rule)}, {wording.OUTCOMES[result.outcome]}: {', '.join(counts)}"
    yield ""
    shown = [exhibit.finding for exhibit in one.exhibits[:_EACH]]
    for finding in shown:
        yield from _finding(finding)
    if len(shown) < len(result.findings):
        yield f"- and {len(result.findings) - len(shown):,} more; the JSON report has each of them"
    yield from ("", "Fix:", "", *_advice(result.remediation))
    if one.controls:
        supported = "; ".join(f"{prose(name)} {code(ids)}" for name, ids in one.controls)
        yield from ("", f"Supports: {supported}")


def _finding(finding: Finding) -> Iterator[str]:
    times = f" ({finding.count:,} times)" if finding.count > 1 else ""
    yield f"- {code(finding.message)}{times}"
    yield f"  - who: {code(finding.subject)}"
    yield f"  - because: {code(', '.join(f'{reason.field} = {reason.value}' for reason in finding.because))}"
    if finding.waived_by:
        yield f"  - accepted: {code(finding.waived_by)}"
    elif line := for_finding(finding.record):
        yield f"  - to approve: {code(line)}"


def _advice(text: str) -> Iterator[str]:
    """Yield paragraphs, and what is to be typed in fences that nothing inside can close."""
    fence = "`" * max(3, *(len(run) + 1 for run in _BACKTICKS.findall(text)), 3)
    block: list[str] = []
    typed = False
    for line in [*text.splitlines(), ""]:
        if block and (line.startswith(" ") != typed or not line):
            yield from (fence, *block, fence) if typed else (prose(" ".join(block)),)
            yield ""
            block = []
        typed = line.startswith(" ")
        if line:
            block.append(printable(line))


def _vanished(report: Report) -> Iterator[str]:
    if not (known := wording.known_again(report)) or not report.baseline:
        return
    yield from ("", "## Since the baseline", "", code(known), "")
    vanished = report.baseline.vanished
    yield from (
        f"- vanished: {code(one.rule)} ({one.severity}) {code(one.message)}" for one in vanished[:_MOST_VANISHED]
    )
    if len(vanished) > _MOST_VANISHED:
        yield f"- and {len(vanished) - _MOST_VANISHED:,} more; the JSON report has each of them"


def _undecided(report: Report) -> Iterator[str]:
    results = [result for result in without_findings(report) if result.outcome == "unknown"]
    if results:
        yield from ("", "## Undecided rules", "")
        yield from (f"- {code(one.rule)} ({one.severity}): {code(one.reason)}" for one in results)


def _self_test(report: Report) -> Iterator[str]:
    if not report.self_test:
        return
    yield from ("", "## Proof of sight: attempts of our own, and who saw them", "")
    observers = proof.observers(report.self_test)
    yield f"| Attempt | {' | '.join(map(cell, observers))} |"
    yield "| --- " * (len(observers) + 1) + "|"
    for mode, sights in proof.rows(report.self_test):
        yield f"| {cell(mode)} | {' | '.join(_sight(sight) for sight in sights)} |"


def _sight(sight: Sight) -> str:
    return f"{sight.words}: {cell(sight.note)}" if sight.note else sight.words


def _sign_off(report: Report) -> Iterator[str]:
    yield from ("", "## Sign-off", "", "| | |", "| --- | --- |")
    yield from (f"| {item.label} | {cell(item.text)} |" for item in sign_off.items(report))
    yield from ("", prose(sign_off.STATEMENT), "", "| | |", "| --- | --- |")
    yield from (f"| {label} | |" for label in sign_off.LINES)
