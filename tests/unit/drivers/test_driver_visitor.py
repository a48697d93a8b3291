"""The visitor, against a server on loopback."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.drivers import http
from airgap_check.drivers.http import Answer, Visitor
from tests.unit.drivers.serving import Asked, Said, serving


def test_it_says_who_it_is_and_where_it_comes_from() -> None:
    with serving(lambda _: Said()) as server:
        assert Visitor(server.port).ask("POST", "/a?b=c", {"d": 1}).status == 200
    asked = server.asked[0]
    assert (asked.method, asked.path, json.loads(asked.body)) == ("POST", "/a?b=c", {"d": 1})
    assert asked.headers["host"] == f"localhost:{server.port}"
    assert asked.headers["origin"] == f"http://localhost:{server.port}"
    assert asked.headers["content-type"] == "application/json"


def test_cookies_are_kept_and_forgotten_as_the_server_says() -> None:
    def answer(asked: Asked) -> Said:
        if asked.path == "/enter":
            return Said(headers=(("Set-Cookie", "session=abc%3D; Path=/; HttpOnly"), ("Set-Cookie", "other=1")))
        return Said(headers=(("Set-Cookie", "session=; Max-Age=0"),))

    with serving(answer) as server:
        visitor = Visitor(server.port)
        for path in ("/enter", "/leave", "/"):
            visitor.ask("GET", path)
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, "session=abc%3D; other=1", "other=1"]


def test_headers_of_the_caller_replace_its_own_but_the_length_is_counted() -> None:
    headers = [("User-Agent", "mine"), ("Content-Length", "999"), ("X-Thing", "1")]
    with serving(lambda _: Said()) as server:
        Visitor(server.port).ask("POST", "/", "text", headers=headers)
    asked = server.asked[0]
    assert asked.headers["user-agent"] == "mine"
    assert asked.headers["x-thing"] == "1"
    assert asked.body == b"text"
    assert "content-type" not in asked.headers


def test_of_a_body_that_is_too_long_the_beginning_is_kept_and_it_is_no_json() -> None:
    with serving(lambda _: Said(body=b"1" * 100)) as server:
        whole = Visitor(server.port).ask("GET", "/", most_bytes=100)
        cut = Visitor(server.port).ask("GET", "/", most_bytes=99)
    assert (whole.whole, whole.json()) == (True, int("1" * 100))
    assert (cut.whole, cut.body, cut.json()) == (False, b"1" * 99, None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"hello\r\n\r\n", "the answer is no HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, "the answer is no HTTP (HTTPException)"),
        (b"", "it hung up without an answer"),
    ],
)
def test_what_is_no_answer_is_said_and_not_raised(said: bytes, reason: str) -> None:
    with serving(lambda _: said) as server:
        assert Visitor(server.port).ask("GET", "/") == Answer(0, reason=reason)


def test_a_chunk_that_breaks_off_is_an_answer_all_the_same() -> None:
    with serving(lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc") as server:
        answer = Visitor(server.port).ask("GET", "/")
    assert (answer.status, answer.whole) == (200, False)


def test_a_body_that_breaks_off_is_not_whole() -> None:
    with serving(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123") as server:
        answer = Visitor(server.port).ask("GET", "/")
    assert (answer.status, answer.body, answer.whole, answer.json()) == (200, b"123", False, None)


@pytest.mark.parametrize(
    ("begin", "status", "reason"),
    [(b"", 0, "no answer within 2 s"), (b"HTTP/1.1 200 OK\r\n", 200, ""), (b"HTTP/1.1 200 OK\r\n\r\n", 200, "")],
)
def test_one_who_says_a_little_again_and_again_is_given_up_in_time(begin: bytes, status: int, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        answering = pool.submit(Visitor(server.getsockname()[1], seconds=2).ask, "GET", "/")
        end, _ = server.accept()
        with suppress(OSError), end:
            end.sendall(begin)
            while True:
                end.sendall(b"a")
                time.sleep(0.01)
        answer = answering.result()
    assert (answer.status, answer.reason, answer.whole) == (status, reason, not status)


def test_a_server_that_is_silent_or_not_there_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert Visitor(port, seconds=0.05).ask("GET", "/") == Answer(0, reason="no answer within 0.05 s")
    assert Visitor(1).ask("GET", "/").reason == "Connection refused"


@pytest.mark.parametrize("target", ["/a b", "/a\r\nHost: b", "/é"])
def test_a_target_that_no_request_can_hold_is_not_sent(target: str) -> None:
    with serving(lambda _: Said()) as server:
        assert Visitor(server.port).ask("GET", target).status == 0
    assert not server.asked


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error": {"code": "NOT_HERE"}}', "403 NOT_HERE"),
        (b'{"code": "INVALID_ORIGIN", "message": "..."}', "403 INVALID_ORIGIN"),
        (b'{"code": "two words"}', "403"),
        (b'{"code": ["A"]}', "403"),
        (b"[1]", "403"),
        (b"no json", "403"),
        (b"[" * 100_000, "403"),
    ],
)
def test_a_refusal_is_told_with_its_code(body: bytes, detail: str) -> None:
    assert Answer(403, body=body).detail == detail


@given(st.binary(max_size=300))
def test_no_body_upsets_it(body: bytes) -> None:
    answer = Answer(500, body=body)
    assert answer.detail.startswith("500")
    assert isinstance(answer.text, str)


@given(st.lists(st.text(max_size=60), max_size=5))
def test_no_cookie_upsets_it_nor_breaks_the_next_request(lines: list[str]) -> None:
    visitor = Visitor(1)
    visitor._keep(lines)
    _, fields = visitor._request(None, ())
    assert "\n" not in dict(fields).get("cookie", "")
    assert len(visitor.cookies) <= http._MOST_COOKIES
