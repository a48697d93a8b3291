"""The report for a person at a terminal: the verdict and its claim, then what was found, then what was not seen."""

from __future__ import annotations

from io import StringIO
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from airgap_check.redact import printable
from airgap_check.reporters.policy_line import for_finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.finding import Finding, Report, RuleResult
    from airgap_check.inspection import Trial

DEFAULT_WIDTH = 120
_FEW_FINDINGS = 10
_VERDICTS = {
    "compliant": ("COMPLIANT", "bold green"),
    "not_compliant": ("NOT COMPLIANT", "bold red"),
    "inconclusive": ("INCONCLUSIVE", "bold yellow"),
}
_CLAIMS = {
    "snapshot": "snapshot: connections shorter than an instant are not covered",
    "replayed": "replayed: evidence recorded earlier, judged again",
}
_SOURCES = {
    "capture": "captured: only what these files hold was judged",
    "bundle": "bundle: files as they lie there, not what runs",
}
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_STATUS = {"complete": "green", "partial": "yellow", "unavailable": "red"}
_EXITS = {
    0: "compliant", 1: "not compliant", 2: "bad usage or an invalid file", 3: "internal error", 4: "inconclusive"
}  # fmt: skip


def render(report: Report, *, colour: bool = False, width: int | None = None, verbose: bool = False) -> str:
    """Render the report as text of a width in columns; everything that came from the host is made harmless."""
    text = StringIO()
    console = Console(
        file=text,
        width=width or DEFAULT_WIDTH,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    _verdict(console, report)
    _findings(console, report, verbose=verbose)
    _undecided(console, report, verbose=verbose)
    _coverage(console, report)
    _self_test(console, report, verbose=verbose)
    _terms(console, report, verbose=verbose)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _verdict(console: Console, report: Report) -> None:
    word, style = _VERDICTS[report.verdict]
    console.print(Text(word, style).append(f" ({_claim(report)})", "default"), soft_wrap=True)
    for reason in report.reasons:
        _line(console, reason, 2)


def _claim(report: Report) -> str:
    """Say what kind of evidence the verdict rests on, and for an observation, how long it was."""
    for limitation in report.limitations:
        if limitation.id in _SOURCES:
            return _SOURCES[limitation.id]
    if report.claim != "observed":
        return _CLAIMS[report.claim]
    seconds = round((report.window.end - report.window.start).total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = ((hours, "h"), (minutes, "m"), (seconds % 60, "s"))
    return "observed for " + (" ".join(f"{number}{unit}" for number, unit in parts if number) or "less than 1s")


def _findings(console: Console, report: Report, *, verbose: bool) -> None:
    for result in report.results:
        if not result.findings:
            continue
        console.print()
        console.print(
            Text.assemble(
                (result.severity, _COLOURS[result.severity]), "  ", (result.rule, "bold"), f"  {result.title}"
            ),
            soft_wrap=True,
        )
        shown = result.findings if verbose else result.findings[:_FEW_FINDINGS]
        for finding in shown:
            _finding(console, finding)
        if len(shown) < len(result.findings):
            _line(console, f"... and {len(result.findings) - len(shown)} more (-v shows all)", 4)
        _labelled(console, "fix", result.remediation, 4)
        if verbose:
            _labelled(console, "why it matters", result.rationale, 4)
            controls = "; ".join(f"{name} {', '.join(ids)}" for name, ids in result.controls.items())
            _labelled(console, "supports", controls, 4)


def _finding(console: Console, finding: Finding) -> None:
    times = f"  x{finding.count}" if finding.count > 1 else ""
    waived = f"  [waived] {finding.waived_by}" if finding.waived_by else ""
    _line(console, f"{finding.message}{times}{waived}", 4, "default")
    _labelled(console, "who", finding.subject, 6)
    because = ", ".join(f"{reason.field} = {reason.value}" for reason in finding.because)
    _labelled(console, "because", because, 6)
    if (line := for_finding(finding.record)) and not finding.waived_by:
        _labelled(console, "to approve", line, 6)


def _undecided(console: Console, report: Report, *, verbose: bool) -> None:
    for outcome, heading in (("unknown", "Undecided rules"), ("not_applicable", "Rules that do not apply")):
        results = [result for result in report.results if result.outcome == outcome]
        if not results or (outcome == "not_applicable" and not verbose):
            continue
        _heading(console, heading)
        for reason, group in groupby(sorted(results, key=_reason), key=_reason):
            _line(console, ", ".join(f"{result.rule} ({result.severity})" for result in group), 2)
            _line(console, reason, 4, "dim")


def _reason(result: RuleResult) -> str:
    return result.reason


def _coverage(console: Console, report: Report) -> None:
    _heading(console, "What was seen, and what was not")
    table = Table.grid(padding=(0, 2))
    for item in report.coverage:
        counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in item.counts.items() if count)
        seen = "; ".join(part for part in (item.reason, item.scope, counts) if part)
        table.add_row(item.collector, Text(item.status, _STATUS[item.status]), Text(printable(seen)))
        for blind in item.blind:
            table.add_row("", "", Text(f"not seen: {printable(blind)}", "dim"))
    console.print(Padding(table, (0, 0, 0, 2)))


def _self_test(console: Console, report: Report, *, verbose: bool) -> None:
    """Show which of our own failing attempts each observer saw: what it could not see there, it cannot see anywhere."""
    if not report.self_test:
        return
    _heading(console, "Proof of sight: attempts of our own, and who saw them")
    observers = list(dict.fromkeys(trial.observer for trial in report.self_test))
    table = Table.grid(padding=(0, 2))
    table.add_row("", *(Text(name, "dim") for name in observers))
    for mode in dict.fromkeys(trial.mode for trial in report.self_test):
        trials = {trial.observer: trial for trial in report.self_test if trial.mode == mode}
        table.add_row(mode, *(_trial(trials.get(name), verbose=verbose) for name in observers))
    console.print(Padding(table, (0, 0, 0, 2)))


def _trial(trial: Trial | None, *, verbose: bool) -> Text:
    if trial is None:
        return Text("-", "dim")
    if trial.seen == "yes" and trial.process in {"right", "not promised"}:
        return Text("seen" if trial.process == "not promised" else "seen, right process", "green")
    word = {"yes": f"seen, process {trial.process}", "no": "NOT SEEN", "skipped": "skipped"}[trial.seen]
    told = trial.note != word.lower() and (verbose or trial.seen != "skipped")
    style = "red" if trial.seen == "no" else "yellow"
    return Text(word + (f": {printable(trial.note)}" if trial.note and told else ""), style)


def _terms(console: Console, report: Report, *, verbose: bool) -> None:
    _heading(console, "On what terms")
    bundled = any(limitation.id == "bundle" for limitation in report.limitations)
    derived = "none was given" if bundled else "derived from this host, approved by nobody"
    origin = report.policy.path or derived
    _labelled(console, "policy", f"{origin} (sha256 {report.policy.sha256[:16]})", 2)
    for entry in report.policy.entries if report.policy.derived or verbose else ():
        _line(console, f"{entry.name} ({entry.role}), from {entry.from_}", 4)
    runtimes = ", ".join(_runtimes(report)) or "none found"
    _labelled(console, "runtimes", runtimes, 2)
    _labelled(console, "relaxed by", ", ".join(report.relaxed_by) or "nothing", 2)
    for limitation in report.limitations:
        _labelled(console, "limitation", limitation.text, 2)
    seconds = (report.finished - report.started).total_seconds()
    host, scope = report.subject.hostname, report.subject.scope
    _labelled(console, "run", f"{host} ({scope}), {report.started:%Y-%m-%dT%H:%M:%SZ}, {seconds:.1f} s", 2)
    _labelled(console, "exit code", f"{report.exit_code} ({_EXITS[report.exit_code]})", 2)


def _runtimes(report: Report) -> Iterable[str]:
    for runtime in report.subject.runtimes:
        version = f" {runtime.version}" if runtime.version else ""
        where = f" in {runtime.workload.kind} {runtime.workload.name}" if runtime.workload else ""
        yield f"{runtime.product}{version} {runtime.process.name}[{runtime.process.pid}]{where}"


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _labelled(console: Console, label: str, text: str, indent: int) -> None:
    """Print a label and, hanging beside it, its text."""
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(f"{label}:", "dim", no_wrap=True), Text("\n".join(map(printable, text.splitlines()))))
    console.print(Padding(table, (0, 0, 0, indent)))


def _line(console: Console, text: str, indent: int, style: str = "") -> None:
    """Print a paragraph whose later lines hang."""
    table = Table.grid()
    table.add_row(Text(printable(text), style))
    console.print(Padding(table, (0, 0, 0, indent)))
