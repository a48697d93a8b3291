"""The last page names who looked, at what, when, and on which terms."""

from __future__ import annotations

from msgspec.structs import replace

from airgap_check.reporters import sign_off
from tests import reports


def items(report: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in sign_off.items(report):  # type: ignore[arg-type]
        found.setdefault(item.label, []).append(item.text)
    return found


def test_who_when_scope_claim_limitations_and_digests_are_named() -> None:
    report = reports.sample()
    said = items(report)
    assert said["Run by"] == ["uid 0, logged in as uid 1000, through sudo by jdoe"]
    assert said["Started"] == ["2026-11-20T12:00:00Z"]
    assert said["Finished"] == ["2026-11-20T12:10:00Z (10m)"]
    assert said["Scope"] == ["the whole host"]
    assert said["Claim"] == ["observed for 10m"]
    assert said["Limitation"] == [one.text for one in report.limitations]
    assert said["Policy digest"] == [f"sha256 {report.policy.sha256}"]
    assert said["Rules digest"] == [f"sha256 {report.rules_sha256}"]
    assert said["Tool digest"] == [f"sha256 {report.tool.sha256}"]
    assert said["Policy approved by"] == ["J. Doe, on 2026-11-20"]
    assert said["Unobserved"] == [
        "2026-11-20T03:00:00Z to 2026-11-20T12:00:00Z (9h): no run reported",
        "2026-11-20T12:05:00Z to 2026-11-20T12:06:00Z (1m): the machine slept",
    ]
    assert [text.partition(":")[0] for text in said["Not fully seen"]] == [
        "environment",
        "resolution",
        "traffic",
        "sockdiag",
    ]


def test_what_nobody_said_is_said_to_be_missing() -> None:
    report = reports.compliant()
    alone = replace(
        report,
        run=replace(report.run, login_uid=None, sudo_user=None),
        policy=replace(report.policy, approved=None, path=None, derived=True),
        subject=replace(report.subject, runtimes=(), scope="namespace", machine_id_hash=None),
        clock=replace(report.clock, synchronized=None),
    )
    said = items(alone)
    assert said["Run by"] == ["uid 0, no login session"]
    assert said["Policy approved by"] == ["nobody"]
    assert said["Policy"] == ["derived from this host, approved by nobody"]
    assert said["Runtimes"] == ["none found"]
    assert said["Scope"] == ["a container's share of the host"]
    assert said["Clock"] == ["unknown whether synchronised, says adjtimex"]
    assert "Machine" not in said
