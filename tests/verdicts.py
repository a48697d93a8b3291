"""Small reports for the tests of reporters: one whose finding does not fail it, one in which the host says anything."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from airgap_check.engine import Terms, judge
from airgap_check.finding import Finding, Report
from tests.building import RULES, connection, inspection, policy
from tests.reports import compliant

PIECES = [
    "|", "\n", "\r\n", "=", "\\", '"', "'", ",", ";", "#", "# TODO x", "]]>", "&", "<", "\x00", "\x1b[31m", "\u2028",
    "\ud800", "\uffff", "\x85", "@", "+", "-", "...", "---", "not ok 1", "a b", "%", "$(x)", "\t", " key=",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=4)), max_size=8).map("".join)
FAILING, UNDECIDED = "connection.public-destination", "connection.not-allowlisted"


def told() -> Report:
    """Return a compliant report with one finding that is of medium severity."""
    return judge(inspection(connection("224.0.0.251", 5353, protocol="udp")), RULES, policy(), Terms())


def saying(text: str) -> Report:
    """Return a report that is not compliant, with one failing rule and one that left the verdict open."""
    report = compliant()
    process = {"pid": 1, "name": text, "user": text}
    record = {
        "kind": "connection", "direction": "outbound", "protocol": "tcp", "process": process, "path": text,
        "remote": {"address": text, "port": 443, "name": text}, "workload": {"kind": "unit", "name": text},
        "first": text,
    }  # fmt: skip
    finding = Finding(subject=text, message=text, because=(), record=record, count=1, fingerprint="f" * 32)
    changes: dict[str, dict[str, Any]] = {
        FAILING: {"outcome": "fail", "findings": (finding, replace(finding, waived_by=text, fingerprint="e" * 32))},
        UNDECIDED: {"outcome": "unknown", "reason": text},
    }
    kept = [result for result in report.results if result.rule in {*changes, "connection.multicast"}]
    results = tuple(replace(result, **changes.get(result.rule, {})) for result in kept)
    return replace(
        report,
        subject=replace(report.subject, hostname=text),
        results=results,
        relaxed_by=(text,),
        coverage=tuple(replace(item, reason=text) for item in report.coverage),
        verdict="not_compliant",
        exit_code=1,
        reasons=(f"{FAILING} (critical): 1 finding", f"undecided: {UNDECIDED}: {text}"),
    )
