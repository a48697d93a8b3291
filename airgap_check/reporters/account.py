"""What a person at a terminal is told, and in which order; how it looks there is not decided here."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.reporters import proof, reach, unobserved, wording
from airgap_check.reporters.policy_line import for_finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report, RuleResult, Severity, Verdict
    from airgap_check.reporters.proof import Sight

_FEW = 10  # findings of a rule, or vanished ones, without -v


class Headline(NamedTuple):
    """The verdict, and what it claims."""

    verdict: Verdict
    claim: str


class Heading(NamedTuple):
    """The title of a section."""

    text: str


class RuleHeading(NamedTuple):
    """The rule that the findings below it broke."""

    severity: Severity
    rule: str
    title: str


class Line(NamedTuple):
    """A statement of its own; ``label`` says what it is where nobody sees how it stands; ``tone`` may be *dim*."""

    label: str
    text: str
    indent: int
    tone: str = ""


class Labelled(NamedTuple):
    """A statement with a word that says what it is about."""

    label: str
    text: str
    indent: int


class Advice(NamedTuple):
    """A labelled text of the rule's author, whose lines stay lines."""

    label: str
    text: str
    indent: int


class Row(NamedTuple):
    """A line of a table; ``spoken`` is the same as label and text, for who hears it, and None for a row of headings."""

    cells: tuple[tuple[str, str], ...]
    spoken: tuple[str, str] | None


class Grid(NamedTuple):
    """A small table: cells are text and tone."""

    rows: tuple[Row, ...]


Statement = Headline | Heading | RuleHeading | Line | Labelled | Advice | Grid


def account(report: Report, *, verbose: bool) -> Iterator[Statement]:
    """Yield every statement in order."""
    yield Headline(report.verdict, wording.claim(report))
    for reason in report.reasons:
        yield Line("reason", reason, 2)
    if report.reached is not None:
        yield from _reached(report)
    for result in report.results:
        if result.findings:
            yield from _findings(result, verbose=verbose)
    yield from _undecided(report, verbose=verbose)
    yield from _vanished(report, verbose=verbose)
    yield from _coverage(report)
    if report.self_test:
        yield from _self_test(report, verbose=verbose)
    yield from _terms(report, verbose=verbose)


def _reached(report: Report) -> Iterator[Statement]:
    """Tell what a rehearsed command reached for, one destination after the other, and what it never did."""
    yield Heading(reach.TITLE)
    if command := reach.command(report):
        yield Line("rehearsed", command, 2, "dim")
    yield Line("in short", reach.summary(report), 2, "dim")
    for one in reach.destinations(report):
        surprise = ", not predicted" if one.predicted == reach.NOT_PREDICTED else ""
        yield Line("destination", f"{one.target}  {one.times}, {one.verdict}{surprise}", 2, "plain")
        yield Labelled("who", one.who, 4)
        if one.during != reach.UNASKED:
            yield Labelled("on", one.during, 4)
        yield Labelled("said", one.said, 4)
        if not surprise:
            yield Labelled("predicted by", one.predicted, 4)
    if more := reach.rest(report):
        yield Line("not shown", f"... {more}", 2)
    if not report.predicted_unseen:
        return
    yield Heading(reach.UNSEEN)
    for target, predicted in reach.unseen(report):
        yield Line("never reached for", f"{target}  predicted by {predicted}", 2)
    if more := reach.rest_unseen(report):
        yield Line("not shown", f"... {more}", 2)


def _findings(result: RuleResult, *, verbose: bool) -> Iterator[Statement]:
    yield RuleHeading(result.severity, result.rule, result.title)
    shown = result.findings if verbose else result.findings[:_FEW]
    for finding in shown:
        yield from _finding(finding)
    if len(shown) < len(result.findings):
        yield Line("not shown", f"... and {len(result.findings) - len(shown)} more (-v shows all)", 4)
    yield Advice("fix", result.remediation, 4)
    if verbose:
        yield Advice("why it matters", result.rationale, 4)
        controls = "; ".join(f"{name} {', '.join(ids)}" for name, ids in result.controls.items())
        yield Labelled("supports", controls, 4)


def _finding(finding: Finding) -> Iterator[Statement]:
    times = f"  x{finding.count}" if finding.count > 1 else ""
    waived = f"  [waived] {finding.waived_by}" if finding.waived_by else ""
    yield Line("finding", f"{finding.message}{times}{waived}", 4, "plain")
    yield Labelled("who", finding.subject, 6)
    yield Labelled("because", ", ".join(f"{reason.field} = {reason.value}" for reason in finding.because), 6)
    if (line := for_finding(finding.record)) and not finding.waived_by:
        yield Labelled("to approve", line, 6)


def _undecided(report: Report, *, verbose: bool) -> Iterator[Statement]:
    for outcome, heading in (("unknown", "Undecided rules"), ("not_applicable", "Rules that do not apply")):
        results = [result for result in report.results if result.outcome == outcome]
        if not results or (outcome == "not_applicable" and not verbose):
            continue
        yield Heading(heading)
        for reason, group in groupby(sorted(results, key=_reason), key=_reason):
            yield Line("rules", ", ".join(f"{result.rule} ({result.severity})" for result in group), 2)
            yield Line("reason", reason, 4, "dim")


def _reason(result: RuleResult) -> str:
    return result.reason


def _vanished(report: Report, *, verbose: bool) -> Iterator[Statement]:
    """Tell what the baseline has and this run has not: good news, or somebody who hides better."""
    vanished = report.baseline.vanished if report.baseline else ()
    if not vanished:
        return
    yield Heading("Vanished since the baseline")
    shown = vanished if verbose else vanished[:_FEW]
    for one in shown:
        yield Line("vanished", f"{one.rule} ({one.severity})  {one.message}", 2)
    if len(shown) < len(vanished):
        yield Line("not shown", f"... and {len(vanished) - len(shown)} more (-v shows all)", 2)


def _coverage(report: Report) -> Iterator[Statement]:
    yield Heading("What was seen, and what was not")
    rows = []
    for item in report.coverage:
        counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in item.counts.items() if count)
        lost = f"lost {item.lost:,}" if item.lost else ""
        seen = "; ".join(part for part in (item.reason, item.scope, counts, lost) if part)
        cells = ((item.collector, ""), (item.status, item.status), (seen, ""))
        rows.append(Row(cells, (item.collector, f"{item.status}; {seen}" if seen else item.status)))
        rows += [
            Row((("", ""), ("", ""), (f"not seen: {blind}", "dim")), (f"not seen by {item.collector}", blind))
            for blind in item.blind
        ]
    yield Grid(tuple(rows))
    for absence in unobserved.absences(report):
        yield Labelled("unobserved", str(absence), 2)


def _self_test(report: Report, *, verbose: bool) -> Iterator[Statement]:
    """Show which of our own failing attempts each observer saw: what it could not see there, it cannot see anywhere."""
    yield Heading("Proof of sight: attempts of our own, and who saw them")
    observers = proof.observers(report.self_test)
    rows = [Row((("", ""), *((name, "dim") for name in observers)), None)]
    for mode, sights in proof.rows(report.self_test):
        cells = [_sight(sight, verbose=verbose) for sight in sights]
        told = zip(observers, sights, cells, strict=True)
        spoken = "; ".join(f"{name} {cell[0]}" for name, sight, cell in told if sight is not proof.NOTHING)
        rows.append(Row(((mode, ""), *cells), (mode, spoken)))
    yield Grid(tuple(rows))


def _sight(sight: Sight, *, verbose: bool) -> tuple[str, str]:
    why = verbose or sight.words != "skipped"
    return sight.text if why else sight.words, sight.status or "dim"


def _terms(report: Report, *, verbose: bool) -> Iterator[Statement]:
    yield Heading("On what terms")
    yield Labelled("policy", f"{wording.origin(report)} (sha256 {report.policy.sha256[:16]})", 2)
    for entry in report.policy.entries if report.policy.derived or verbose else ():
        yield Line("entry", f"{entry.name} ({entry.role}), from {entry.from_}", 4)
    yield Labelled("runtimes", ", ".join(wording.runtimes(report)) or "none found", 2)
    yield Labelled("relaxed by", ", ".join(report.relaxed_by) or "nothing", 2)
    if known := wording.known_again(report):
        yield Labelled("baseline", known, 2)
    for limitation in report.limitations:
        yield Labelled("limitation", limitation.text, 2)
    seconds = (report.finished - report.started).total_seconds()
    host, scope = report.subject.hostname, report.subject.scope
    yield Labelled("run", f"{host} ({scope}), {wording.moment(report.started)}, {seconds:.1f} s", 2)
    yield Labelled("exit code", f"{report.exit_code} ({wording.EXITS[report.exit_code]})", 2)
