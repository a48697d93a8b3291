"""Whatever the other side does, a conversation ends in time and gives an account."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check.probes.account import ConversationError, Protocol, quoted
from airgap_check.probes.conversation import Target, Told, converse
from airgap_check.probes.line import BUDGET, Line
from tests.unit.probes.other_side import PATIENCE, Script, talk, until_end

PROTOCOLS = [protocol for protocol in get_args(Protocol) if protocol != "tcp"]
SHORT = 0.2  # seconds


def target(protocol: str, tls: str = "none") -> Target:
    return Target(protocol, "db.bank.example", 9999, tls)  # type: ignore[arg-type]


def assert_sound(told: Told) -> None:
    assert told.detail.isprintable()
    assert told.stage in {"tls", "protocol", "done"}
    assert (told.outcome == "reached") == (told.stage == "done")
    assert all(named.text.isprintable() and named.pointer.isprintable() for named in told.named)
    assert all(check.detail.isprintable() for check in told.checks)


@pytest.mark.parametrize("tls", ["none", "required"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_silence_is_a_timeout(protocol: str, tls: str) -> None:
    if (protocol, tls) == ("tls", "none"):
        return  # asked for nothing, it says nothing
    told = talk(until_end, target(protocol, tls), SHORT)
    assert told.outcome == "timeout"
    assert_sound(told)


@pytest.mark.parametrize("tls", ["none", "required"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whoever_hangs_up_at_once_was_not_reached(protocol: str, tls: str) -> None:
    if (protocol, tls) == ("tls", "none"):
        return
    told = talk(lambda _: None, target(protocol, tls))
    assert told.outcome == "failed"
    assert_sound(told)


@pytest.mark.parametrize(
    "word", [b"\0", b"A", b"220-x\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\na: b\r\n"]
)
@pytest.mark.parametrize("protocol", [protocol for protocol in PROTOCOLS if protocol != "tls"])
def test_speech_without_end_is_ended(protocol: str, word: bytes) -> None:
    def forever(end: socket.socket) -> None:
        with suppress(OSError):
            while True:
                end.sendall(word * (65536 // len(word)))

    told = talk(forever, target(protocol))
    assert told.outcome == "failed", told
    assert_sound(told)


@pytest.mark.parametrize("protocol", ["smtp", "redis", "http"])
def test_one_byte_at_a_time_does_not_stretch_the_deadline(protocol: str) -> None:
    def drip(end: socket.socket) -> None:
        with suppress(OSError):
            while True:
                end.sendall(b"2")
                time.sleep(0.01)

    told = talk(drip, target(protocol), SHORT)
    assert told.outcome == "timeout"


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    script = Script()
    assert talk(script, target("redis"), -1).outcome == "timeout"
    assert script.heard == b""


def test_an_open_port_is_all_that_tcp_asks_for() -> None:
    script = Script()
    told = talk(script, target("tcp"))
    assert (told.outcome, told.detail, script.heard) == ("reached", "port 9999 is open", b"")


def test_no_more_is_taken_than_the_budget() -> None:
    ours, theirs = socket.socketpair()

    def pour() -> None:
        with theirs, suppress(OSError):
            while True:
                theirs.sendall(b"x" * 65536)

    thread = threading.Thread(target=pour)
    thread.start()
    line = Line(ours, time.monotonic() + PATIENCE)
    with ours:
        pieces = iter(line.receive_raw, b"")
        taken = sum(len(next(pieces)) for _ in range(8))
        with pytest.raises(ConversationError, match="it said more than"):
            deque(pieces, maxlen=0)
    thread.join()
    assert 0 < taken <= BUDGET


def test_the_socket_stays_the_callers() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"+PONG\r\n")
        assert converse(ours, target("redis"), time.monotonic() + 5).outcome == "reached"
        theirs.sendall(b"still here")
        assert ours.recv(64) == b"still here"


@settings(max_examples=60, deadline=None)
@given(
    protocol=st.sampled_from(PROTOCOLS),
    tls=st.sampled_from(["none", "opportunistic", "required"]),
    answers=st.lists(st.binary(max_size=200), max_size=4),
)
def test_garbage_gives_an_account(protocol: str, tls: str, answers: list[bytes]) -> None:
    def babble(end: socket.socket) -> None:
        for answer in answers:
            end.sendall(answer)
        end.shutdown(socket.SHUT_WR)
        until_end(end)

    assert_sound(talk(babble, target(protocol, tls)))


BEGINNINGS = {
    "postgresql": [b"N", b"R\0\0\0\x08\0\0\0\x0a", b"E\0\0\0\x09Mx\0\0"],
    "mysql": [
        b"\x20\0\0\0\x0a5.7\0" + b"\0" * 27,
        b"\x01\0\0\x02\0",
        b"\x01\0\0\x02\xfe",
        b"\x07\0\0\x02\xff\x15\x04#abc",
    ],
    "mongodb": [b"\x30\0\0\0\x01\0\0\0\x01\0\0\0\xdd\x07\0\0\0\0\0\0\0", b"\x05\0\0\0\0"],
    "redis": [b"+PONG\r\n", b"-NOAUTH\r\n", b"\r\n"],
    "smtp": [b"220 a\r\n", b"250-b\r\n250 STARTTLS\r\n", b"250 c\r\n", b"221 d\r\n"],
    "oidc": [
        b"HTTP/1.1 200 OK\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"2\r\n{}\r\n0\r\n\r\n",
        b'{"issuer":"https://x"}',
    ],
    "saml": [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 9\r\n", b"\r\n", b"<a><b/></a>", b"<!DOCTYPE"],
    "runtime": [b"HTTP/1.1 404 Not Found\r\n", b"Content-Length: 2\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n"],
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_pieces_of_protocols_in_any_order_give_an_account(data: st.DataObject) -> None:
    protocol = data.draw(st.sampled_from(sorted(BEGINNINGS)))
    piece = st.one_of(st.sampled_from(BEGINNINGS[protocol]), st.binary(max_size=12))
    speech = b"".join(data.draw(st.lists(piece, max_size=8)))

    def say(end: socket.socket) -> None:
        end.sendall(speech)
        end.shutdown(socket.SHUT_WR)
        until_end(end)

    assert_sound(talk(say, target(protocol)))


@given(st.text(), st.integers(0, 400))
def test_foreign_text_is_shown_printable_and_short(text: str, times: int) -> None:
    shown = quoted(text * times)
    assert shown.isprintable()
    assert len(shown) <= 200
