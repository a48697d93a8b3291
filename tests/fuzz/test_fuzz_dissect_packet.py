from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import GRE, Dot1Q, Ether

from airgap_check.dissect import encapsulation, link
from airgap_check.dissect.packet import IPV4, IPV6, Packet, dissect

ETHERTYPES = (IPV4, IPV6, *sorted(encapsulation.ETHERTYPES), 0x0806)
PORT, SEQUENCE = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
PAYLOAD = st.binary(max_size=40)
V4: dict[str, Any]
V6: dict[str, Any]
V4, V6 = {"src": "10.0.0.1", "dst": "203.0.113.9"}, {"src": "fd00::1", "dst": "2001:db8::9"}


def ip(*, six: bool, **fields: Any) -> Any:
    return IPv6(**V6) if six else IP(**V4, **fields)


TRANSPORTS = st.one_of(
    st.builds(
        lambda source, target, sequence, flags, options, data: (
            TCP(sport=source, dport=target, seq=sequence, flags=flags, options=options) / data
        ),
        PORT,
        PORT,
        SEQUENCE,
        st.integers(0, 255),
        st.sampled_from([[], [("MSS", 1460)], [("NOP", None)] * 8]),
        PAYLOAD,
    ),
    st.builds(lambda source, target, data: UDP(sport=source, dport=target) / data, PORT, PORT, PAYLOAD),
)
PLAIN = st.builds(lambda six, transport: bytes(ip(six=six) / transport), st.booleans(), TRANSPORTS)
ODD = st.builds(
    lambda six, between, transport: bytes(ip(six=six) / between / transport),
    st.booleans(),
    st.sampled_from(
        [IP(**V4), IPv6(**V6), GRE() / IP(**V4), GRE(key_present=1) / Ether() / IPv6(**V6), GRE() / Dot1Q()]
    ),
    TRANSPORTS,
) | st.builds(
    lambda between, transport: bytes(IPv6(**V6) / between / transport),
    st.sampled_from([IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt()]),
    TRANSPORTS,
)


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


def sane(packet: Packet, depth: int = 0) -> None:
    assert len(packet.source) == len(packet.target) == (4 if packet.version == 4 else 16)
    assert 0 <= packet.source_port <= 0xFFFF
    assert 0 <= packet.target_port <= 0xFFFF
    assert isinstance(packet.payload, bytes)
    assert depth <= 4
    if packet.inner:
        sane(packet.inner, depth + 1)


@given(st.sampled_from(ETHERTYPES), st.one_of(st.binary(max_size=120), mutated(PLAIN), mutated(ODD)))
def test_any_bytes_are_a_packet_or_nothing(ethertype: int, data: bytes) -> None:
    packet = dissect(ethertype, data)
    if packet:
        sane(packet)
        assert packet == dissect(ethertype, memoryview(bytearray(data)))


@given(st.sampled_from(ETHERTYPES), st.one_of(mutated(PLAIN), mutated(ODD)))
def test_a_packet_never_holds_more_than_was_there(ethertype: int, data: bytes) -> None:
    packet = dissect(ethertype, data)
    assert packet is None or packet.payload in data


@given(PLAIN | ODD)
def test_plain_packets_are_what_scapy_says(data: bytes) -> None:
    """A differential test: scapy's own reading of every layer against ours."""
    theirs: Any = IP(data) if data[0] >> 4 == 4 else IPv6(data)
    packet = dissect(IPV4 if data[0] >> 4 == 4 else IPV6, data)
    assert packet
    while packet.inner:
        packet = packet.inner
    transport = theirs.getlayer(TCP) or theirs.getlayer(UDP)
    assume(transport is not None)  # GRE around a VLAN tag around nothing
    assert not packet.truncated
    assert (packet.source_port, packet.target_port) == (transport.sport, transport.dport)
    assert packet.payload == bytes(transport.payload)
    if isinstance(transport, TCP):
        assert (packet.sequence, packet.flags) == (transport.seq, int(transport.flags) & 0xFF)


@given(PLAIN, st.data())
def test_a_truncated_packet_says_so(data: bytes, draw: st.DataObject) -> None:
    ethertype = IPV4 if data[0] >> 4 == 4 else IPV6
    head = 20 if ethertype == IPV4 else 40
    cut = draw.draw(st.integers(0, len(data) - 1))
    whole, packet = dissect(ethertype, data), dissect(ethertype, data[:cut])
    assert (packet is None) == (cut < head)
    assert whole
    assert not whole.truncated
    if packet:
        assert packet.truncated
        assert packet[:4] == whole[:4]
        assert whole.payload.startswith(packet.payload)


LINKTYPES = (0, 1, 9, 12, 14, 50, 101, 108, 113, 228, 229, 276, 147)


@given(st.sampled_from(LINKTYPES), st.binary(max_size=80))
def test_any_frame_carries_something_or_nothing(linktype: int, frame: bytes) -> None:
    network = link.network(linktype, frame)
    if network:
        assert 0 < network.ethertype <= 0xFFFF
        assert frame.endswith(network.data)


def test_the_generator_makes_what_it_should() -> None:
    """Without this, a broken generator would prove nothing."""
    packet = dissect(IPV4, bytes(ip(six=False) / (GRE() / IP(**V4)) / UDP(dport=53) / b"x"))
    assert packet
    assert packet.inner
    assert packet.inner.target_port == 53
    with pytest.raises(AssertionError):
        sane(packet._replace(source=b""))
