"""Questions asked of a scripted name server on the loopback address of this machine."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import closing, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rrset
import pytest
from dns import rcode

from airgap_check.names import query
from airgap_check.names.query import Reply, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dns.message import Message

    Script = Callable[[Message, str], Message | None]

LOCAL = ip_address("127.0.0.1")
NAME = "db.bank.example"


class Scripted:
    """A name server that answers over UDP and TCP what a function says, and remembers what it was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[tuple[str, str, str]] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=target) for target in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _answer(self, wire: bytes, protocol: str) -> bytes | None:
        question = dns.message.from_wire(wire)
        name, kind = question.question[0].name.to_text(omit_final_dot=True), question.question[0].rdtype.name
        self.asked.append((name, kind, protocol))
        answer = self._script(question, protocol)
        return answer.to_wire(max_size=65535) if answer else None

    def _serve_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(65535)
            if not wire:
                return
            if answer := self._answer(wire, "udp"):
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with closing(connection):
                size = connection.recv(2)
                if not size:
                    return
                answer = self._answer(connection.recv(*struct.unpack("!H", size)), "tcp") or b""
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def close(self) -> None:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()


@contextmanager
def serving(script: Script) -> Iterator[Scripted]:
    with closing(Scripted(script)) as server:
        yield server


def answering(*records: str, code: rcode.Rcode = rcode.NOERROR) -> Script:
    """Answer with the records of the type that is asked for, and all aliases."""

    def script(question: Message, _: str) -> Message:
        answer = dns.message.make_response(question)
        answer.set_rcode(code)
        for record in records:
            name, kind, value = record.split()
            if kind in {"CNAME", question.question[0].rdtype.name}:
                answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, value))
        return answer

    return script


def silent(_question: Message, _protocol: str) -> None:
    return None


def ask(*servers: Scripted | int, name: str = NAME) -> Reply:
    ports = [server if isinstance(server, int) else server.port for server in servers]
    return query.ask({name: (name,)}, [Server(LOCAL, port) for port in ports])[name]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as a busy machine needs: whoever answers is never waited for in vain."""
    monkeypatch.setattr(query, "PATIENCE", 30.0)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "PATIENCE", 0.4)


def test_addresses_of_both_families_are_one_answer() -> None:
    with serving(answering(f"{NAME} A 10.0.0.1", f"{NAME} A 10.0.0.2", f"{NAME} AAAA fd00::1")) as server:
        reply = ask(server)
    assert reply.status == "ok"
    assert [str(address) for address in reply.addresses] == ["10.0.0.1", "10.0.0.2", "fd00::1"]
    assert (reply.ttl, reply.server, reply.chain) == (60, "127.0.0.1", ())
    assert server.asked == [(NAME, "A", "udp"), (NAME, "AAAA", "udp")]


def test_a_chain_is_followed_in_order_whatever_the_order_of_the_records() -> None:
    records = [
        "c.example A 8.8.8.8",
        "b.example CNAME c.example.",
        "stray.example A 1.1.1.1",
        f"{NAME} CNAME B.example.",
    ]
    with serving(answering(*records)) as server:
        reply = ask(server)
    assert (reply.status, reply.chain) == ("ok", ("b.example", "c.example"))
    assert [str(address) for address in reply.addresses] == ["8.8.8.8"]


def test_a_chain_without_an_address_at_its_end_is_dangling_and_its_target_is_not_asked_for() -> None:
    for code in (rcode.NOERROR, rcode.NXDOMAIN):
        with serving(answering(f"{NAME} CNAME gone.example.", code=code)) as server:
            reply = ask(server)
        assert (reply.status, reply.chain, reply.addresses) == ("dangling", ("gone.example",), ())
        assert {name for name, _, _ in server.asked} == {NAME}


def test_a_chain_that_bites_its_tail_or_never_ends_is_dangling() -> None:
    with serving(answering(f"{NAME} CNAME b.example.", f"b.example CNAME {NAME}.")) as server:
        assert ask(server) == Reply("dangling", ("b.example",), (), None, "127.0.0.1")
    links = [f"{NAME} CNAME n0.example.", *(f"n{n}.example CNAME n{n + 1}.example." for n in range(40))]
    with serving(answering(*links, "n40.example A 10.0.0.1")) as server:
        reply = ask(server)
    assert (reply.status, len(reply.chain)) == ("dangling", 16)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (rcode.NOERROR, "nodata"),
        (rcode.NXDOMAIN, "nxdomain"),
        (rcode.SERVFAIL, "servfail"),
        (rcode.REFUSED, "refused"),
        (rcode.NOTAUTH, "error"),
    ],
)
def test_a_code_without_records_is_named(code: rcode.Rcode, status: str) -> None:
    with serving(answering(code=code)) as server:
        assert ask(server).status == status


def test_a_server_that_fails_or_is_silent_leaves_the_question_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for first, patience in (
        (silent, 4.0),  # of which half is for the next
        (answering(code=rcode.SERVFAIL), 30.0),
        (answering(code=rcode.REFUSED), 30.0),
    ):
        monkeypatch.setattr(query, "PATIENCE", patience)
        with serving(first) as bad, serving(answering(f"{NAME} A 10.0.0.1")) as good:
            reply = ask(bad, good)
        assert (reply.status, bad.asked[0]) == ("ok", (NAME, "A", "udp"))


def test_an_authoritative_no_is_not_asked_again_elsewhere() -> None:
    with serving(answering(code=rcode.NXDOMAIN)) as first, serving(answering(f"{NAME} A 10.0.0.1")) as second:
        assert ask(first, second).status == "nxdomain"
        assert second.asked == []


def test_silence_is_a_timeout_after_a_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "PATIENCE", 2.0)
    with serving(silent) as server:
        assert ask(server).status == "timeout"
    assert server.asked[:2] == [(NAME, "A", "udp"), (NAME, "A", "udp")]


def test_half_an_answer_keeps_its_addresses_but_is_a_failure() -> None:
    def lame(question: Message, protocol: str) -> Message | None:
        fitting = (
            answering(f"{NAME} A 10.0.0.1")
            if question.question[0].rdtype.name == "A"
            else answering(code=rcode.SERVFAIL)
        )
        return fitting(question, protocol)

    with serving(lame) as server:
        reply = ask(server)
    assert (reply.status, [str(address) for address in reply.addresses]) == ("servfail", ["10.0.0.1"])


def test_what_does_not_fit_is_asked_for_again_over_tcp() -> None:
    def long(question: Message, protocol: str) -> Message:
        if protocol == "tcp":
            answer = answering(*(f"{NAME} A 10.0.{n // 200}.{n % 200}" for n in range(400)))(question, protocol)
            assert answer is not None
            return answer
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.TC
        return answer

    with serving(long) as server:
        assert len(ask(server).addresses) == 400
    assert (NAME, "A", "tcp") in server.asked


def test_a_server_too_old_for_edns_is_asked_without() -> None:
    def old(question: Message, protocol: str) -> Message | None:
        if question.edns >= 0:
            answer = dns.message.make_response(question)
            answer.use_edns(False)  # noqa: FBT003  (dnspython's interface)
            answer.set_rcode(rcode.FORMERR)
            return answer
        return answering(f"{NAME} A 10.0.0.1")(question, protocol)

    with serving(old) as server:
        assert ask(server).status == "ok"


@pytest.mark.usefixtures("_impatient")
def test_an_answer_to_another_question_is_ignored() -> None:
    def liar(question: Message, protocol: str) -> Message | None:
        answer = answering(f"{NAME} A 6.6.6.6")(question, protocol)
        assert answer is not None
        answer.id ^= 1
        return answer

    with serving(liar) as server:
        assert ask(server).status == "timeout"


@pytest.mark.usefixtures("_impatient")
def test_a_dead_server_does_not_cost_every_name_its_patience() -> None:
    names = {f"n{number}.example": (f"n{number}.example",) for number in range(200)}
    with serving(silent) as server:
        replies = query.ask(names, [Server(LOCAL, server.port)])
    assert {reply.status for reply in replies.values()} == {"timeout"}
    assert len(replies) == 200
    assert len({name for name, _, _ in server.asked}) <= 2 * query.THREADS


def test_a_server_that_has_answered_is_asked_again_although_it_was_silent_since() -> None:
    health = query._Health([Server(LOCAL)])
    health.answered(Server(LOCAL))
    for _ in range(10):
        health.missed(Server(LOCAL))
    assert health.order() == [Server(LOCAL)]
    health = query._Health([Server(LOCAL, 1), Server(LOCAL, 2)])
    health.missed(Server(LOCAL, 1))
    assert health.order() == [Server(LOCAL, 2), Server(LOCAL, 1)]
    health.missed(Server(LOCAL, 1))
    health.missed(Server(LOCAL, 1))
    assert health.order() == [Server(LOCAL, 2)]


def test_names_whose_turn_did_not_come_are_missing() -> None:
    with serving(silent) as server:
        assert query.ask({NAME: (NAME,)}, [Server(LOCAL, server.port)], deadline=0.0) == {}
        assert server.asked == []


def test_a_name_that_no_message_can_hold_is_an_error() -> None:
    with serving(silent) as server:
        assert ask(server, name="a" * 64 + ".example").status == "error"
        assert server.asked == []


def test_the_candidates_of_a_name_are_tried_until_one_exists() -> None:
    def zone(question: Message, protocol: str) -> Message | None:
        name = question.question[0].name.to_text(omit_final_dot=True)
        script = answering(f"{name} A 10.0.0.1") if name == "db.b" else answering(code=rcode.NXDOMAIN)
        return script(question, protocol)

    with serving(zone) as server:
        servers = [Server(LOCAL, server.port)]
        assert query.ask({"db": ("db.a", "db.b", "db.c")}, servers)["db"].status == "ok"
        assert "db.c" not in {name for name, _, _ in server.asked}
        assert query.ask({"db": ("db.a", "db.c")}, servers)["db"].status == "nxdomain"


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("db", 1, ("db.a", "db.b")),
        ("db.x", 1, ("db.x",)),
        ("db.x", 5, ("db.x", "db.x.a", "db.x.b")),
        ("db.x.", 5, ("db.x",)),
        ("db", 0, ("db.a", "db.b")),
    ],
)
def test_only_names_that_libc_would_complete_are_completed(name: str, ndots: int, expected: tuple[str, ...]) -> None:
    assert query.candidates(name, ["a", "b"], ndots) == expected
    assert query.candidates("db", [], 1) == ()


def test_an_address_of_a_link_that_does_not_exist_is_an_error_not_a_crash() -> None:
    servers = [Server(ip_address("fe80::1"), 53, "no-such-link")]
    assert query.ask({NAME: (NAME,)}, servers)[NAME].status == "error"
