"""Two reports side by side: what is new fails, and who saw less cannot say that all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.comparison import compare
from airgap_check.errors import UsageError
from airgap_check.finding import Limitation
from tests.unit.history.judged_reports import finding, report, result, results_of

if TYPE_CHECKING:
    from airgap_check.finding import Report

RULE = "connection.not-allowlisted"


def code(old: Report, new: Report, fail_on: Any = "high") -> int:
    return int(compare(old, new).exit_code(fail_on))


def test_what_appeared_what_is_resolved_and_what_is_still_there() -> None:
    compared = compare(report(0, results_of(["a", "b"])), report(1, results_of(["b", "c"])))
    assert [one.fingerprint for one in compared.appeared] == ["c"]
    assert [one.fingerprint for one in compared.resolved] == ["a"]
    assert (compared.still, compared.unknown) == (1, ())


def test_what_was_not_decided_again_is_not_resolved() -> None:
    compared = compare(report(0, results_of(["a"])), report(1, result(RULE, outcome="unknown")))
    assert (compared.resolved, [one.fingerprint for one in compared.unknown]) == ((), ["a"])


def test_who_saw_less_has_resolved_nothing_though_the_rule_fails() -> None:
    for worse in ({"sockets": "partial"}, {"environment": "complete"}):
        compared = compare(report(0, results_of(["a"])), report(1, results_of(["b"]), coverage=worse))
        assert (compared.resolved, [one.fingerprint for one in compared.unknown]) == ((), ["a"])
    doubtful = report(1, result(RULE, finding("b"), reason="could not decide 1: a"))
    assert compare(report(0, results_of(["a"])), doubtful).resolved == ()
    part = report(1, results_of([]), relaxed_by=("cgroup /sys/fs/cgroup/a",))
    assert compare(report(0, results_of(["a"])), part).resolved == ()


def test_pseudonyms_of_another_key_or_on_one_side_alone_resolve_nothing() -> None:
    clear, hidden = (
        report(0, results_of(["a"])),
        report(1, results_of(["b"]), limitations=(Limitation(id="pseudonyms", text="(key 1)"),)),
    )
    other = report(2, results_of(["c"]), limitations=(Limitation(id="pseudonyms", text="(key 2)"),))
    judged_again = report(3, results_of(["d"]), relaxed_by=("pseudonyms (key 1)",))
    for old, new in ((clear, hidden), (hidden, clear), (hidden, other), (clear, judged_again), (hidden, judged_again)):
        with pytest.raises(UsageError, match="pseudonyms"):
            compare(old, new)
    assert compare(hidden, hidden).still == 1
    assert compare(judged_again, judged_again).still == 1


def test_what_became_graver_is_new_and_what_became_milder_is_not() -> None:
    milder = report(0, result(RULE, finding("a"), severity="medium"))
    assert len(compare(milder, report(1, results_of(["a"]))).appeared) == 1
    assert compare(milder, report(1, results_of(["a"]))).still == 0
    assert compare(report(0, results_of(["a"])), milder).appeared == ()


def test_a_waived_finding_is_neither_new_nor_gone() -> None:
    waived = report(1, result(RULE, finding("a", waived_by="a waiver")))
    assert compare(report(0), waived).appeared == ()
    assert compare(report(0, results_of(["a"])), waived).resolved == ()
    assert len(compare(waived, report(2, results_of(["a"]))).appeared) == 1


@pytest.mark.parametrize(
    ("severity", "fail_on", "expected"), [("high", "high", 1), ("medium", "high", 0), ("medium", "medium", 1)]
)
def test_only_new_findings_that_are_grave_enough_fail(severity: Any, fail_on: str, expected: int) -> None:
    assert code(report(0), report(1, result(RULE, finding("a"), severity=severity)), fail_on) == expected


def test_old_findings_do_not_fail() -> None:
    assert code(report(0, results_of(["a"])), report(1, results_of(["a"]))) == 0


@pytest.mark.parametrize("worse", [{"sockets": "partial"}, {"environment": "complete"}])
def test_who_saw_less_is_not_clean(worse: dict[str, str]) -> None:
    compared = compare(report(0), report(1, coverage=worse))
    assert compared.blinded
    assert compared.blinded[0].startswith("sockets: complete -> ")
    assert compared.exit_code("high") == 4
    back = compare(report(0, coverage=worse), report(1))
    assert (back.exit_code("high") == 0) == ("environment" not in worse)
    assert any(line.startswith("sockets: ") for line in back.sighted)


def test_a_new_report_that_is_inconclusive_is_not_clean_and_a_new_finding_outweighs_that() -> None:
    assert code(report(0), report(1, verdict="inconclusive")) == 4
    assert code(report(0), report(1, results_of(["a"]), coverage={"sockets": "partial"})) == 1


def test_it_is_said_what_else_differs() -> None:
    old = report(5)
    new = report(1, rules_sha256="other", claim="observed", relaxed_by=("no-resolve",))
    assert compare(old, new).others == (
        "the new report is older than the old one", "another claim: snapshot -> observed",
        "relaxed by: nothing -> no-resolve", "other rules",
    )  # fmt: skip
    assert compare(old, old).others == ()
