"""The report as metrics for the textfile collector of Prometheus' node exporter, exposition format 0.0.4.

No series has an address, process or name of the host's in its labels: their number is bounded by rules and collectors.
Everything is a gauge, lost events too: each run counts anew.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, get_args

from airgap_check.finding import SEVERITIES, Outcome, Verdict
from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.consequence import STATES, Consequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airgap_check.finding import Report


class _Sample(NamedTuple):
    value: float
    labels: dict[str, str]


def render(report: Report) -> str:
    """Render the report as gauges with help and type."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    for name, text, samples in _metrics(report):
        if not samples:
            continue
        yield f"# HELP airgap_check_{name} {text}"
        yield f"# TYPE airgap_check_{name} gauge"
        for sample in samples:
            labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in sample.labels.items())
            yield (
                f"airgap_check_{name}{{{labels}}} {_number(sample.value)}"
                if labels
                else (f"airgap_check_{name} {_number(sample.value)}")
            )


def _metrics(report: Report) -> Iterator[tuple[str, str, list[_Sample]]]:
    """Yield each metric: its name, its help and its samples."""
    yield "last_run_timestamp_seconds", "When the last run ended.", [_Sample(report.finished.timestamp(), {})]
    took = max(0.0, (report.finished - report.started).total_seconds())
    yield "run_duration_seconds", "How long the last run took.", [_Sample(took, {})]
    yield (
        "exit_code", "Exit code of the verdict: 0 compliant, 1 not compliant, 4 inconclusive.",
        [_Sample(report.exit_code, {})],
    )  # fmt: skip
    yield "verdict", "The verdict of the last run: 1 for the one that holds.", _verdict(report)
    yield from _findings(report)
    outcomes = Counter(result.outcome for result in report.results)
    yield (
        "rule_outcome", "Rules by outcome.",
        [_Sample(outcomes[outcome], {"outcome": outcome}) for outcome in get_args(Outcome)],
    )  # fmt: skip
    complete = [(item.status == "complete", {"collector": item.collector}) for item in report.coverage]
    yield "coverage_complete", "Whether a collector saw all that it has to see.", _united(complete, min)
    lost = [(item.lost, {"collector": item.collector}) for item in report.coverage]
    yield "lost_events", "Events that a collector lost in the last run.", _united(lost, sum)
    unobserved = [_Sample(wording.unobserved(report), {})]
    yield "unobserved_seconds", "Time inside the last run in which nothing was observed.", unobserved
    seen = [
        (trial.seen == "yes", {"observer": trial.observer, "mode": trial.mode})
        for trial in report.self_test
        if trial.seen != "skipped"
    ]
    yield "self_test_seen", "Whether an observer saw an attempt of the checker's own.", _united(seen, min)
    yield "info", "What ran where, under which policy and rules.", [_Sample(1, _info(report))]


def _united(values: Iterable[tuple[float, dict[str, str]]], unite: Callable[[Iterable[float]], float]) -> list[_Sample]:
    """Make one sample of values with the same labels: a series that stands twice makes the file invalid."""
    groups: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for value, labels in values:
        groups.setdefault(tuple(labels.items()), []).append(value)
    return [_Sample(unite(group), dict(labels)) for labels, group in groups.items()]


def _verdict(report: Report) -> list[_Sample]:
    return [_Sample(verdict == report.verdict, {"verdict": verdict}) for verdict in get_args(Verdict)]


def _findings(report: Report) -> Iterator[tuple[str, str, list[_Sample]]]:
    """Count findings by rule where there are any, and by severity always, so that an alert has a series to look at."""
    consequence = Consequence(report)
    by_rule: list[_Sample] = []
    totals = Counter({(severity, state): 0 for severity in SEVERITIES for state in STATES})
    for result in report.results:
        counts = Counter(consequence.of(result, finding) for finding in result.findings)
        for state, number in sorted(counts.items()):
            totals[result.severity, state] += number
            by_rule.append(_Sample(number, {"rule": result.rule, "severity": result.severity, "state": state}))
    yield "findings", "Findings of the last run by rule, and whether they fail the run.", by_rule
    samples = [_Sample(number, {"severity": severity, "state": state}) for (severity, state), number in totals.items()]
    yield "findings_by_severity", "Findings of the last run by severity, zeros included.", samples


def _info(report: Report) -> dict[str, str]:
    return {
        "version": report.tool.version,
        "policy_sha256": report.policy.sha256,
        "rules_sha256": report.rules_sha256,
        "hostname": report.subject.hostname,
        "claim": report.claim,
    }


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
