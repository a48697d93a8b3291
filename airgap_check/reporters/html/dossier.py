"""What is listed of each rule: findings in full as far as a browser can bear, and one line for each beyond."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airgap_check.finding import SEVERITIES
from airgap_check.reporters import wording
from airgap_check.reporters.policy_line import for_finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airgap_check.finding import Finding, Report, RuleResult

MOST_IN_FULL = 1_000  # of the whole report: what browsers still narrow and sort at once
_IN_FULL_ON_PAPER, _ON_PAPER = 3, 15  # of each rule, accepted ones apart: a report that is filed has an end
_EACH = 25  # as many of each rule come first, so that no rule is without one
_CONTROLS = {"nist-800-53": "NIST SP 800-53", "pci-dss-4": "PCI DSS 4"}


Paper = Literal["full", "brief", "not"]


class Exhibit(NamedTuple):
    """A finding in full. ``evidence`` is what its record says in words, ``raw`` the record as JSON in ASCII.

    ``paper`` says how much of it is printed.
    """

    finding: Finding
    accepted: str  # "", waiver or baseline
    evidence: tuple[tuple[str, str], ...]
    approval: str | None
    raw: str
    paper: Paper


class Dossier(NamedTuple):
    """A rule with findings: those in full, and a line for each of the rest; ``unprinted`` counts what paper lacks."""

    result: RuleResult
    controls: tuple[tuple[str, str], ...]
    exhibits: tuple[Exhibit, ...]
    lines: tuple[str, ...]
    open: int
    waived: int
    baselined: int
    unprinted: int


def dossiers(report: Report) -> list[Dossier]:
    """Return the rules with findings, those that fail first, the most severe first."""
    results = sorted((result for result in report.results if result.findings), key=_urgency)
    shares = _shares([len(result.findings) for result in results])
    return [_dossier(result, share) for result, share in zip(results, shares, strict=True)]


def without_findings(report: Report) -> list[RuleResult]:
    """Return the other rules, those that nobody could decide first."""
    return sorted((result for result in report.results if not result.findings), key=_urgency)


def by_reason(results: Iterable[RuleResult]) -> list[tuple[str, list[RuleResult]]]:
    """Put rules together whose outcome has the same reason, in the order in which each is first given."""
    groups: dict[str, list[RuleResult]] = {}
    for result in results:
        groups.setdefault(result.reason, []).append(result)
    return list(groups.items())


def _urgency(result: RuleResult) -> tuple[int, int, str]:
    outcomes = list(wording.OUTCOMES)
    return outcomes.index(result.outcome), -SEVERITIES.index(result.severity), result.rule


def _shares(lengths: Sequence[int]) -> list[int]:
    """Divide the findings that are shown in full among rules: a few for each, the rest in order."""
    shares = [min(length, _EACH) for length in lengths]
    left = MOST_IN_FULL - sum(shares)
    for index, length in enumerate(lengths):
        more = min(length - shares[index], max(left, 0))
        shares[index] += more
        left -= more
    return shares


def _dossier(result: RuleResult, share: int) -> Dossier:
    # What nobody accepts comes first: if only some can be shown, then those.
    findings = sorted(result.findings, key=_is_accepted)
    accepted = [_accepted(finding) for finding in findings]
    exhibits = tuple(_exhibits(findings[:share]))
    return Dossier(
        result=result,
        controls=tuple((_CONTROLS.get(name, name), ", ".join(ids)) for name, ids in result.controls.items()),
        exhibits=exhibits,
        lines=tuple(map(in_a_line, findings[share:])),
        open=accepted.count(""),
        waived=accepted.count("waiver"),
        baselined=accepted.count("baseline"),
        unprinted=len(findings) - sum(one.paper != "not" for one in exhibits),
    )


def _is_accepted(finding: Finding) -> bool:
    return finding.waived_by is not None


def _accepted(finding: Finding) -> str:
    if finding.waived_by is None:
        return ""
    return "baseline" if finding.is_baselined else "waiver"


def _exhibits(findings: Sequence[Finding]) -> Iterator[Exhibit]:
    """Show findings in full on a screen; on paper the first of those nobody accepts, and of the others."""
    numbers: Counter[bool] = Counter()
    for finding in findings:
        kind = _is_accepted(finding)
        numbers[kind] += 1
        brief: Paper = "brief" if numbers[kind] <= _ON_PAPER else "not"
        yield _exhibit(finding, "full" if numbers[kind] <= _IN_FULL_ON_PAPER else brief)


def _exhibit(finding: Finding, paper: Paper) -> Exhibit:
    return Exhibit(
        finding=finding,
        accepted=_accepted(finding),
        evidence=tuple(evidence(finding.record)),
        approval=None if finding.waived_by else for_finding(finding.record),
        raw=json.dumps(finding.record, indent=2, ensure_ascii=True, default=str),
        paper=paper,
    )


def in_a_line(finding: Finding) -> str:
    """Write a finding as one line."""
    times = f"  x{finding.count:,}" if finding.count > 1 else ""
    accepted = f"  [accepted: {finding.waived_by}]" if finding.waived_by else ""
    return f"{finding.message}{times}  |  {finding.subject}{accepted}"


def evidence(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Say in words what a record says of who, where it stands, and when."""
    process, workload, place = (_part(record, name) for name in ("process", "workload", "place"))
    command = process.get("command") or process.get("executable")
    if process:
        owner = f", user {process['user']}" if process.get("user") else ""
        yield "Process", f"pid {process.get('pid')}{owner}" + (f": {command}" if command else "")
    if workload:
        image = f", image {workload['image']}" if workload.get("image") else ""
        yield "Workload", f"{workload.get('kind')} {workload.get('name')}{image}"
    source = place if place.get("path") else record
    if source.get("path"):
        line = f":{source['line']}" if source.get("line") else ""
        pointer = f" {record['pointer']}" if record.get("pointer") else ""
        yield "Place", f"{source['path']}{line}{pointer}"
    if record.get("first"):
        last = record.get("last")
        yield "When", f"{record['first']} to {last}" if last and last != record["first"] else str(record["first"])
    if record.get("seen"):
        yield "Seen by", str(record["seen"])


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}
