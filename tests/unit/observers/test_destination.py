from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel.foreign_socket import Kind
from airgap_check.kernel.programs.event import CONNECT4, CONNECT6, SENDMSG4, SENDMSG6
from airgap_check.kernel.socket_call import Sent
from airgap_check.observers.destination import Destination, destination

TCP, TCP6, MPTCP = Kind(2, 1, 6), Kind(10, 1, 6), Kind(10, 1, 262)
UDP, UDP6, PING, GRE = Kind(2, 2, 17), Kind(10, 2, 17), Kind(2, 2, 1), Kind(2, 3, 47)
RAW6, RAW_UDP, SCTP, SMC = Kind(10, 3, 58), Kind(2, 3, 17), Kind(2, 1, 132), Kind(43, 1, 0)
FAST_OPEN = 0x20000000


def name(address: str, port: int = 443, family: int | None = None) -> bytes:
    parsed = ip_address(address)
    if parsed.version == 4:
        return struct.pack("=H", 2 if family is None else family) + struct.pack(">H", port) + parsed.packed + bytes(8)
    return struct.pack("=H", 10) + struct.pack(">HI", port, 0) + parsed.packed + bytes(4)


def to(
    address: str, kind: Kind | None, *, connects: bool = True, flags: int = 0, family: int | None = None
) -> Destination | None:
    return destination(Sent(3, name(address, family=family), connects, flags), kind)


def told(found: Destination | None) -> tuple[int, str, int, int] | None:
    if found is None:
        return None
    address = ip_address(found.address)
    assert address.version == 6
    return found.hook, str(address.ipv4_mapped or address), found.port, found.protocol


@pytest.mark.parametrize(
    ("address", "kind", "expected"),
    [
        ("192.0.2.1", TCP, (CONNECT4, "192.0.2.1", 443, 6)),
        ("2001:db8::1", TCP6, (CONNECT6, "2001:db8::1", 443, 6)),
        ("::ffff:192.0.2.1", TCP6, (CONNECT6, "192.0.2.1", 443, 6)),
        ("2001:db8::1", MPTCP, (CONNECT6, "2001:db8::1", 443, 6)),
        ("192.0.2.1", UDP6, (CONNECT4, "192.0.2.1", 443, 17)),
        ("192.0.2.1", SMC, (CONNECT4, "192.0.2.1", 443, 6)),
        ("192.0.2.1", SCTP, (CONNECT4, "192.0.2.1", 443, 132)),
        ("192.0.2.1", PING, (CONNECT4, "192.0.2.1", 0, 1)),
        ("192.0.2.1", GRE, (CONNECT4, "192.0.2.1", 0, 255)),
        ("192.0.2.1", RAW_UDP, (CONNECT4, "192.0.2.1", 0, 255)),
        ("2001:db8::1", RAW6, (CONNECT6, "2001:db8::1", 0, 58)),
        ("192.0.2.1", None, (CONNECT4, "192.0.2.1", 443, 6)),
        ("192.0.2.1", Kind(1, 1, 0), None),
        ("192.0.2.1", Kind(17, 3, 8), None),
    ],
)
def test_who_connects_reaches_for_the_name(
    address: str, kind: Kind | None, expected: tuple[int, str, int, int] | None
) -> None:
    assert told(to(address, kind)) == expected


@pytest.mark.parametrize(
    ("address", "kind", "expected"),
    [
        ("192.0.2.1", UDP, (SENDMSG4, "192.0.2.1", 443, 17)),
        ("2001:db8::1", UDP6, (SENDMSG6, "2001:db8::1", 443, 17)),
        ("192.0.2.1", GRE, (SENDMSG4, "192.0.2.1", 0, 255)),
        ("192.0.2.1", SCTP, (SENDMSG4, "192.0.2.1", 443, 132)),
        ("192.0.2.1", TCP, None),
        ("192.0.2.1", None, (SENDMSG4, "192.0.2.1", 443, 17)),
    ],
)
def test_who_sends_reaches_for_the_name_but_by_tcp(
    address: str, kind: Kind | None, expected: tuple[int, str, int, int] | None
) -> None:
    assert told(to(address, kind, connects=False)) == expected


def test_fast_open_connects_by_sending() -> None:
    assert told(to("192.0.2.1", TCP, connects=False, flags=FAST_OPEN)) == (CONNECT4, "192.0.2.1", 443, 6)


def test_a_datagram_without_a_family_is_sent_and_a_connect_without_one_lets_go() -> None:
    assert told(to("192.0.2.1", UDP, connects=False, family=0)) == (SENDMSG4, "192.0.2.1", 443, 17)
    assert to("192.0.2.1", UDP6, connects=False, family=0) is None
    assert to("192.0.2.1", UDP, connects=True, family=0) is None


@pytest.mark.parametrize("length", range(16))
def test_a_name_that_is_too_short_for_the_kernel_leads_nowhere(length: int) -> None:
    assert destination(Sent(3, name("192.0.2.1")[:length], connects=True), TCP) is None


def test_an_ipv6_name_may_lack_its_scope() -> None:
    assert destination(Sent(3, name("2001:db8::1")[:24], connects=True), TCP6) is not None
    assert destination(Sent(3, name("2001:db8::1")[:23], connects=True), TCP6) is None


KINDS = st.none() | st.builds(Kind, st.sampled_from([1, 2, 10, 17, 43]), st.integers(1, 10), st.integers(0, 300))


@given(st.builds(Sent, st.just(3), st.binary(max_size=28), st.booleans(), st.integers(0, 2**32 - 1)), KINDS)
def test_whatever_the_name_is_it_is_an_address_or_nothing(sent: Sent, kind: Kind | None) -> None:
    found = destination(sent, kind)
    if found is not None:
        assert len(found.address) == 16
        assert 0 <= found.port < 1 << 16
        assert 0 <= found.protocol < 1 << 8
        assert found.family in {socket.AF_INET, socket.AF_INET6}
