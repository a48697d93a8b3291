from __future__ import annotations

import socket
import ssl
import sys
from typing import TYPE_CHECKING

import dns.message
import dns.query
import dns.rdatatype
import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgap_check.world.meeting import Orders
from tests.unit.world.beyond import Beyond, Place

if TYPE_CHECKING:
    from airgap_check.world.meeting import Met


def lines(met: Met) -> list[str]:
    return [asked.line for asked in met.requests]


def send(beyond: Beyond, *datagrams: bytes, answered: bool = False) -> list[bytes]:
    """Send datagrams from one port; return the answers, where there are any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(10)
        end.connect(beyond.udp)
        answers = []
        for datagram in datagrams:
            end.send(datagram)
            answers += [end.recv(65535)] if answered else []
        return answers


def test_the_resolver_answers_by_datagram_and_by_stream_and_only_names_are_told(beyond: Beyond) -> None:
    for ask, place in ((dns.query.udp, beyond.names), (dns.query.tcp, beyond.name_streams)):
        query = dns.message.make_query("cloud.example", "A", use_edns=0)
        assert ask(query, place.address, port=place.port, timeout=10).answer
    assert beyond.met() == []
    assert list(beyond.named()) == ["cloud.example"]


def test_each_question_is_told_with_the_socket_that_asks_it(beyond: Beyond) -> None:
    query = dns.message.make_query("Cloud.example", "HTTPS")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, socket.create_connection(beyond.name_streams) as line:
        end.settimeout(10)
        line.settimeout(10)
        end.connect(beyond.names)
        for _ in range(2):  # the second time nothing new is told
            end.send(query.to_wire())
            assert end.recv(65535)
        dns.query.send_tcp(line, dns.message.make_query(".", "NS"))
        assert dns.query.receive_tcp(line)
        cookies = [int.from_bytes(each.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder) for each in (end, line)]
    told = [(each.type, each.name, each.cookie) for each in beyond.inquiries()]
    assert told == [("HTTPS", "cloud.example", cookies[0]), ("NS", "", cookies[1])]


def test_a_thousand_names_are_told_each_with_its_addresses(beyond: Beyond) -> None:
    for number in range(1000):
        query = dns.message.make_query(f"n{number}.example", "AAAA")
        dns.query.udp(query, beyond.names.address, port=beyond.names.port, timeout=10)
    named = beyond.named()
    assert list(named) == [f"n{number}.example" for number in range(1000)]
    assert all(len(addresses) == 2 for addresses in named.values())


def test_in_a_world_without_names_one_that_leads_through_has_an_address() -> None:
    with Beyond(Orders(world="nxdomain", through={"db.bank.example:5432": "127.0.0.1:5432"})) as beyond:
        for name in ("cloud.example", "db.bank.example"):
            query = dns.message.make_query(name, "A")
            answer = dns.query.udp(query, beyond.names.address, port=beyond.names.port, timeout=10)
            assert bool(answer.answer) == (name == "db.bank.example")
        named = beyond.named()
    assert named["cloud.example"] == ()
    assert len(named["db.bank.example"]) == 2


@pytest.mark.parametrize("datagram", [True, False])
def test_dns_that_goes_anywhere_else_is_answered_and_told(datagram: bool) -> None:  # noqa: FBT001
    with Beyond(port=53) as beyond:
        query = dns.message.make_query("hidden.example", "TXT")
        ask = dns.query.udp if datagram else dns.query.tcp
        assert ask(query, beyond.tcp.address, port=53, timeout=10).rcode() == 0
        (met,) = beyond.met()
        assert (met.spoken, met.protocol, met.port) == ("dns", "udp" if datagram else "tcp", 53)
        assert lines(met) == ["DNS TXT hidden.example"]
        assert met.sent
        assert met.received


@pytest.mark.parametrize(("port", "protocol"), [(853, None), (0, "dot")])
def test_dns_over_tls_is_known_by_its_port_or_its_name_for_itself(port: int, protocol: str | None) -> None:
    with Beyond(port=port) as beyond:
        with beyond.dial_secure("dns.example", *([protocol] if protocol else [])) as end:
            query = dns.message.make_query("hidden.example", "A").to_wire()
            end.sendall(len(query).to_bytes(2, "big"))
            end.sendall(query)
            size = int.from_bytes(end.recv(2), "big")
            assert dns.message.from_wire(end.recv(size)).answer
        met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("dns", True, "dns.example")
    assert lines(met) == ["DNS A hidden.example"]


def test_who_asks_for_the_time_hears_his_own() -> None:
    with Beyond(port=123) as beyond:
        (answer,) = send(beyond, b"\x23" + bytes(39) + b"ownstamp", answered=True)
        met = beyond.only()
    assert len(answer) == 48
    assert answer[0] == 0x24
    assert answer[1] == 2
    assert answer[24:] == b"ownstamp" * 3
    assert (met.spoken, met.ended, met.sent, met.received) == ("ntp", "answered", 48, 48)


def test_quic_is_known_by_whom_it_is_for(beyond: Beyond) -> None:
    client = QuicConnection(
        configuration=QuicConfiguration(server_name="cloud.example", alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
    )
    client.connect(beyond.udp, now=0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        for datagram, _ in client.datagrams_to_send(now=0.0):
            end.sendto(datagram, beyond.udp)
    met = beyond.only()
    assert (met.spoken, met.name, met.ended) == ("quic", "cloud.example", "not answered")
    assert met.opening == "QUIC version 0x1"


def test_questions_beyond_those_that_are_listed_are_said_to_be_missing() -> None:
    query = dns.message.make_query("a.example", "A")
    query.question *= 4
    beyond = Beyond(port=53)
    send(beyond, *[query.to_wire()] * 260)  # all of them wait when the world begins to hear
    with beyond:
        (met,) = beyond.met()
        assert len(met.requests) == 1000
        assert beyond.troubles() == [f"of {beyond.udp.address}:53, not all requests are listed"]


def test_datagrams_that_there_was_no_room_for_are_said_to_be_lost() -> None:
    beyond = Beyond()
    send(beyond, *[b"heard"] * 100, *[b"x" * 9000] * 1000)
    with beyond:
        (met,) = beyond.met()
        big = (met.sent - 500) // 9000
        assert 0 < big < 1000
        assert beyond.troubles() == [f"{1000 - big} datagrams were lost, as they came faster than they were heard"]


def test_datagrams_of_one_port_to_one_place_are_one_meeting(beyond: Beyond) -> None:
    send(beyond, b"<34>1 2026-01-01T00:00:00Z app - - - hello", b"<34>again")
    send(beyond, b"\x00\x01\x02")
    first, second = beyond.met()
    assert (first.spoken, first.sent) == ("syslog", 51)
    assert (second.spoken, second.opening) == ("unknown", "\\x00\\x01\\x02")
    assert first.source != second.source
    assert Place(second.address, second.port) == beyond.udp


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.one_of(st.binary(max_size=100), st.binary(max_size=1300).map(lambda rest: b"\xc0\x00\x00\x00\x01" + rest)))
def test_any_datagram_is_heard(beyond: Beyond, data: bytes) -> None:
    send(beyond, data)
