"""``inspect`` judges files like any other evidence: by the policy, with the verdict's exit code."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from airgap_check.commands import inspect
from airgap_check.errors import InvalidFileError
from tests.unit.captures import wire

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
version: 1
allow:
  - {name: database, role: database, host: db.bank.example, ports: [443]}
  - {name: resolver, role: dns, cidr: [10.0.0.53/32], ports: [53], protocol: any}
"""
CLIENT, RESOLVER = "10.0.0.2", ("10.0.0.53", 53)
APPROVED = [
    wire.Stamped(wire.START, wire.udp((CLIENT, 40001), RESOLVER, wire.query("db.bank.example"))),
    wire.Stamped(wire.START, wire.udp(RESOLVER, (CLIENT, 40001), wire.answer("db.bank.example", "10.20.0.5"))),
    *wire.connect((CLIENT, 41000), ("10.20.0.5", 443), wire.client_hello("db.bank.example"), time=wire.START + 1),
]
STRAY = wire.connect((CLIENT, 41001), ("8.8.8.8", 443), time=wire.START + wire.SECOND, accepted=False)


def run(folder: Path, content: bytes) -> tuple[int, dict[str, object]]:
    """Judge one file; return the exit code and the report."""
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "capture").write_bytes(content)
    report = folder / "report.json"
    parser = argparse.ArgumentParser()
    inspect.add(parser)
    argv = [str(folder / "capture"), "--policy", str(folder / "policy.yaml"), "--quiet", "--report", f"json={report}"]
    known = argparse.Namespace(
        argv=argv, clock=lambda: datetime(2026, 11, 20, tzinfo=UTC), verbose=False, no_color=True
    )
    code = inspect.run(parser.parse_args(argv, known))
    return code, json.loads(report.read_bytes())


def test_a_capture_of_what_is_approved_is_compliant(tmp_path: Path) -> None:
    code, report = run(tmp_path, wire.pcap(APPROVED))
    assert (code, report["verdict"]) == (0, "compliant")


def test_an_attempt_to_leave_is_not_compliant_also_when_nobody_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = run(tmp_path, wire.pcapng(APPROVED + STRAY))
    assert (code, report["verdict"]) == (1, "not_compliant")
    assert "8.8.8.8:443" in capsys.readouterr().out


def test_a_file_that_is_cut_short_is_inconclusive(tmp_path: Path) -> None:
    code, report = run(tmp_path, wire.pcap(APPROVED)[:-1])
    assert (code, report["verdict"]) == (4, "inconclusive")
    assert "cut short at byte" in str(report["reasons"])


def test_another_file_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="not a file that can be judged"):
        run(tmp_path, b"just text\n")
