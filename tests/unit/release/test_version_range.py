"""Ranges mean what node-semver says they mean; the table follows its README."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.release.version_range import holds


@pytest.mark.parametrize(
    ("range_", "inside", "outside"),
    [
        ("^17", ["17.0.0", "17.4.0", "17.99.1"], ["16.9.9", "18.0.0", "17.4.0-beta.1", "18.0.0-0"]),
        ("17", ["17.0.0", "17.4.2"], ["18.0.0"]),
        ("17.4.0", ["17.4.0", "v17.4.0", "17.4.0+build.5"], ["17.4.1", "17.4.0-rc.1"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1.2", ["1.2.0"], ["1.3.0"]),
        ("~1", ["1.9.0"], ["2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.9"], ["0.1.0"]),
        ("^0.x", ["0.9.0"], ["1.0.0"]),
        ("^1.2.3-beta.2", ["1.2.3-beta.10", "1.2.3", "1.9.0"], ["1.2.3-beta.1", "1.2.4-beta.2", "2.0.0"]),
        (">=1.2.7 <1.3.0", ["1.2.7", "1.2.99"], ["1.2.6", "1.3.0"]),
        (">= 1.2", ["1.2.0", "9.0.0"], ["1.1.9"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("<1.2", ["1.1.9"], ["1.2.0"]),
        ("1.2.3 - 2.3", ["1.2.3", "2.3.9"], ["2.4.0", "1.2.2"]),
        ("1.x || >=2.5.0 || 5.0.0 - 7.2.3", ["1.0.0", "2.5.0", "6.0.0"], ["2.4.9", "0.9.0"]),
        ("*", ["0.0.0", "99.0.0"], ["1.0.0-a"]),
        ("", ["1.0.0"], []),
        ("<*", [], ["0.0.0", "1.0.0"]),
    ],
)
def test_what_lies_inside_and_what_outside(range_: str, inside: list[str], outside: list[str]) -> None:
    assert [holds(range_, version) for version in (*inside, *outside)] == [True] * len(inside) + [False] * len(outside)


@pytest.mark.parametrize(
    ("range_", "version"),
    [("^17", "seventeen"), ("workspace:*", "1.0.0"), ("^", "1.0.0"), ("1 - 2 - 3", "1.0.0"), ("^17", "17.4"),
     (">1 - 2", "1.5.0"), ("1" * 300, "1.0.0"), ("latest", "1.0.0"), ("^1 || nonsense", "1.0.0")],
)  # fmt: skip
def test_what_cannot_be_read_is_neither(range_: str, version: str) -> None:
    assert holds(range_, version) is None


_numbers = st.tuples(*[st.integers(0, 40)] * 3)


@given(_numbers, _numbers)
def test_a_caret_keeps_the_leftmost_number_that_is_not_zero(
    low: tuple[int, int, int], high: tuple[int, int, int]
) -> None:
    leading = next((index for index, number in enumerate(low) if number), 2)
    expected = high >= low and high[: leading + 1] == low[: leading + 1]
    assert holds("^{}.{}.{}".format(*low), "{}.{}.{}".format(*high)) is expected


@given(_numbers, _numbers)
def test_less_and_at_least_are_opposites(bound: tuple[int, int, int], version: tuple[int, int, int]) -> None:
    at, text = "{}.{}.{}".format(*bound), "{}.{}.{}".format(*version)
    assert holds(f"<{at}", text) is not holds(f">={at}", text)


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_breaks_it(range_: str, version: str) -> None:
    assert holds(range_, version) in {True, False, None}
    assert holds(range_, "1.2.3") in {True, False, None}
