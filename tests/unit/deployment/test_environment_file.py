"""Files of variables are read as compose reads them; Docker's own examples stand here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.deployment.environment_file import parse


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("V=VAL", "VAL"), ('V="VAL"', "VAL"), ("V='VAL'", "VAL"), ("V=VAL # comment", "VAL"),
        ("V=VAL# not a comment", "VAL# not a comment"), ('V="VAL # not a comment"', "VAL # not a comment"),
        ('V="VAL" # comment', "VAL"), ("V='$OTHER'", "$OTHER"), ("V='${OTHER}'", "${OTHER}"), ("V=$OTHER", "o"),
        ('V="${OTHER}x"', "ox"), ("V='Let\\'s go!'", "Let's go!"), ('V="{\\"a\\": 1}"', '{"a": 1}'),
        ('V="some\\tvalue"', "some\tvalue"), ("V='some\\tvalue'", "some\\tvalue"), ("V=some\\tvalue", "some\\tvalue"),
        ("V=", ""), ("V=   ", ""), ("V= spaced ", "spaced"), ("export V=1", "1"), ("V: yaml", "yaml"), ("V=# none", ""),
        ('V="\\$OTHER"', "$OTHER"), ("V=${NONE:-d}", "d"), ('V="two\nlines"', "two\nlines"), ("V=a=b", "a=b"),
    ],
)  # fmt: skip
def test_the_syntax_of_docker(line: str, value: str) -> None:
    assert [(one.name, one.text) for one in parse(line, {"OTHER": "o"})] == [("V", value)]


def test_a_name_alone_is_taken_from_whoever_starts_compose() -> None:
    assert [(one.name, one.text, one.line) for one in parse("A\nB=2\n", {})] == [("A", None, 1), ("B", "2", 2)]


def test_a_later_line_may_use_an_earlier_one_and_lines_are_counted() -> None:
    found = parse("# about\nA=1\n\nB='x\ny'\nC=${A}${B}\n", {})
    assert [(one.name, one.text, one.line) for one in found] == [("A", "1", 2), ("B", "x\ny", 4), ("C", "1x\ny", 6)]


def test_a_raw_file_keeps_its_quotes() -> None:
    assert [one.text for one in parse('OS_CLOUD_URL="off"\nB=$A', {"A": "1"}, raw=True)] == ['"off"', "$A"]


@given(st.text())
def test_any_text(text: str) -> None:
    for one in parse(text, {}):
        assert one.line >= 1
        assert one.name


@given(st.dictionaries(st.text("ABC", min_size=1), st.text("ab $'\"\\#\n", max_size=8)))
def test_what_is_written_in_single_quotes_comes_back(values: dict[str, str]) -> None:
    written = "".join(f"{name}='{text}'\n" for name, text in values.items() if "'" not in text and "\\" not in text)
    expected = {name: text for name, text in values.items() if "'" not in text and "\\" not in text}
    assert {one.name: one.text for one in parse(written, {})} == expected
