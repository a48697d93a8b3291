from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from airgap_check.kernel import local_table, rtnetlink
from airgap_check.kernel.local_table import LocalTable, Route
from airgap_check.kernel.rtnetlink import InterfaceAddress

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def packed(text: str) -> bytes:
    return ip_address(text).packed


def message(prefix: int, kind: int = 20, **attributes: str) -> bytes:
    body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, 2)
    for name, text in attributes.items():
        value = packed(text)
        body += struct.pack("=HH", 4 + len(value), {"address": 1, "local": 2, "broadcast": 4}[name]) + value
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def parsed(*messages: bytes) -> list[InterfaceAddress]:
    found: list[InterfaceAddress] = []
    assert rtnetlink.parse(b"".join(messages) + DONE, found)
    return found


def test_an_address_has_its_prefix_and_broadcast() -> None:
    (address,) = parsed(message(24, address="10.1.2.3", local="10.1.2.3", broadcast="10.1.2.200"))
    assert address == InterfaceAddress(packed("10.1.2.3"), 24, packed("10.1.2.200"))
    assert address.broadcasts() == {packed("10.1.2.200"), packed("10.1.2.255")}


def test_the_other_end_of_a_point_to_point_link_is_not_ours() -> None:
    (address,) = parsed(message(32, address="10.8.0.2", local="10.8.0.1"))
    assert address.address == packed("10.8.0.1")
    assert address.broadcasts() == set()


def test_an_ipv6_address_has_no_broadcast() -> None:
    (address,) = parsed(message(64, address="fd00::1"))
    assert address == InterfaceAddress(packed("fd00::1"), 64, None)
    assert address.broadcasts() == set()


def test_messages_of_another_kind_are_passed_over() -> None:
    assert parsed(message(24, kind=16, address="10.1.2.3")) == []


def test_a_cut_message_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        rtnetlink.parse(struct.pack("=IHHII", 20, 20, 2, 1, 0) + bytes(4), [])


def test_a_change_during_the_dump_is_tried_again_and_then_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted() -> list[InterfaceAddress]:
        calls.append(1)
        raise InterruptedError

    monkeypatch.setattr(rtnetlink, "_list_addresses", interrupted)
    with pytest.raises(InterruptedError):
        rtnetlink.addresses()
    assert len(calls) == 5


def held(monkeypatch: pytest.MonkeyPatch, *routes: tuple[str, int, int]) -> list[InterfaceAddress]:
    """Return what counts as an address of a namespace with one interface and these routes of its own."""
    table = LocalTable(Route(packed(to), prefix, kind) for to, prefix, kind in routes)
    monkeypatch.setattr(rtnetlink, "_list_addresses", lambda: [InterfaceAddress(packed("10.1.2.3"), 24, None)])
    monkeypatch.setattr(local_table, "read", lambda: table)
    return rtnetlink.addresses()


def test_an_address_counts_only_with_its_local_route_and_its_broadcast_address_with_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, neighbours = ("10.1.2.3", 32, 2), ("10.1.2.255", 32, 3)
    (address,) = held(monkeypatch, own, neighbours)
    assert address.address == packed("10.1.2.3")
    assert address.broadcasts() == {packed("10.1.2.255")}
    assert [one.broadcasts() for one in held(monkeypatch, own)] == [frozenset()]
    assert held(monkeypatch, neighbours) == []


def test_a_namespace_without_addresses_is_not_asked_for_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtnetlink, "_list_addresses", list)
    monkeypatch.setattr(local_table, "read", lambda: pytest.fail("asked"))
    assert rtnetlink.addresses() == []


def test_this_kernel_lists_our_addresses() -> None:
    # Whatever the network namespace that the tests run in, addresses have the size of addresses.
    assert all(len(address.address) in {4, 16} for address in rtnetlink.addresses())
