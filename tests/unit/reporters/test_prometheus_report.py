"""The metrics: read by Prometheus' own parsers, bounded, and with a series for every alert that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from msgspec.structs import replace

from airgap_check.reporters import prometheus_report
from tests import formats
from tests.reports import compliant, inconclusive, of_size, sample
from tests.verdicts import TEXTS, saying

if TYPE_CHECKING:
    from airgap_check.finding import Report
    from tests.formats import Series


def read(report: Report) -> Series:
    return formats.series(prometheus_report.render(report))


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


def test_the_last_run_its_code_and_its_verdict_are_there() -> None:
    report = sample()
    series = read(report)
    assert value(series, "last_run_timestamp_seconds") == report.finished.timestamp()
    assert value(series, "run_duration_seconds") == 600
    assert value(series, "exit_code") == 1
    verdicts = {key: number for key, number in series.items() if key[0] == "verdict"}
    assert sum(verdicts.values()) == 1
    assert value(series, "verdict", verdict="not_compliant") == 1
    assert value(read(inconclusive()), "verdict", verdict="inconclusive") == 1


def test_findings_are_counted_by_rule_and_by_severity_with_zeros() -> None:
    report = sample()
    series = read(report)
    rule = {"rule": "connection.not-allowlisted", "severity": "high"}
    assert value(series, "findings", **rule, state="failing") == 1
    assert value(series, "findings", **rule, state="waived") == 1
    assert value(series, "findings", **rule, state="baselined") == 2
    by_rule = sum(number for key, number in series.items() if key[0] == "findings")
    by_severity = [number for key, number in series.items() if key[0] == "findings_by_severity"]
    assert by_rule == sum(by_severity) == sum(len(result.findings) for result in report.results)
    assert len(by_severity) == 16
    assert value(read(compliant()), "findings_by_severity", severity="critical", state="failing") == 0


def test_outcomes_coverage_losses_gaps_and_the_self_test_are_there() -> None:
    report = sample()
    series = read(report)
    assert sum(number for key, number in series.items() if key[0] == "rule_outcome") == len(report.results)
    assert value(series, "coverage_complete", collector="sockets") == 1
    assert value(series, "coverage_complete", collector="traffic") == 0
    assert value(series, "lost_events", collector="traffic") == 17
    assert value(series, "unobserved_seconds") == 60
    assert value(series, "self_test_seen", observer="attempts", mode="refused") == 1
    assert value(series, "self_test_seen", observer="traffic", mode="refused") == 0
    assert not any("prohibit" in str(key) for key in series)
    (info,) = (dict(key[1]) for key in series if key[0] == "info")
    assert info == {
        "version": "1.2.3", "policy_sha256": report.policy.sha256, "rules_sha256": report.rules_sha256,
        "hostname": "app1.bank.example", "claim": "observed",
    }  # fmt: skip


def test_a_clock_that_was_set_back_hides_no_gap() -> None:
    report = sample()
    (gap,) = report.window.gaps
    window = replace(report.window, gaps=(gap, (report.finished, report.started)))
    assert value(read(replace(report, window=window)), "unobserved_seconds") == 60


def test_a_trial_that_was_made_twice_is_one_series_and_seen_only_if_both_were() -> None:
    report = sample()
    twice = replace(report, self_test=(report.self_test[0], replace(report.self_test[0], seen="no")))
    assert value(read(twice), "self_test_seen", observer="attempts", mode="refused") == 0


def test_the_number_of_series_does_not_grow_with_the_findings() -> None:
    few, many = read(of_size(20)), read(of_size(2_000))
    assert set(few) == set(many)
    assert len(many) < 100
    assert "93." not in str(many)


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive()], ids=["sample", "compliant", "inconclusive"])
def test_promtool_finds_nothing_to_complain_about(report: Report) -> None:
    assert formats.prometheus(prometheus_report.render(report))


@given(TEXTS)
def test_whatever_the_host_says_the_series_stay_the_same(text: str) -> None:
    known, said = read(saying("x")), read(saying(text))
    assert {key for key in said if key[0] != "info"} == {key for key in known if key[0] != "info"}
    assert sum(key[0] == "info" for key in said) == 1
