from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors.direction import TcpDirection, UdpDirection
from airgap_check.kernel.peer import plain
from airgap_check.kernel.sock_diag import CLOSE, ESTABLISHED, LISTEN, SYN_RECEIVED, SYN_SENT, TIME_WAIT, Row

if TYPE_CHECKING:
    from airgap_check.evidence import Direction

EPHEMERAL = range(32768, 61000)


def packed(text: str) -> bytes:
    return ip_address(text).packed


def row(state: int, local: str, port: int, *, v6only: bool = False) -> Row:
    return Row(socket.AF_INET, state, packed(local), port, packed("0.0.0.0"), 0, 0, 1, v6only=v6only)


def tcp(listener: Row | None, local: str, port: int, remote_port: int, state: int = ESTABLISHED) -> Direction:
    direction = TcpDirection([listener] if listener else [], EPHEMERAL, EPHEMERAL)
    return direction.of(state, packed(local), port, remote_port)


def udp(server: Row | None, port: int, remote_port: int) -> Direction:
    return UdpDirection([server] if server else [], EPHEMERAL).of(ESTABLISHED, packed("10.0.0.1"), port, remote_port)


@pytest.mark.parametrize(
    ("port", "remote_port", "direction"),
    [(50000, 8443, "outbound"), (8450, 443, "outbound"), (700, 8443, "unknown"), (2000, 50000, "unknown")],
)
def test_a_port_range_of_ones_own_makes_no_caller_of_a_server(
    port: int, remote_port: int, direction: Direction
) -> None:
    ours = TcpDirection([], range(8400, 8501), EPHEMERAL)
    assert ours.of(ESTABLISHED, packed("10.0.0.1"), port, remote_port) == direction


def test_whoever_sends_a_syn_calls_even_from_a_port_he_listens_on() -> None:
    assert tcp(row(LISTEN, "0.0.0.0", 443), "10.0.0.1", 443, 50000, SYN_SENT) == "outbound"


@pytest.mark.parametrize("state", [ESTABLISHED, SYN_RECEIVED, TIME_WAIT])
@pytest.mark.parametrize(
    ("listener", "local"),
    [
        ("0.0.0.0", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("::", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("::", "10.0.0.1"),
        ("::", "::ffff:10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:0.0.0.0", "::ffff:10.0.0.1"),
        ("0.0.0.0", "::ffff:10.0.0.1"),
    ],
)
def test_what_a_listener_accepted_is_inbound(listener: str, local: str, state: int) -> None:
    # Both ports are such that without the listener it would be outbound.
    assert tcp(row(LISTEN, listener, 40000), local, 40000, 443, state) == "inbound"
    assert tcp(None, local, 40000, 443, state) == "outbound"


@pytest.mark.parametrize(
    ("listener", "local", "port"),
    [
        ("10.0.0.2", "10.0.0.1", 40000),
        ("0.0.0.0", "10.0.0.1", 40001),
        ("0.0.0.0", "fd00::1", 40000),
        ("::1", "fd00::1", 40000),
    ],
)
def test_a_listener_elsewhere_accepted_nothing_here(listener: str, local: str, port: int) -> None:
    assert tcp(row(LISTEN, listener, 40000), local, port, 443) == "outbound"


def test_a_listener_for_ipv6_only_accepted_no_ipv4() -> None:
    listener = row(LISTEN, "::", 40000, v6only=True)
    assert tcp(listener, "::ffff:10.0.0.1", 40000, 443) == "outbound"
    assert tcp(listener, "fd00::1", 40000, 443) == "inbound"


def test_a_socket_that_does_not_listen_is_no_listener() -> None:
    assert tcp(row(ESTABLISHED, "0.0.0.0", 40000), "10.0.0.1", 40000, 443) == "outbound"


@pytest.mark.parametrize(
    ("local_port", "remote_port", "expected"),
    [
        (32768, 443, "outbound"),
        (60999, 443, "outbound"),
        (40000, 50000, "outbound"),
        (22, 32768, "inbound"),
        (22, 60999, "inbound"),
        (22, 61000, "unknown"),
        (664, 40000, "inbound"),
        (665, 40000, "unknown"),
        (700, 2049, "unknown"),
        (1023, 40000, "unknown"),
        (1024, 40000, "inbound"),
        (61000, 443, "unknown"),
    ],
)
def test_without_a_listener_the_ephemeral_port_tells(local_port: int, remote_port: int, expected: str) -> None:
    assert tcp(None, "10.0.0.1", local_port, remote_port) == expected


@pytest.mark.parametrize(
    ("server", "port", "remote_port", "expected"),
    [
        (514, 514, 40000, "inbound"),
        (None, 514, 40000, "outbound"),
        (515, 514, 40000, "outbound"),
        (123, 123, 123, "outbound"),
        (40000, 40000, 53, "outbound"),
        (None, 40000, 53, "outbound"),
        (68, 68, 67, "outbound"),
        (546, 546, 547, "outbound"),
    ],
)
def test_connected_udp_is_inbound_only_beside_its_server(
    server: int | None, port: int, remote_port: int, expected: str
) -> None:
    assert udp(row(CLOSE, "0.0.0.0", server) if server else None, port, remote_port) == expected


def test_a_connected_socket_is_no_server_of_another() -> None:
    assert udp(row(ESTABLISHED, "0.0.0.0", 514), 514, 40000) == "outbound"


def test_only_a_mapped_address_is_plain_ipv4() -> None:
    assert plain(packed("::ffff:8.8.8.8")) == packed("8.8.8.8")
    assert plain(packed("64:ff9b::8.8.8.8")) == packed("64:ff9b::8.8.8.8")
    assert plain(packed("8.8.8.8")) == packed("8.8.8.8")
