"""Many at a time, long ones, slow readers, and the way through: what the world keeps of them when it ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from airgap_check.world import doors, far, ferry, host, opening, teller
from airgap_check.world.meeting import Orders
from tests.unit.world.beyond import Beyond, loopback, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_what_is_open_at_the_end_is_told(beyond: Beyond) -> None:
    with beyond.dial() as silent, beyond.dial() as busy:
        busy.sendall(b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert busy.recv(4096)
        told = {met.source: met for met in beyond.met()}
        assert told[silent.getsockname()[1]].spoken == "nothing"
        met = told[busy.getsockname()[1]]
    assert (met.spoken, met.name, met.ended) == ("http", "a.example", "open when the rehearsal ended")


@pytest.mark.parametrize("said", [b"HEL", b"\x04\x01ab", b"GET /a?k=hunter2 HTTP/1.1\r\nHost: a.exam"])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "open at the end"])
def test_who_said_too_little_is_not_told_to_have_said_nothing(beyond: Beyond, said: bytes, *, reset: bool) -> None:
    with beyond.dial() as end:
        end.sendall(said)
        time.sleep(0.1)
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        met = beyond.only()
    assert met.spoken != "nothing"
    assert met.opening == ("GET /a?k=…" if b"GET" in said else opening.show(said))
    assert met.ended == ("reset by the client" if reset else "open when the rehearsal ended")


def test_what_was_said_a_moment_before_the_end_is_heard_to_its_end(beyond: Beyond) -> None:
    ends = [beyond.dial() for _ in range(500)]
    for number, end in enumerate(ends):
        end.sendall(b"hello %d\n" % number)
    for end in ends:
        end.close()
    met = beyond.met()  # stops at once
    assert {each.opening for each in met} == {f"hello {number}" for number in range(500)}
    assert {each.ended for each in met} == {"closed by the client"}


def test_the_end_waits_until_it_is_quiet_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([1, 2, 2, 2, 3, 4, 4, 4, 4])
    assert asyncio.run(far._settle(lambda: next(looks)))
    assert list(looks) == []
    monkeypatch.setattr(far, "_HASTE", 0.1)
    assert not asyncio.run(far._settle(object))  # something else each time


def test_two_thousand_at_a_time_are_told_every_one(beyond: Beyond) -> None:
    with ExitStack() as held:
        for number in range(2000):
            if number % 4 == 0:
                held.enter_context(beyond.dial()).sendall(b"hello %d\n" % number)
            with beyond.dial() as end:
                end.sendall(b"bye %d\n" % number)
        openings = {met.opening for met in beyond.met()}
    assert openings >= {f"bye {number}" for number in range(2000)}
    assert openings >= {f"hello {number}" for number in range(0, 2000, 4)}
    assert not beyond.troubles()


def test_those_beyond_the_limit_wait_their_turn_or_are_told_by_their_first_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doors, "MOST_OPEN", 1)
    with Beyond() as beyond, beyond.dial() as first, beyond.dial() as second, beyond.dial() as third:
        for end, path in ((first, b"/1"), (second, b"/2"), (third, b"/3")):
            end.sendall(b"GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n" % path)
        assert first.recv(4096)
        first.close()
        assert second.recv(4096)  # its turn has come
        met = sorted(beyond.met(), key=lambda met: met.at)
    assert [each.ended for each in met] == [
        "closed by the client", "open when the rehearsal ended", "not answered: too many connections were open",
    ]  # fmt: skip
    assert [each.spoken for each in met] == ["http"] * 3


def test_tls_beyond_the_limit_waits_its_turn_and_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "MOST_SECURE", 1)
    hello, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting().wrap_bio(answer, hello, server_hostname="b.example").do_handshake()
    with Beyond() as beyond:
        with beyond.dial_secure("a.example"), beyond.dial() as second:
            second.sendall(hello.read())
            met = beyond.met()
        assert [(each.name, each.encrypted) for each in met] == [("a.example", True), ("b.example", False)]
        assert len(beyond.troubles()) == 1


def test_messages_wait_for_a_slow_reader_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "_ROOM", 100_000)
    with Beyond(patient=True) as beyond:
        for _ in range(2000):
            with beyond.dial() as end:
                end.sendall(b"hello\n")
        heard(beyond)
        beyond.listen()
        met = beyond.met()
        (trouble,) = beyond.troubles()
    assert 0 < len(met) < 2001
    assert trouble == f"{2001 - len(met)} messages were lost, as nobody read them in time"


def heard(beyond: Beyond) -> None:
    """Wait until those who came before are dealt with: the last one in is the last one answered."""
    with beyond.dial() as end:
        end.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while end.recv(4096):
            pass


@pytest.fixture
def service() -> Iterator[tuple[str, int]]:
    """A real service of this machine: it greets, and says everything back in capitals."""

    def serve() -> None:
        while True:
            try:
                end, _ = door.accept()
            except OSError:
                return
            with end:
                end.sendall(b"welcome\n")
                while data := end.recv(4096):
                    end.sendall(data.upper())

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve)
        thread.start()
        yield door.getsockname()
        door.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture
def ferryman(service: tuple[str, int]) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=lambda: ferry.serve(theirs, {f"127.0.0.1:{service[1]}", "127.0.0.1:1"}))
    thread.start()
    with ours:
        yield ours
    thread.join(10)
    theirs.close()


def through(place: str) -> Orders:
    """Order that this loopback, at whatever port, leads to a place."""
    return Orders(through={loopback(): place})


def test_what_leads_through_is_joined_with_the_real_service(service: tuple[str, int], ferryman: socket.socket) -> None:
    with Beyond(through(f"127.0.0.1:{service[1]}"), ferry=ferryman) as beyond:
        with beyond.dial() as end, end.makefile("rb") as file:
            assert file.readline() == b"welcome\n"
            end.sendall(b"hello\n")
            assert file.readline() == b"HELLO\n"
            end.shutdown(socket.SHUT_WR)
            assert file.read() == b""
        met = beyond.only()
    assert (met.opening, met.sent, met.received) == ("hello", 6, 14)
    assert met.ended == "passed through, closed by the client"


def test_tls_that_leads_through_stays_theirs_and_is_known_by_its_name(
    service: tuple[str, int], ferryman: socket.socket
) -> None:
    with Beyond(through(f"127.0.0.1:{service[1]}"), ferry=ferryman) as beyond:
        context = ssl.create_default_context()
        with beyond.dial() as end, pytest.raises(ssl.SSLError):
            context.wrap_socket(end, server_hostname="db.bank.example")  # "welcome" is no TLS
        met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("tls", False, "db.bank.example")


@pytest.mark.parametrize(
    ("place", "why"), [("127.0.0.1:1", "Connection refused"), ("127.0.0.1:2", "nobody allowed that")]
)
def test_what_cannot_be_reached_is_said(ferryman: socket.socket, place: str, why: str) -> None:
    with Beyond(through(place), ferry=ferryman) as beyond:
        with beyond.dial() as end:
            assert end.recv(100) == b""
        assert beyond.only().ended == f"not passed through: {why}"
