"""Which visit was under way when something was reached for."""

from __future__ import annotations

import time

import pytest

from airgap_check.drivers import diary as diaries
from airgap_check.drivers.diary import Diary, Entry


def test_a_moment_belongs_to_the_innermost_visit_under_way() -> None:
    diary = Diary()
    before = time.monotonic_ns()
    with diary.visiting("script seed"):
        outside = time.monotonic_ns()
        with diary.visiting("make a note"):
            inside = time.monotonic_ns()
            assert diary.at(inside) == "make a note"
        again = time.monotonic_ns()
        assert diary.at(again) == "script seed"
    after = time.monotonic_ns()
    moments = (before, outside, inside, again, after)
    assert [diary.at(moment) for moment in moments] == [None, "script seed", "make a note", "script seed", None]


def test_a_visit_is_done_unless_it_is_said_otherwise() -> None:
    diary = Diary()
    with diary.visiting("GET /a"):
        pass
    with diary.visiting("GET /b") as remark:
        remark.say("failed", "no answer within 30 s")
    diary.skip("GET /c", "404: this server has no such thing")
    assert [entry[:3] for entry in diary.visits] == [
        ("GET /a", "done", ""),
        ("GET /b", "failed", "no answer within 30 s"),
        ("GET /c", "skipped", "404: this server has no such thing"),
    ]


def test_a_visit_that_ends_by_an_exception_has_failed_and_is_over() -> None:
    diary = Diary()
    with pytest.raises(ZeroDivisionError), diary.visiting("GET /a"):
        raise ZeroDivisionError
    assert diary.visits[0].outcome == "failed"
    assert diary.at(time.monotonic_ns()) is None


def test_what_a_visit_is_called_can_be_shown_on_a_terminal_and_is_not_long() -> None:
    diary = Diary()
    with diary.visiting("GET /\x1b[31m" + "a" * 1000) as remark:
        remark.detail = "\x07" + "b" * 1000
    entry = diary.visits[0]
    assert entry.label == "GET /" + "a" * 251
    assert entry.detail == "b" * 160


def test_a_diary_does_not_grow_without_end_and_says_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diaries, "MOST_VISITS", 3)
    diary = Diary()
    for number in range(5):
        diary.skip(f"GET /{number}", "")
    assert [entry.label for entry in diary.visits] == ["GET /0", "GET /1", "GET /2"]
    assert diary.lost == 2


def test_the_end_of_a_visit_is_no_part_of_it() -> None:
    diary = Diary()
    diary.visits = [Entry("GET /a", "done", "", 10, 20), Entry("GET /b", "done", "", 20, 30)]
    assert [diary.at(moment) for moment in (9, 10, 19, 20, 29, 30)] == [
        None, "GET /a", "GET /a", "GET /b", "GET /b", None,
    ]  # fmt: skip
