from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP, SCTPChunkInit

from airgap_check.dissect import encapsulation, packet
from airgap_check.dissect.packet import IPV4, IPV6, Packet, dissect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

V4: dict[str, Any] = {"src": "10.0.0.1", "dst": "203.0.113.9"}
V6: dict[str, Any] = {"src": "fd00::1", "dst": "2001:db8::9"}
A4, B4 = bytes([10, 0, 0, 1]), bytes([203, 0, 113, 9])
A6, B6 = b"\xfd" + bytes(14) + b"\x01", b"\x20\x01\x0d\xb8" + bytes(11) + b"\x09"
SYN = TCP(sport=40000, dport=443, flags="S", seq=0x80000001)
HI = UDP(sport=40000, dport=53) / b"hi"


def read(layers: Any, ethertype: int = 0, cut: int | None = None) -> Packet | None:
    data = bytes(layers)[:cut]
    return dissect(ethertype or (IPV4 if data[0] >> 4 == 4 else IPV6), data)


def seen(layers: Any, ethertype: int = 0, cut: int | None = None) -> Packet:
    found = read(layers, ethertype, cut)
    assert found
    return found


def test_a_plain_tcp_segment_is_read() -> None:
    assert seen(IP(**V4) / SYN / b"data") == Packet(4, 6, A4, B4, 40000, 443, packet.SYN, 0x80000001, b"data")
    assert seen(IPv6(**V6) / SYN / b"data") == Packet(6, 6, A6, B6, 40000, 443, packet.SYN, 0x80000001, b"data")


def test_a_plain_udp_datagram_is_read() -> None:
    assert seen(IP(**V4) / HI) == Packet(4, 17, A4, B4, 40000, 53, 0, 0, b"hi")
    assert seen(IPv6(**V6) / HI) == Packet(6, 17, A6, B6, 40000, 53, 0, 0, b"hi")


def test_a_view_of_memory_is_as_good_as_bytes() -> None:
    data = bytes(IP(**V4) / HI)
    found = dissect(IPV4, memoryview(bytearray(data)))
    assert found == dissect(IPV4, data)
    assert found
    assert isinstance(found.payload, bytes)


def test_options_stand_before_the_payload() -> None:
    segment = TCP(sport=1, dport=2, flags="S", options=[("MSS", 1460), ("NOP", None), ("WScale", 7)]) / b"x"
    assert seen(IP(options=[b"\x07\x07\x04abcd"], **V4) / segment).payload == b"x"


def test_what_fills_the_frame_up_is_not_the_payload() -> None:
    assert seen(bytes(IP(**V4) / HI) + bytes(30)).payload == b"hi"
    assert seen(bytes(IPv6(**V6) / HI) + bytes(30)).payload == b"hi"
    assert seen(bytes(IP(**V4) / SYN) + bytes(6)).payload == b""
    assert seen(bytes(IPv6(**V6) / SYN) + bytes(6)).payload == b""


def test_a_udp_length_other_than_that_of_the_packet_counts() -> None:
    assert seen(IP(**V4) / UDP(sport=1, dport=2, len=9) / b"hi").payload == b"h"
    longer = seen(IP(**V4) / UDP(sport=1, dport=2, len=99) / b"hi")
    assert (longer.payload, longer.truncated) == (b"hi", True)


def test_a_length_of_zero_means_that_the_card_will_set_it() -> None:
    assert seen(IP(len=0, **V4) / SYN / b"data").payload == b"data"
    assert seen(IPv6(plen=0, **V6) / SYN / b"data").payload == b"data"


@pytest.mark.parametrize("cut", [41, 45])
def test_a_packet_cut_by_the_capture_says_so(cut: int) -> None:
    found = seen(IP(**V4) / SYN / b"123456", cut=cut)
    assert (found.target_port, found.payload, found.truncated) == (443, b"123456"[: cut - 40], True)
    assert seen(IP(**V4) / HI, cut=29).truncated
    assert seen(IPv6(**V6) / SYN / b"123456", cut=20 + cut).truncated


@pytest.mark.parametrize("cut", [24, 28, 39])
def test_ports_are_read_from_half_a_header(cut: int) -> None:
    found = seen(IP(**V4) / SYN, cut=cut)
    assert (found.source_port, found.target_port, found.flags, found.truncated) == (40000, 443, 0, True)
    assert found.payload == b""


def test_a_header_without_ports_leaves_them_zero() -> None:
    found = seen(IP(**V4) / SYN, cut=23)
    assert (found.protocol, found.source_port, found.target_port, found.truncated) == (6, 0, 0, True)


def test_a_lying_tcp_offset_is_a_truncated_packet() -> None:
    for offset in (0, 4, 15):
        found = seen(IP(**V4) / TCP(dport=443, dataofs=offset) / b"x")
        assert (found.target_port, found.payload, found.truncated) == (443, b"", True)


def test_the_first_fragment_is_read_and_later_ones_are_not() -> None:
    first = seen(IP(flags="MF", **V4) / HI)
    assert (first.target_port, first.truncated) == (53, True)
    assert read(IP(frag=3, **V4) / b"abcdefgh") is None
    first = seen(IPv6(**V6) / IPv6ExtHdrFragment(m=1) / HI)
    assert (first.target_port, first.truncated) == (53, True)
    assert read(IPv6(**V6) / IPv6ExtHdrFragment(offset=3) / HI) is None
    assert not seen(IPv6(**V6) / IPv6ExtHdrFragment() / HI).truncated  # an atomic one (RFC 6946)


def test_icmp_has_no_ports() -> None:
    found = seen(IP(**V4) / ICMP() / b"ping")
    assert (found.protocol, found.source_port, found.payload[:1], found.payload[-4:]) == (1, 0, b"\x08", b"ping")


def test_sctp_has_ports_and_its_chunks_as_payload() -> None:
    found = seen(IP(**V4) / SCTP(sport=7, dport=9) / SCTPChunkInit())
    assert (found.protocol, found.source_port, found.target_port, found.payload[0]) == (132, 7, 9, 1)


def test_a_protocol_that_is_not_known_is_named_by_its_number() -> None:
    assert seen(IP(proto=50, **V4) / b"secret") == Packet(4, 50, A4, B4, 0, 0, 0, 0, b"secret")


@pytest.mark.parametrize(
    "data", [b"", b"\x45", bytes(20), bytes(40), b"\x44" + bytes(40), b"\x45\0\0\x13" + bytes(40), b"\x65" + bytes(38)]
)
def test_what_makes_no_sense_is_nothing(data: bytes) -> None:
    assert dissect(IPV4, data) is None
    assert dissect(IPV6, data) is None


def test_what_is_not_ip_is_nothing() -> None:
    assert dissect(0x0806, bytes(IP(**V4) / HI)) is None


def test_extension_headers_are_followed_to_the_last() -> None:
    headers = IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt()
    assert seen(IPv6(**V6) / headers / HI) == Packet(6, 17, A6, B6, 40000, 53, 0, 0, b"hi")
    signed = AH(nh=6, payloadlen=4, icv=bytes(12))
    assert seen(IPv6(**V6) / headers / signed / SYN).flags == packet.SYN
    assert seen(IP(proto=51, **V4) / signed / SYN).target_port == 443


def test_extension_headers_cut_short_are_not_understood() -> None:
    found = seen(IPv6(**V6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / HI, cut=46)
    assert (found.target, found.target_port, found.truncated) == (B6, 0, True)


def test_extension_headers_without_end_are_not_understood() -> None:
    """Each of them is another layer of scapy's recursion."""
    for count in (100, 5000):
        endless = bytes(IPv6(nh=60, plen=8 * count, **V6)) + b"\x3c\0\x01\x04\0\0\0\0" * count
        assert seen(endless).truncated


TUNNELS = {
    "IP in IP": IP(**V4) / IP(src="10.1.1.1", dst="10.2.2.2") / HI,
    "6in4": IP(**V4) / IPv6(**V6) / HI,
    "4in6": IPv6(**V6) / IP(**V4) / HI,
    "GRE": IP(**V4) / GRE(key_present=1, seqnum_present=1) / IP(**V4) / HI,
    "GRE with Ethernet": IP(**V4) / GRE() / Ether() / IPv6(**V6) / HI,
    "behind an extension header": IPv6(**V6) / IPv6ExtHdrDestOpt() / IP(**V4) / HI,
}


@pytest.mark.parametrize("name", TUNNELS)
def test_a_tunnel_is_its_own_packet_with_another_inside(name: str) -> None:
    found = seen(TUNNELS[name])
    assert found.protocol in {4, 41, 47}
    assert found.target in {B4, B6}
    assert found.inner
    assert (found.inner.target_port, found.inner.payload, found.inner.truncated) == (53, b"hi", False)


def test_a_tunnel_in_a_tunnel_is_followed_to_a_bound() -> None:
    def depth(found: Packet | None) -> int:
        return 1 + depth(found.inner) if found else 0

    layers: Any = HI
    depths = []
    for _ in range(8):
        layers = IP(**V4) / layers
        depths.append(depth(read(layers)))
    assert depths == [1, 2, 3, 4, 5, 5, 5, 5]


def test_a_tunnel_that_holds_no_ip_has_nothing_inside() -> None:
    found = seen(IP(proto=47, **V4) / b"\0\0\x88\xb5hello")
    assert (found.protocol, found.inner, found.truncated) == (47, None, False)


@pytest.mark.parametrize(
    ("ethertype", "carrier"),
    [
        (0x8100, Dot1Q() / Dot1Q()),
        (0x88A8, Dot1Q()),
        (0x8847, MPLS(s=0) / MPLS(s=1)),
        (0x8864, PPPoE() / PPP(proto=0x21)),
    ],
)
def test_what_has_no_address_of_its_own_is_the_packet_that_it_carries(ethertype: int, carrier: Any) -> None:
    assert seen(carrier / IP(**V4) / HI, ethertype) == seen(IP(**V4) / HI)
    assert dissect(ethertype, b"\0") is None


@pytest.fixture
def without_scapy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "scapy.config", None)
    encapsulation._loaded.cache_clear()
    yield
    encapsulation._loaded.cache_clear()


@pytest.mark.usefixtures("without_scapy")
def test_without_scapy_only_the_addresses_are_known() -> None:
    found = seen(IP(**V4) / IPv6(**V6) / HI)
    assert (found.protocol, found.target, found.truncated, found.inner) == (41, B4, True, None)
    assert read(Dot1Q() / IP(**V4) / HI, 0x8100) is None
    assert seen(IP(**V4) / HI).payload == b"hi"


def test_what_scapy_trips_over_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(_data: bytes) -> None:
        raise KeyError

    scapy = encapsulation._scapy()
    assert scapy
    monkeypatch.setattr(encapsulation, "_scapy", lambda: scapy._replace(ip=trip, carrier={0x8100: trip}))
    assert seen(IP(**V4) / IPv6(**V6) / HI).truncated
    assert read(Dot1Q() / IP(**V4) / HI, 0x8100) is None


PROGRAM = """
import os, sys
before = dict(os.environ)
from airgap_check.dissect import dns, encrypted_dns, hello, http, link, packet, quic
assert not {"scapy", "cryptography", "dns"} & set(sys.modules)
assert packet.dissect(0x8100, bytes.fromhex(sys.argv[1])).payload == b"hi"
assert "scapy" in sys.modules
assert dict(os.environ) == before
"""


def test_scapy_comes_late_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = bytes(Dot1Q() / IP(**V4) / HI).hex()
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.getcwd(),
        "XDG_DATA_HOME": "/nowhere",
    }
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", PROGRAM, data],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(home.iterdir()) == []
