"""The report as one HTML file that an auditor files: it loads nothing, and its own policy forbids it to."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from airgap_check.finding import SEVERITIES
from airgap_check.redact import printable
from airgap_check.reporters import egress, proof, reach, sign_off, unobserved, wording
from airgap_check.reporters.html import dossier, egress_map, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jinja2 import Template
    from markupsafe import Markup

    from airgap_check.evidence import Coverage
    from airgap_check.finding import Report
    from airgap_check.reporters.egress import Flow

_MOST_FLOWS = 300  # rows of the egress table
_MOST_VANISHED = 1_000
_ON_PAPER = 25  # rows of a table without an end
_SHORT = 42  # characters of a name in a drawing: what its margin holds of the widest of our fonts, DejaVu Sans


def render(report: Report) -> str:
    """Render the report; it is whole without JavaScript, which only narrows and sorts what is there."""
    from markupsafe import Markup

    style, script = _own("style.css"), _own("script.js")
    flows, others = egress.flows(report), dossier.without_findings(report)
    page: str = _template().render(
        report=report,
        # Ours, with nothing from the host in them: the only texts that are not escaped.
        style=Markup(style),  # noqa: S704  # a file of this package
        script=Markup(script),  # noqa: S704  # a file of this package
        style_hash=_digest(style),
        script_hash=_digest(script),
        verdict=wording.VERDICTS[report.verdict].lower(),
        claim=wording.claim(report),
        kind=wording.kind(report),
        reasons=list(_reasons(report)),
        length=wording.span(report.started, report.finished),
        approval=wording.approval(report),
        origin=wording.origin(report),
        figures=list(_figures(report, flows)),
        absences=list(map(str, unobserved.absences(report))),
        flows=flows,
        egress_note=_egress_note(report),
        no_egress=egress.nothing(report),
        on_paper=_ON_PAPER,
        most_flows=_MOST_FLOWS,
        totals=egress.totals(flows),
        rest=egress.rest,
        map=egress_map.draw(flows),
        map_width=egress_map.WIDTH,
        map_left=egress_map.LEFT,
        map_right=egress_map.RIGHT,
        allowed_words=wording.ALLOWED,
        timeline=timeline.draw(report, flows),
        time_width=timeline.WIDTH,
        time_begin=timeline.BEGIN,
        reach=reach,
        destinations=reach.destinations(report),
        dossiers=dossier.dossiers(report),
        others=[result for result in others if result.outcome != "not_applicable"],
        moot=dossier.by_reason(result for result in others if result.outcome == "not_applicable"),
        outcomes=wording.OUTCOMES,
        severities=SEVERITIES,
        findings_note=_findings_note(report),
        vanished=report.baseline.vanished if report.baseline else (),
        most_vanished=_MOST_VANISHED,
        baseline=wording.known_again(report),
        observers=proof.observers(report.self_test),
        proof=proof.rows(report.self_test),
        sign_off=list(sign_off.items(report)),
        statement=sign_off.STATEMENT,
        lines_to_fill=sign_off.LINES,
    )
    return page


@cache
def _template() -> Template:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_own),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
    )
    environment.filters |= {
        "moment": wording.moment,
        "count": wording.count,
        "short": _short,
        "seen": _seen,
        "advice": _advice,
        "lines": _lines,
        "sentence": _sentence,
        "prose": _prose,
        "reason": egress.reason,
        "list_of_lines": _list_of_lines,
    }
    return environment.get_template("page.jinja")


@cache
def _own(name: str) -> str:
    return (files("airgap_check.reporters.html") / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _harmless(value: Any) -> Any:
    """Take out of every text what a reader would not see; markup is escaped after this, by the template engine."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value)
    return value


def _lines(text: str) -> Markup:
    """Keep the line breaks of a text, and nothing else that is not printable."""
    return _list_of_lines(text.splitlines())


def _list_of_lines(lines: Sequence[str]) -> Markup:
    from markupsafe import escape

    return escape("\n".join(map(printable, lines)))


def _prose(text: str) -> Markup:
    """Keep the line breaks, and set what stands between backticks as code."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _lines(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(_lines(part)) if index % 2 else escape("\n".join(map(printable, part.split("\n"))))
        for index, part in enumerate(parts)
    )


def _advice(text: str) -> Iterator[tuple[bool, str]]:
    """Divide a rule's text into paragraphs and what is to be typed, which stands indented."""
    block: list[str] = []
    is_code = False
    for line in text.splitlines():
        indented = line.startswith(" ")
        if block and indented != is_code:
            yield is_code, "\n".join(block)
            block = []
        is_code = indented
        block.append(line[2:] if indented else line)
    if block:
        yield is_code, "\n".join(block)


def _short(text: str) -> str:
    """Leave the middle out of a name that would not fit into a drawing."""
    text = printable(text)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 16]}…{text[-15:]}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text else "No reason is given"


def _seen(item: Coverage) -> str:
    counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in item.counts.items() if count)
    return "; ".join(part for part in (item.reason, item.scope, counts) if part)


def _figures(report: Report, flows: Sequence[Flow]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield what a reader wants to know at a glance: a label, and numbers with their words."""
    severities: Counter[str] = Counter()
    accepted = 0
    for result in report.results:
        waived = sum(1 for finding in result.findings if finding.waived_by)
        severities[result.severity] += len(result.findings) - waived
        accepted += waived
    found = [(severities[name], name) for name in reversed(SEVERITIES) if severities[name]]
    yield "Findings", _numbers([*found, (accepted, "accepted")] if accepted else found)
    outcomes = Counter(result.outcome for result in report.results)
    words = {**wording.OUTCOMES, "not_applicable": "not applicable"}
    yield "Rules", _numbers([(outcomes[name], word) for name, word in words.items() if outcomes[name]])
    status = Counter(item.status for item in report.coverage)
    yield (
        "Evidence",
        _numbers([(status[name], name) for name in ("complete", "partial", "unavailable") if status[name]]),
    )
    if egress.is_covered(report):
        totals = egress.totals(flows)
        yield "Outbound connections", _numbers([(number, wording.ALLOWED[name]) for name, number in totals.items()])


def _numbers(pairs: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    return [(f"{number:,}", word) for number, word in pairs]


def _reasons(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield the reasons of the verdict; of one that is a rule's findings, the rule and its title come first."""
    titles = {result.rule: result.title for result in report.results if result.findings}
    for reason in report.reasons:
        rule = reason.partition(" ")[0]
        yield (rule, titles[rule], reason) if rule in titles else ("", "", reason)


def _egress_note(report: Report) -> str:
    callers = egress.inbound(report)
    return f"Not drawn: {wording.count(callers, 'connection')} that others made to this host." if callers else ""


def _findings_note(report: Report) -> str:
    total = sum(len(result.findings) for result in report.results)
    note = "Rules that fail come first, the most severe first. What is accepted does not fail the run, and stays here."
    if total > dossier.MOST_IN_FULL:
        note += (
            f" Of {total:,} findings {dossier.MOST_IN_FULL:,} are shown in full, the others in one line each; "
            "the JSON report has the records of all."
        )
    return note
