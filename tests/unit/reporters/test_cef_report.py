"""CEF: a strict reader of our own by the guide, and jc, find in each line what was put there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jc
import pytest
from hypothesis import given

from airgap_check.redact import printable
from airgap_check.reporters import cef_report
from tests import formats
from tests.reports import compliant, inconclusive, of_size, sample
from tests.verdicts import FAILING, TEXTS, UNDECIDED, saying

if TYPE_CHECKING:
    from airgap_check.finding import Report
    from tests.formats import Cef


def read(report: Report) -> list[Cef]:
    return formats.cef(cef_report.render(report))


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive()], ids=["sample", "compliant", "inconclusive"])
def test_there_is_a_line_for_the_verdict_for_each_finding_and_for_each_undecided_rule(report: Report) -> None:
    lines = read(report)
    assert lines[0][0][3] == "verdict"
    assert lines[0][2]["outcome"] == report.verdict
    findings = [line for line in lines[1:] if line[2]["outcome"] == "fail"]
    assert [line[2]["cs1"] for line in findings] == [
        finding.fingerprint for result in report.results for finding in result.findings
    ]
    assert {line[0][3] for line in lines[1:] if line[2]["outcome"] == "unknown"} == {
        result.rule
        for result in report.results
        if result.outcome == "unknown" or (result.outcome == "fail" and "could not decide" in result.reason)
    }


def test_a_connection_says_who_from_where_to_where() -> None:
    (line,) = (line for line in read(sample()) if line[2].get("dst") == "93.184.216.34" and line[0][3] == FAILING)
    header, severity, fields = line
    assert header[:3] == ["airgap-check", "airgap-check", "1.2.3"]
    assert severity == 10
    assert fields["src"] == "10.0.0.2"
    assert (fields["dpt"], fields["proto"], fields["sproc"], fields["spid"]) == ("443", "tcp", "curl", "977")
    assert (fields["deviceDirection"], fields["act"], fields["cnt"]) == ("1", "failing", "4")
    assert fields["dvchost"] == "app1.bank.example"
    assert int(fields["rt"]) == sample().finished.timestamp() * 1000


def test_of_a_caller_the_other_end_is_the_source_and_ipv6_has_its_own_keys() -> None:
    fields = [line[2] for line in read(sample())]
    (caller,) = (one for one in fields if one.get("deviceDirection") == "0")
    assert (caller["src"], caller["dst"], caller["dpt"]) == ("10.1.2.3", "10.0.0.2", "8080")
    assert (caller["dproc"], caller["duser"]) == ("node", "objectos")
    assert "sproc" not in caller
    (modern,) = (one for one in fields if "c6a3" in one)
    assert modern["c6a3Label"] == "Destination IPv6 Address"
    assert "dst" not in modern


def test_a_name_that_was_asked_for_is_the_destination() -> None:
    (asked,) = (line[2] for line in read(sample()) if line[0][3] == "resolution.public-name-asked")
    assert asked["dhost"] == "telemetry.example.com"
    assert asked["dst"] == "10.0.0.53"
    assert int(asked["start"]) < int(asked["end"])


def test_jc_reads_the_same() -> None:
    text = cef_report.render(of_size(50)) + cef_report.render(compliant())
    understanding: Any = jc.parse("cef", text)
    for (header, severity, fields), understood in zip(formats.cef(text), understanding, strict=True):
        assert understood["deviceEventClassId"] == header[3]
        assert understood["agentSeverity"] == str(severity)
        assert understood["outcome"] == fields["outcome"]
        assert understood.get("fingerprint") == fields.get("cs1")


@given(TEXTS)
def test_whatever_the_host_says_it_stays_one_value_of_one_line(text: str) -> None:
    lines = read(saying(text))
    assert [line[0][3] for line in lines[:1]] == ["verdict"]
    failing = [line for line in lines if line[0][3] == FAILING]
    assert len(failing) == 2
    assert failing[0][2].get("msg", "") == printable(text).strip()
    assert {line[2]["outcome"] for line in lines if line[0][3] == UNDECIDED} == {"unknown"}
