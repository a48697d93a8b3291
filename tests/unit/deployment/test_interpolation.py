"""Variables are filled in as the Compose specification has it; its own table stands here."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airgap_check.deployment.interpolation import fill

SET, EMPTY = {"V": "value", "F": "foo"}, {"V": "", "F": "foo"}


@pytest.mark.parametrize(
    ("text", "when_set", "when_empty", "when_unset"),
    [
        ("$V", "value", "", ""),
        ("${V}", "value", "", ""),
        ("a${V}b", "avalueb", "ab", "ab"),
        ("${V:-default}", "value", "default", "default"),
        ("${V-default}", "value", "", "default"),
        ("${V:+other}", "other", "", ""),
        ("${V+other}", "other", "other", ""),
        ("${V:-${F}}", "value", "foo", "foo"),
        ("${V:-${G:-default}}", "value", "default", "default"),
        ("${V:-${F:+x}y}", "value", "xy", "xy"),
        ("${V:-}", "value", "", ""),
        ("${V-}", "value", "", ""),
        ("$$V", "$V", "$V", "$V"),
        ("$${V}", "${V}", "${V}", "${V}"),
        ("${V:-a$$b}", "value", "a$b", "a$b"),
        ("${V:-http://x:1/?a={b}}", "value}", "http://x:1/?a={b}", "http://x:1/?a={b}"),  # the first brace closes
        ("$V$F", "valuefoo", "foo", "foo"),
        ("no variable", "no variable", "no variable", "no variable"),
    ],
)
def test_the_forms_of_the_specification(text: str, when_set: str, when_empty: str, when_unset: str) -> None:
    assert fill(text, SET).text == when_set
    assert fill(text, EMPTY).text == when_empty
    assert fill(text, {"F": "foo"}).text == when_unset


def test_what_compose_insists_on_is_named() -> None:
    assert fill("${V:?say it}", {"V": ""}).required == {"V"}
    assert fill("${V?say it}", {"V": ""}).required == frozenset()
    assert fill("${V?say it}", {}).required == {"V"}
    assert fill("${V:?say it}", SET) == fill("$V", SET)


def test_a_variable_that_nothing_sets_is_blank_and_named_unless_it_has_a_default() -> None:
    found = fill("${A}-$B-${C:-}-${D-x}-${E:+y}-$F", {"F": "foo"})
    assert found.text == "--" + "-x--foo"
    assert found.blank == {"A", "B"}
    assert found.names == set("ABCDEF")


@pytest.mark.parametrize(
    "text", ["$", "a$", "$1", "${", "${}", "${V", "${V:-", "${V!x}", "${V/a/b}", "${1V}", "${V:-${F}"]
)
def test_what_is_no_template_stays_as_it_stands_with_a_fault(text: str) -> None:
    found = fill(text, SET)
    assert found.text == text
    assert found.fault


def test_nesting_and_length_are_bounded() -> None:
    assert "deeper" in fill("${A:-" * 40 + "x" + "}" * 40, {}).fault
    assert "characters" in fill("$V" * 100, {"V": "x" * 60_000}).fault


@given(st.text(), st.dictionaries(st.sampled_from("ABV"), st.text(max_size=5)))
@example("${A:-${B:?$$}}", {})
def test_any_text(text: str, values: dict[str, str]) -> None:
    found = fill(text, values)
    assert bool(found.fault) <= (found.text == text)
    assert found.blank | found.required <= found.names
    assert "$" in text or found.text == text


@given(st.text(st.sampled_from("$${}:-?+ABV x")), st.dictionaries(st.sampled_from("ABV"), st.text("xyz", max_size=3)))
def test_text_that_looks_like_a_template(text: str, values: dict[str, str]) -> None:
    fill(text, values)


@given(st.text())
def test_a_text_with_its_dollars_doubled_stands_for_itself(text: str) -> None:
    assert fill(text.replace("$", "$$"), {}).text == text
