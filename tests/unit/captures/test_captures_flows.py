"""Who began, who is the remote end, and what is counted; the same by columns."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check.captures.account import Account
from airgap_check.captures.columns import Columns
from airgap_check.captures.headers import ROOM
from airgap_check.captures.plain import Packets
from airgap_check.captures.speech import Speech
from airgap_check.captures.tally import Tally
from airgap_check.captures.window import Frame, Frames
from airgap_check.evidence import AnyRecord, Connection, Request
from tests.unit.captures import wire
from tests.unit.captures.wire import ACK, START, SYN, SYN_ACK, Stamped, tcp, udp

INSIDE, OTHER, PUBLIC = "10.0.0.2", "10.0.0.9", "8.8.8.8"


def records(
    packets: list[bytes], *, columns: bool = False, windows: int = 1, most_flows: int = 100, most_names: int = 100
) -> tuple[list[AnyRecord], int]:
    """Return the records of raw IP packets, and what was lost."""
    tally = Tally(most_flows, most_flows, most_names)
    speech = Speech(tally)
    reader = Columns(tally, speech) if columns else Packets(tally, speech)
    size = -(-len(packets) // windows)
    for begin in range(0, len(packets), max(1, size)):
        part = packets[begin : begin + size]
        window = Frames(b"".join(part) + bytes(ROOM))  # so that all of them may be read by columns
        for place, packet in enumerate(part):
            window.add(Frame(sum(map(len, part[:place])), len(packet), len(packet), 101, START + begin + place))
        reader.take(window)
    speech.close()
    lost = reader.close()
    return list(Account(tally).records()), lost + tally.lost


def seen(*packets: bytes) -> list[tuple[str, str | None, int | None, str | None, int | None, int]]:
    """Return the flows of packets, which both ways must agree on."""
    plain, _ = records(list(packets))
    assert records(list(packets), columns=True)[0] == plain
    return [
        (
            flow.direction,
            flow.local.address,
            flow.local.port,
            flow.remote.address,
            flow.remote.port,
            flow.count,
        )
        for flow in plain
        if isinstance(flow, Connection)
    ]


def test_who_sends_a_syn_is_the_initiator_also_when_refused() -> None:
    assert seen(tcp((INSIDE, 40000), (PUBLIC, 443), SYN)) == [("outbound", INSIDE, None, PUBLIC, 443, 1)]


def test_an_acceptance_tells_who_asked() -> None:
    assert seen(tcp((PUBLIC, 50001), (INSIDE, 50002), SYN_ACK)) == [("outbound", INSIDE, None, PUBLIC, 50001, 1)]


def test_flows_that_differ_by_the_ephemeral_port_are_one_record() -> None:
    packets = [tcp((INSIDE, port), (OTHER, 5432), SYN) for port in (40000, 40001, 40001)]
    assert seen(*packets) == [("outbound", INSIDE, None, OTHER, 5432, 2)]


def test_both_ends_may_begin() -> None:
    first, second = tcp((INSIDE, 443), (OTHER, 40000), SYN), tcp((OTHER, 40000), (INSIDE, 443), SYN)
    assert set(seen(first, second)) == {
        ("outbound", INSIDE, None, OTHER, 40000, 1),
        ("outbound", OTHER, None, INSIDE, 443, 1),
    }


def test_in_the_middle_of_a_connection_the_ports_tell() -> None:
    assert seen(tcp((OTHER, 5432), (INSIDE, 40000), ACK)) == [("outbound", INSIDE, None, OTHER, 5432, 1)]


def test_where_the_ports_do_not_tell_the_direction_is_unknown() -> None:
    assert seen(tcp((OTHER, 40001), (INSIDE, 40000), ACK)) == [("unknown", OTHER, None, INSIDE, 40000, 1)]


@pytest.mark.parametrize("ours", [443, 40001])
def test_ports_alone_never_make_a_public_address_the_initiator(ours: int) -> None:
    """A host inside that sends from a server's port could hide behind them."""
    assert seen(tcp((PUBLIC, 40000), (INSIDE, ours), ACK)) == [("unknown", INSIDE, ours, PUBLIC, None, 1)]
    assert seen(udp((INSIDE, 443), (PUBLIC, 40000), b"x")) == [("unknown", INSIDE, 443, PUBLIC, None, 1)]


def test_a_public_address_that_is_seen_to_begin_is_the_initiator() -> None:
    assert seen(tcp((PUBLIC, 40000), (INSIDE, 443), SYN)) == [("outbound", PUBLIC, None, INSIDE, 443, 1)]


def test_the_first_datagram_tells_unless_it_is_an_answer() -> None:
    assert seen(udp((INSIDE, 40000), (OTHER, 9999), b"x")) == [("outbound", INSIDE, None, OTHER, 9999, 1)]
    assert seen(udp((INSIDE, 123), (OTHER, 123), b"x")) == [("outbound", INSIDE, None, OTHER, 123, 1)]
    assert seen(udp((OTHER, 53), (INSIDE, 40000), b"x")) == [("outbound", INSIDE, None, OTHER, 53, 1)]


def test_a_group_never_begins() -> None:
    assert seen(udp((INSIDE, 500), ("239.1.2.3", 40000), b"x")) == [("outbound", INSIDE, 500, "239.1.2.3", None, 1)]


def test_an_echo_is_a_flow_and_an_error_is_none_unless_it_goes_out() -> None:
    assert seen(wire.icmp(INSIDE, OTHER, 8), wire.icmp(OTHER, INSIDE, 0)) == [
        ("outbound", INSIDE, None, OTHER, None, 1)
    ]
    assert seen(wire.icmp(INSIDE, OTHER, 3), wire.icmp("fe80::1", "ff02::1", 134)) == []
    assert seen(wire.icmp(INSIDE, PUBLIC, 3)) == [("unknown", INSIDE, None, PUBLIC, None, 1)]
    assert seen(wire.icmp(INSIDE, PUBLIC, 0)) == [("unknown", INSIDE, None, PUBLIC, None, 1)]


def test_a_protocol_without_ports_is_raw() -> None:
    plain, _ = records([wire.ip(INSIDE, OTHER, 50, bytes(20))])
    (connection,) = plain
    assert isinstance(connection, Connection)
    assert (connection.protocol, connection.state, connection.remote.port) == ("raw", "proto 50", None)


def test_what_tunnels_carry_are_flows_too() -> None:
    inner = tcp((INSIDE, 40000), (PUBLIC, 443), SYN)
    assert ("outbound", INSIDE, None, PUBLIC, 443, 1) in seen(wire.ip(INSIDE, OTHER, 4, inner))


def test_padding_of_the_link_layer_is_no_payload() -> None:
    padded = tcp((INSIDE, 40000), (OTHER, 443), ACK) + b"\x16\x03\x01\0\1\1"
    for columns in (False, True):
        assert not [record for record in records([padded], columns=columns)[0] if isinstance(record, Request)]


def test_a_hello_that_never_ends_is_a_name_that_nobody_knows() -> None:
    packets = [packet for _, packet in wire.connect((INSIDE, 40000), (OTHER, 443), wire.client_hello("x.example")[:40])]
    for columns in (False, True):
        found = [record for record in records(packets, columns=columns)[0] if isinstance(record, Request)]
        assert [(request.name, request.hidden) for request in found] == [(None, "cut")]


@pytest.mark.parametrize("said", [b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\0\x05"])
def test_a_few_bytes_that_could_be_a_hello_are_none(said: bytes) -> None:
    packets = [packet for _, packet in wire.connect((INSIDE, 40000), (OTHER, 443), said)]
    for columns in (False, True):
        assert not [record for record in records(packets, columns=columns)[0] if isinstance(record, Request)]


def test_a_hello_may_come_byte_by_byte() -> None:
    hello = wire.client_hello("slow.example")
    pieces = [hello[:1], hello[1:2], hello[2:7], hello[7:]]
    packets = [packet for _, packet in wire.connect((INSIDE, 40000), (OTHER, 443), *pieces)]
    for columns in (False, True):
        found = [record for record in records(packets, columns=columns)[0] if isinstance(record, Request)]
        assert [(request.name, request.hidden) for request in found] == [("slow.example", "no")]
        cut = [record for record in records(packets[:-2], columns=columns)[0] if isinstance(record, Request)]
        assert [(request.name, request.hidden) for request in cut] == [(None, "cut")]


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
def test_there_is_an_end_to_what_is_kept(*, columns: bool) -> None:
    packets = [tcp((INSIDE, 40000), (OTHER, port), SYN) for port in range(1, 11)] * 2
    found, lost = records(packets, columns=columns, most_flows=4, windows=3)
    assert [record.remote.port for record in found if isinstance(record, Connection)] == [1, 2, 3, 4]
    assert lost == 12  # packets of the other six
    packets = [udp((INSIDE, 40000), (OTHER, 53), wire.query(f"h{number}.example")) for number in range(10)]
    found, lost = records(packets, columns=columns, most_names=3)
    assert sum(1 for record in found if not isinstance(record, Connection)) == 3
    assert lost == 7


ADDRESSES = st.sampled_from([INSIDE, OTHER, PUBLIC, "0.0.0.1", "255.255.255.255", "239.1.2.3"])
ADDRESSES6 = st.sampled_from(["fd00::1", "2001:4860::8", "::ffff:8.8.8.8", "ff02::fb", "::1", "::0.0.0.1"])
PORTS = st.sampled_from([0, 53, 80, 443, 853, 5353, 32767, 32768, 40000, 65535])
HELLO = wire.client_hello("host.bank.example", padding=40)
DATA = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([
        wire.query("a.example"), wire.answer("a.example", "10.0.0.1", "fd00::1"), HELLO, HELLO[:5], HELLO[5:30],
        HELLO[30:], b"\x16", b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: h.example\r\n\r\n", b"PRI * HTTP/2.0\r\n",
        b"\xc0\0\0\0\1\x08" + bytes(1200), b"\xc0\0\0\0\x09\x08" + bytes(30), b"\x17\x03\x03\0\1x",
    ]),
)  # fmt: skip


@st.composite
def packets_of_all_kinds(draw: st.DrawFn) -> bytes:
    pool = draw(st.sampled_from([ADDRESSES, ADDRESSES6]))
    source, target = (draw(pool), draw(PORTS)), (draw(pool), draw(PORTS))
    kind = draw(st.integers(0, 9))
    if kind < 5:
        flags = draw(st.sampled_from([SYN, SYN_ACK, ACK, 0, 4, 0xFF]))
        packet = tcp(source, target, flags, draw(DATA), draw(st.sampled_from([1000, 1001, 1005, 1030, 0xFFFFFFFF])))
    elif kind < 8:
        packet = udp(source, target, draw(DATA))
    elif kind < 9:
        packet = wire.icmp(source[0], target[0], draw(st.sampled_from([0, 3, 8, 128, 129, 134])))
    else:
        packet = wire.ip(source[0], target[0], draw(st.sampled_from([6, 17, 4, 47, 132, 0, 44])), draw(DATA))
    damage = draw(st.integers(0, 9))
    if damage == 0:
        packet = packet[: draw(st.integers(0, len(packet)))]
    elif damage == 1:
        place = draw(st.integers(0, min(60, len(packet) - 1)))
        packet = packet[:place] + draw(st.binary(min_size=1, max_size=1)) + packet[place + 1 :]
    elif damage == 2:
        packet += bytes(draw(st.integers(1, 20)))  # padding of the link layer
    return packet


@settings(max_examples=300, deadline=None)
@given(st.lists(packets_of_all_kinds(), min_size=1, max_size=30), st.integers(1, 4))
def test_columns_answer_as_packet_by_packet(packets: list[bytes], windows: int) -> None:
    assert records(packets, columns=True, windows=windows) == records(packets)


def test_the_order_of_time_is_that_of_the_capture() -> None:
    scene = [packet for _, packet in wire.scene()]
    assert records(scene, columns=True, windows=len(scene)) == records(scene)
    assert records([Stamped(0, packet).packet for packet in scene], windows=7) == records(scene)
