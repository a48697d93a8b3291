"""Files of requests: what they say, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.drivers import requests_file
from airgap_check.drivers.requests_file import Request, load, parse
from airgap_check.errors import InvalidFileError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = b"""# what our users do
// every morning
GET /

### sign in
POST http://localhost:9090/api/login?next=1 HTTP/1.1
Content-Type: application/json
# a remark
X-Thing:  a: b

{"name": "x",

 "word": 1}

###
# @wait 2.5s
/bare?q=1#part

### nothing here
"""


def test_a_file_is_read_as_its_requests() -> None:
    assert parse("f.http", WHOLE) == [
        Request("GET", "/", line=3),
        Request(
            "POST", "/api/login?next=1", (("Content-Type", "application/json"), ("X-Thing", "a: b")),
            b'{"name": "x",\n\n "word": 1}', 9090, line=6,
        ),
        Request("GET", "/bare?q=1", linger=2.5, line=17),
    ]  # fmt: skip


def test_it_is_called_by_its_path_without_the_query() -> None:
    assert [request.label for request in parse("f", WHOLE)] == ["GET /", "POST /api/login", "GET /bare"]


def test_lines_may_end_as_on_windows_and_the_file_begin_with_a_mark() -> None:
    assert parse("f", b"\xef\xbb\xbfGET /a\r\nX: y\r\n\r\nbody\r\n") == [
        Request("GET", "/a", (("X", "y"),), b"body", line=1)
    ]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"", ["f:1: there is no request in it"]),
        (b"# only this\n###\n", ["f:1: there is no request in it"]),
        (b"FETCH /", ["f:1: unknown method 'FETCH' (known: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT)"]),
        (b"GET", ["f:1: a request is METHOD and a path (blanks in it are %20)"]),
        (b"GET /a b c", ["f:1: a request is METHOD and a path (blanks in it are %20)"]),
        (b"GET https://localhost/", ["f:1: the target is a path, or an http URL of 127.0.0.1, [::1] or localhost"]),
        (b"GET http://db.example/", ["f:1: the target is a path, or an http URL of 127.0.0.1, [::1] or localhost"]),
        (b"GET http://a:b@localhost/", ["f:1: the target is a path, or an http URL of 127.0.0.1, [::1] or localhost"]),
        (b"GET http://localhost:99999/", ["f:1: that is no URL"]),
        ("GET /é".encode(), ["f:1: what is not ASCII is percent-encoded in a path"]),
        (b"GET /\nno header\n", ["f:2: a header is NAME: VALUE; before a body there is an empty line"]),
        (b"GET /\nA: \x01\n", ["f:2: the value of A holds what no header may hold"]),
        (b"# @wait long\nGET /", ["f:1: @wait wants seconds, as in 2s, not 'long'"]),
        (b"\n\xff", ["f:2: this is no UTF-8"]),
        (b"GET\n###\nPUT x\n", [
            "f:1: a request is METHOD and a path (blanks in it are %20)",
            "f:3: the target is a path, or an http URL of 127.0.0.1, [::1] or localhost",
        ]),
    ],
)  # fmt: skip
def test_every_fault_is_told_with_its_line(content: bytes, faults: list[str]) -> None:
    with pytest.raises(InvalidFileError) as refusal:
        parse("f", content)
    assert refusal.value.faults == faults


def test_there_is_an_end_to_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_file, "MOST_REQUESTS", 2)
    with pytest.raises(InvalidFileError, match="f:5: more than 2 requests"):
        parse("f", b"GET /\n###\nGET /\n###\nGET /")


def test_a_file_that_is_not_there_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(str(tmp_path / "none.http"))


LINES = st.sampled_from(
    ["GET /", "POST http://localhost:1/x", "###", "", "A: b", "# @wait 1s", "{}", "# x", "é", "\r", "PUT"]
)


def outcome(content: bytes) -> tuple[list[Request], list[str]]:
    try:
        return parse("f", content), []
    except InvalidFileError as refusal:
        return [], refusal.faults


@given(st.lists(LINES | st.text(max_size=30), max_size=15).map("\n".join))
def test_any_text_is_requests_that_can_be_sent_or_faults_with_lines(text: str) -> None:
    found, faults = outcome(text.encode("utf-8", "replace"))
    assert bool(found) != bool(faults)
    assert all(fault.startswith("f:") and fault.isprintable() for fault in faults)
    for request in found:
        assert request.target.startswith("/")
        assert request.target.isascii()
        assert request.target.isprintable()
        assert all(value.isprintable() and name.isascii() for name, value in request.headers)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    found, faults = outcome(content)
    assert bool(found) != bool(faults)
