r"""The report as ArcSight's Common Event Format, CEF:0, for a SIEM: a line for the verdict, one a finding or open rule.

Source: *ArcSight Common Event Format Implementation Standard*. The header escapes ``\`` and ``|``, the extension
``\`` and ``=``. ``src`` and ``dst`` hold IPv4 only, IPv6 stands in ``c6a2`` and ``c6a3``; every key has its longest
value.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from airgap_check.address import parse
from airgap_check.redact import printable
from airgap_check.reporters.consequence import Consequence
from airgap_check.reporters.facets import Facets, facets
from airgap_check.reporters.undecided import open_question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report, RuleResult, Severity, Verdict

_VENDOR = "airgap-check"
_SEVERITIES: Final[dict[Severity, int]] = {"low": 3, "medium": 5, "high": 8, "critical": 10}
_VERDICTS: Final[dict[Verdict, int]] = {"compliant": 0, "inconclusive": 6, "not_compliant": 9}
_DIRECTIONS = {"inbound": 0, "outbound": 1}
_LONGEST_NAME = 512  # characters of the header's fields
# Characters that a value may have, where that is not 1023.
_LONGEST = {"act": 63, "outcome": 63, "proto": 31, "dvchost": 100}
_LABELS = {
    "cs1": "fingerprint", "cs2": "acceptedBy", "cs3": "subject", "cs4": "controls", "cs5": "policySha256",
    "cs6": "workload", "c6a2": "Source IPv6 Address", "c6a3": "Destination IPv6 Address",
}  # fmt: skip


def render(report: Report) -> str:
    """Render the report as CEF lines."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    consequence = Consequence(report)
    ends = {
        "rt": _milliseconds(report.finished),
        "dvchost": report.subject.hostname,
        "cs5": report.policy.sha256,
    }
    yield _event(
        report, "verdict", f"airgap-check: {report.verdict.replace('_', ' ')}", _VERDICTS[report.verdict],
        {
            **ends, "cat": "verdict", "outcome": report.verdict, "act": report.claim,
            "start": _milliseconds(report.started), "end": _milliseconds(report.finished),
            "reason": "; ".join(report.reasons), "msg": _relaxed(report),
        },
    )  # fmt: skip
    for result in report.results:
        common = {**ends, "cat": result.rule.partition(".")[0], "cs4": _controls(result)}
        name, severity = result.title, _SEVERITIES[result.severity]
        for finding in result.findings:
            state = consequence.of(result, finding)
            yield _event(report, result.rule, name, severity, {**common, "act": state, **_finding(finding)})
        if question := open_question(result):
            act = "open" if consequence.blocks(result) else "reported"
            doubt = {"act": act, "outcome": "unknown", "reason": question}
            yield _event(report, result.rule, name, severity, {**common, **doubt})


def _finding(finding: Finding) -> dict[str, object]:
    flat = facets(finding.record)
    return {
        "outcome": "fail",
        "cnt": finding.count,
        "msg": finding.message,
        "reason": ", ".join(f"{reason.field} {reason.value}" for reason in finding.because),
        "cs1": finding.fingerprint,
        "cs2": finding.waived_by,
        "cs3": finding.subject,
        "cs6": flat.workload,
        "deviceDirection": _DIRECTIONS.get(flat.direction or ""),
        "proto": flat.protocol,
        **_ends(flat),
        "filePath": flat.path,
        "start": _instant(flat.first),
        "end": _instant(flat.last),
    }


def _ends(flat: Facets) -> dict[str, object]:
    """Say who is source and who destination, with the process on our side: of what comes in it is the destination."""
    here = (flat.local_address, flat.local_port)
    there = (flat.remote_address, flat.remote_port)
    inbound = flat.direction == "inbound"
    source, destination = (there, here) if inbound else (here, there)
    ours = "d" if inbound else "s"
    return {
        f"{ours}proc": flat.process,
        f"{ours}pid": flat.pid,
        f"{ours}user": flat.user,
        **_address("src", "c6a2", source[0]),
        "spt": source[1],
        "shost": flat.remote_name if inbound else None,
        **_address("dst", "c6a3", destination[0]),
        "dpt": destination[1],
        "dhost": None if inbound else flat.remote_name,
    }


def _address(key: str, key6: str, text: str | None) -> dict[str, object]:
    address = parse(text) if text else None
    return {key if address.version == 4 else key6: str(address)} if address else {}


def _relaxed(report: Report) -> str:
    return f"relaxed by: {', '.join(report.relaxed_by)}" if report.relaxed_by else ""


def _controls(result: RuleResult) -> str:
    return "; ".join(f"{name}: {', '.join(ids)}" for name, ids in result.controls.items())


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _instant(text: str | None) -> int | None:
    """Read the time of a record; None for what is none, for the record may be of a file."""
    try:
        return _milliseconds(datetime.fromisoformat(text)) if text else None
    except ValueError:
        return None


def _event(report: Report, signature: str, name: str, severity: int, extension: dict[str, object]) -> str:
    header = (_VENDOR, report.tool.name, report.tool.version, signature, name)
    written = {key: _value(key, value) for key, value in extension.items() if value is not None}
    pairs = {key: value for key, value in written.items() if value}
    labels = {f"{key}Label": label for key, label in _LABELS.items() if key in pairs}
    shown = " ".join(f"{key}={value}" for key, value in (pairs | labels).items())
    return f"CEF:0|{'|'.join(map(_header, header))}|{severity}|{shown}"


def _header(text: str) -> str:
    return printable(text)[:_LONGEST_NAME].replace("\\", "\\\\").replace("|", "\\|")


def _value(key: str, value: object) -> str:
    """Write a value on the line: cut, and what would begin another key escaped; it has no line breaks any more."""
    longest = _LONGEST.get(key, 1023)
    text = printable(str(value)).strip()
    shown = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return shown.replace("\\", "\\\\").replace("=", "\\=")
