from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.redact import REDACTED
from airgap_check.world import opening, request_line

BEGINNINGS = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "socks4": b"\x04\x01\x01\xbb\x00\x00\x00\x01user\x00a.example\x00",
    "socks5": b"\x05\x02\x00\x02",
    "smtp": b"ehlo me.example\r\n",
    "postgresql": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "mongodb": b"\x35\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00" + bytes(37),
    "ldap": b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "dns": b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01" + b"",
    "unknown": b"hello there\n",
}


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_what_is_spoken_is_told_by_the_first_bytes(kind: str) -> None:
    data = BEGINNINGS[kind]
    if kind == "dns":
        data = (len(data) - 2).to_bytes(2, "big") + data[2:]
    assert opening.recognise(data) == kind


@pytest.mark.parametrize("kind", [kind for kind in BEGINNINGS if kind not in {"unknown", "dns", "mongodb"}])
def test_a_byte_alone_is_never_called_something_else(kind: str) -> None:
    assert opening.recognise(BEGINNINGS[kind][:1]) in {"more", kind}


@given(st.binary(max_size=600))
def test_any_bytes_are_recognised_and_shown(data: bytes) -> None:
    kind = opening.recognise(data)
    assert (kind == "more") >= (not data)
    for shown in (opening.show(data), opening.begin(kind, data)):
        assert shown.isprintable()
        assert shown.isascii() or "…" in shown


@pytest.mark.parametrize(
    "said",
    [
        b"PASS hunter2\r\n", b"AUTH hunter2\r\n", b"login bob password=hunter2\n", b"AUTH PLAIN hunter2\r\n",
        b"CONNECT https://bob:hunter2@proxy.example/\n",
        b"\x10\x2a\x00\x04MQTT\x04\xc2\x00<\x00\x03cid\x00\x03bob\x00\x07hunter2",
        b"a1 LOGIN bob hunter2\r\n", b"a1 AUTHENTICATE PLAIN hunter2\r\n", b"IDENTIFY bob hunter2\r\n",
        b"\x01hunter2", b'\x00\x00\x00\x11{"t":"hunter2"}',
    ],
)  # fmt: skip
def test_a_secret_is_not_among_the_bytes_that_are_shown(said: bytes) -> None:
    shown = opening.show(said)
    assert "hunter2" not in shown
    assert shown


def test_capitals_that_name_a_binary_protocol_are_shown() -> None:
    assert opening.show(b"AMQP\x00\x00\x09\x01") == "AMQP\\x00\\x00\\x09\\x01"


def test_text_is_shown_by_its_first_line_and_other_bytes_escaped() -> None:
    assert opening.show(b"hello  there\r\nmore") == "hello there"
    assert opening.show(b"x" * 60) == "x" * 48 + "…"
    assert opening.show(b"\x00\x01\\ab\xff") == "\\x00\\x01\\x5cab\\xff"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/a/b?token=abc&y=1#frag", "GET /a/b?token=…&y=…"),
        (b"/", "GET /"),
        (b"/a?justavalue", "GET /a?…"),
        (b"http://bob:hunter2@a.example:8080/x?k=v", "GET /x?k=…"),
        (b"http://a.example?k=v", "GET /?k=…"),
        (b"*", "GET *"),
    ],
)
def test_values_of_a_query_are_left_out(target: bytes, shown: str) -> None:
    assert request_line.line("GET", request_line.target(target, b"a.example")) == shown


def test_an_absolute_target_says_itself_whom_it_is_for() -> None:
    where = request_line.target(b"http://bob:hunter2@A.example:8080/x", b"proxy.example")
    assert where == request_line.Target("a.example:8080", "/x", proxied=True)
    assert where.host == "a.example"


@pytest.mark.parametrize(
    "path",
    [
        b"/services/T00000000/B00000000/abcdefgHIJKLMNOP12345678",
        b"/v1/ghp_abcdefghijklmnopqrstuvwxyz0123456789/x",
        b"/x/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk",
    ],
)
def test_segments_that_are_tokens_are_hidden(path: bytes) -> None:
    shown = request_line.line("POST", request_line.target(path, b"hooks.slack.com"))
    assert REDACTED in shown
    assert path.rpartition(b"/")[2].decode()[:12] not in shown or shown.endswith("/x")
    assert "ghp_" not in shown


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_target_is_shown_without_its_query_values(target: bytes, host: bytes) -> None:
    shown = request_line.line("GET", request_line.target(target + b"?name=sesame", host))
    assert shown.isprintable()
    assert "sesame" not in shown
