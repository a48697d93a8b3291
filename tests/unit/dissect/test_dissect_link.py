from __future__ import annotations

import struct
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP

from airgap_check.dissect.link import IPV4, IPV6, Network, network, unreadable

FOUR, SIX = bytes(IP(src="10.0.0.1") / UDP()), bytes(IPv6(src="fd00::1") / UDP())


def cooked(ethertype: int) -> bytes:
    return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), ethertype)


def cooked2(ethertype: int) -> bytes:
    return struct.pack(">HHIHBB8s", ethertype, 0, 2, 1, 0, 6, bytes(8))


@pytest.mark.parametrize(
    ("linktype", "header", "payload", "ethertype"),
    [
        (1, Ether(type=IPV4), FOUR, IPV4),
        (1, Ether() / Dot1Q(type=IPV6), SIX, IPV6),
        (1, Ether() / Dot1AD() / Dot1Q(type=IPV4), FOUR, IPV4),
        (1, Ether() / Dot1Q() / Dot1Q() / Dot1Q(type=IPV4), FOUR, IPV4),
        (1, Ether(type=0x8847), b"label", 0x8847),
        (1, Ether(), bytes(ARP()), 0x0806),
        (113, cooked(IPV6), SIX, IPV6),
        (113, cooked(0x8100) + b"\0\1\x08\0", FOUR, IPV4),
        (276, cooked2(IPV4), FOUR, IPV4),
        (276, cooked2(0x8100) + b"\0\1\x86\xdd", SIX, IPV6),
        (101, b"", FOUR, IPV4),
        (101, b"", SIX, IPV6),
        (12, b"", FOUR, IPV4),
        (14, b"", SIX, IPV6),
        (228, b"", FOUR, IPV4),
        (229, b"", SIX, IPV6),
        (0, Loopback(type=2), FOUR, IPV4),
        (0, b"\2\0\0\0", FOUR, IPV4),
        (0, b"\0\0\0\x1e", SIX, IPV6),
        (0, b"\x1c\0\0\0", SIX, IPV6),
        (108, b"\0\0\0\x18", SIX, IPV6),
        (9, HDLC() / PPP(proto=0x21), FOUR, IPV4),
        (50, HDLC() / PPP(proto=0x57), SIX, IPV6),
        (9, b"\0\x21", FOUR, IPV4),
        (9, b"\x21", FOUR, IPV4),
    ],
)
def test_the_packet_is_found_under_every_link_layer(linktype: int, header: Any, payload: bytes, ethertype: int) -> None:
    start = len(bytes(header))
    frame = (bytes(header) + payload) if isinstance(header, bytes) else bytes(header / payload)
    if ethertype == 0x0806:
        frame = bytes(Ether() / ARP())
    assert network(linktype, frame) == Network(ethertype, frame[start:])
    assert frame[start:] == payload or ethertype == 0x0806
    assert unreadable(linktype) == ""


@pytest.mark.parametrize("linktype", [0, 1, 9, 12, 50, 101, 108, 113, 228, 276])
def test_a_frame_cut_short_is_nothing(linktype: int) -> None:
    assert network(linktype, b"") is None
    assert network(linktype, b"\0") is None


@pytest.mark.parametrize(
    ("linktype", "frame"),
    [
        (1, bytes(12) + b"\0\x26" + bytes(40)),  # a length: LLC follows
        (1, bytes(12) + b"\x81\0\0\1"),
        (1, bytes(12) + b"\x81\0\0\1" * 9 + b"\x08\0"),
        (101, b"\x55" + bytes(40)),
        (0, b"\7\0\0\0" + FOUR),
        (9, b"\xc0\x21hello"),
    ],
)
def test_what_carries_no_packet_is_nothing(linktype: int, frame: bytes) -> None:
    assert network(linktype, frame) is None


def test_an_unknown_link_type_has_a_reason() -> None:
    assert network(147, FOUR) is None
    assert unreadable(147) == "link type 147 is not known here"
