"""The report as JSON, written piece by piece: what msgspec writes at once, in ASCII."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given

from airgap_check.finding import Report
from airgap_check.reporters import json_report
from tests.reports import compliant, inconclusive, of_size, sample
from tests.verdicts import TEXTS, saying


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive(), of_size(40)])
def test_it_is_what_would_be_written_at_once(report: Report) -> None:
    text = json_report.render(report)
    assert text.isascii()
    assert text.endswith("\n}\n")
    assert json.loads(text) == json.loads(msgspec.json.encode(report))
    assert msgspec.json.decode(text, type=Report) == msgspec.json.decode(msgspec.json.encode(report), type=Report)


def test_an_ascii_report_is_the_same_to_the_letter() -> None:
    report = compliant()
    assert json_report.render(report) == msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


@given(TEXTS)
def test_whatever_the_host_says_comes_back(text: str) -> None:
    said = text.encode(errors="replace").decode()  # a lone surrogate is no text of a record
    report = saying(said)
    assert json.loads(json_report.render(report))["subject"]["hostname"] == said
