from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import telltale
from tests.onwire import ACK, PUSH, RESET, SYN, ip4, ip6, tcp, udp
from tests.unit.kernel.classic_machine import Machine

HOST, MULTICAST, OTHER, OUT = 0, 2, 3, 4
ETHERNET, LOOPBACK, TUNNEL = 1, 772, 65534
Carry = Callable[[int, bytes], bytes]
PROGRAM = telltale.program()
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)


def taken(packet: bytes, kind: int = OUT, link: int = ETHERNET, protocol: int | None = None) -> bool:
    if protocol is None:
        protocol = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return Machine(packet, protocol, kind, link).run(PROGRAM) >= len(packet) > 0


def ip4_with_options(protocol: int, body: bytes) -> bytes:
    return ip4(protocol, body, options=4)


BOTH = pytest.mark.parametrize("carry", [ip4, ip4_with_options, ip6])
OPENINGS = {
    "SYN": (6, tcp(flags=SYN)),
    "SYN with ECN": (6, tcp(flags=SYN | 0xC0)),
    "Fast Open": (6, tcp(HELLO, flags=SYN)),
    "ClientHello": (6, tcp(HELLO)),
    "ClientHello to any port": (6, tcp(HELLO, to=5432)),
    "ClientHello without TCP options": (6, tcp(HELLO, options=0)),
    "a first piece of a hello": (6, tcp(b"\x16")),
    "a longer first piece of a hello": (6, tcp(b"\x16\x03\x01\x02\x00")),
    "GET": (6, tcp(b"GET / HTTP/1.1\r\n", to=80)),
    "CONNECT": (6, tcp(b"CONNECT a:443 HTTP/1.1\r\n", to=3128)),
    "HTTP/2 without TLS": (6, tcp(b"PRI * HTTP/2.0\r\n", to=80)),
    "QUIC 1": (17, udp(b"\xc3\x00\x00\x00\x01" + bytes(50), to=4433)),
    "QUIC 2": (17, udp(b"\xd3\x6b\x33\x43\xcf" + bytes(50), to=443)),
    "DNS over QUIC or DTLS": (17, udp(to=853)),
    "SCTP INIT": (132, bytes(12) + b"\x01\x00\x00\x14" + bytes(16)),
}


@BOTH
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
def test_an_opening_is_taken_where_it_leaves_and_nowhere_else(carry: Carry, opening: tuple[int, bytes]) -> None:
    packet = carry(*opening)
    assert taken(packet)
    assert taken(packet, link=TUNNEL)
    assert not taken(packet, HOST)
    assert not taken(packet, OTHER)
    assert not taken(packet, link=LOOPBACK)


ORDINARY = {
    "SYN and ACK": (6, tcp(flags=SYN | ACK)),
    "an acknowledgement": (6, tcp()),
    "reset": (6, tcp(flags=RESET | ACK)),
    "bulk data": (6, tcp(bytes(1448), flags=ACK | PUSH)),
    "TLS data": (6, tcp(b"\x17\x03\x03\x05\xa0" + bytes(1440))),
    "a ServerHello": (6, tcp(b"\x16\x03\x03\x00\x7a\x02" + bytes(120))),
    "SSL 2, or what looks like it": (6, tcp(b"\x16\x02\xff\x00\x7a\x01" + bytes(120))),
    "TLS 1.4, which there is not": (6, tcp(b"\x16\x03\x05\x00\x7a\x01" + bytes(120))),
    "an HTTP answer": (6, tcp(b"HTTP/1.1 200 OK\r\n", source=80)),
    "short data": (6, tcp(b"hey")),
    "other UDP": (17, udp(to=514)),
    "QUIC data": (17, udp(b"\x40\x00\x00\x00\x01" + bytes(50), to=443)),
    "QUIC of a version without known keys": (17, udp(b"\xc3\x0a\x0a\x0a\x0a" + bytes(50), to=443)),
    "an empty datagram": (17, udp(b"", to=443)),
    "SCTP data": (132, bytes(12) + b"\x00\x03\x00\x14" + bytes(16)),
    "a bare segment to a name server": (6, tcp(to=53)),
    "IGMP": (2, bytes(8)),
}


@BOTH
@pytest.mark.parametrize("ordinary", ORDINARY.values(), ids=ORDINARY.keys())
def test_what_opens_nothing_is_refused(carry: Carry, ordinary: tuple[int, bytes]) -> None:
    for kind in (OUT, HOST):
        assert not taken(carry(*ordinary), kind)


def test_an_echo_request_is_taken_and_its_reply_is_not() -> None:
    assert taken(ip4(1, b"\x08" + bytes(63)))
    assert taken(ip6(58, b"\x80" + bytes(63)))
    assert not taken(ip4(1, b"\x00" + bytes(63)))
    assert not taken(ip6(58, b"\x81" + bytes(63)))
    assert not taken(ip4(1, b"\x08" + bytes(63)), HOST)


@BOTH
@pytest.mark.parametrize("port", [53, 5353, 5355])
def test_a_question_is_taken_where_it_leaves_and_an_answer_where_it_arrives(carry: Carry, port: int) -> None:
    question, answer = carry(17, udp(to=port)), carry(17, udp(to=40000, source=port))
    assert taken(question)
    assert not taken(question, HOST)
    assert taken(answer, HOST)
    assert taken(answer, OTHER)
    assert not taken(answer)


@BOTH
def test_a_multicast_answer_goes_to_the_port_that_it_comes_from(carry: Carry) -> None:
    both = carry(17, udp(to=5353, source=5353))
    assert taken(both)
    assert taken(both, MULTICAST)


@BOTH
def test_questions_and_answers_over_tcp_are_taken_with_their_data(carry: Carry) -> None:
    question, answer = carry(6, tcp(b"\0", to=53)), carry(6, tcp(bytes(900), source=53, to=40000))
    assert taken(question)
    assert not taken(question, HOST)
    assert taken(answer, HOST)
    assert not taken(answer)


@BOTH
@pytest.mark.parametrize("protocol", [6, 17])
def test_on_loopback_names_are_taken_once_and_on_their_way_out(carry: Carry, protocol: int) -> None:
    bodies = (
        (tcp(bytes(30), to=53), tcp(bytes(30), source=53)) if protocol == 6 else (udp(to=53), udp(to=4000, source=53))
    )
    for body in bodies:
        assert taken(carry(protocol, body), OUT, LOOPBACK)
        assert not taken(carry(protocol, body), HOST, LOOPBACK)


def test_the_first_fragment_is_read_and_later_ones_are_not() -> None:
    assert taken(ip4(17, udp(to=53), fragment=0x2000))
    assert not taken(ip4(17, udp(to=53), fragment=0x00B9))
    assert taken(ip6(44, b"\x11\x00\x00\x01" + bytes(4) + udp(to=53)))
    assert not taken(ip6(44, b"\x11\x00\x00\x09" + bytes(4) + udp(to=53)))


@pytest.mark.parametrize("extension", [0, 43, 51, 60, 135])
def test_what_stands_behind_extension_headers_is_left_to_others(extension: int) -> None:
    packet = ip6(extension, b"\x06\x00" + bytes(6) + tcp(bytes(100)))
    assert taken(packet)
    assert not taken(packet, HOST)


@pytest.mark.parametrize("tag", [0x8100, 0x88A8])
def test_a_tag_that_is_still_there_hides_nothing(tag: int) -> None:
    assert taken(ip4(6, tcp(flags=SYN)), protocol=tag)
    assert taken(ip6(6, tcp(flags=SYN)), protocol=tag)
    assert not taken(b"\0\0" + ip4(6, tcp(flags=SYN)), protocol=tag)


@pytest.mark.parametrize("protocol", [0x0806, 0x88CC, 0x8864, 0])
def test_other_protocols_than_ip_are_refused(protocol: int) -> None:
    assert not taken(ip4(6, tcp(flags=SYN)), protocol=protocol)


def test_a_hello_is_taken_whole() -> None:
    assert Machine(ip4(6, tcp(HELLO + bytes(16384))), 0x0800, OUT, ETHERNET).run(PROGRAM) > 16384 + 60


@given(st.binary(max_size=120), st.sampled_from((0x0800, 0x86DD, 0x8100)), st.sampled_from(range(8)))
def test_no_packet_lasts_long(packet: bytes, protocol: int, kind: int) -> None:
    machine = Machine(packet, protocol, kind, ETHERNET)
    assert machine.run(PROGRAM) in {0, telltale.WHOLE}
    assert machine.steps <= 50


def test_bulk_data_is_refused_within_a_few_steps() -> None:
    steps = []
    for kind in (HOST, OUT):
        machine = Machine(ip4(6, tcp(bytes(1448))), 0x0800, kind, ETHERNET)
        assert machine.run(PROGRAM) == 0
        steps.append(machine.steps)
    assert steps[0] < 20
    assert steps[1] < 45
