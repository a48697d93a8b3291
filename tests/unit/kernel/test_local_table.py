"""What a namespace delivers to itself, by the routes in its own table."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import local_table, netlink, routing_rule
from airgap_check.kernel.local_table import LocalTable, Route

if TYPE_CHECKING:
    from collections.abc import Callable

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
UNICAST, LOCAL, BROADCAST, ANYCAST = 1, 2, 3, 4
ADDRESS = "10.66.6.6"


def packed(text: str) -> bytes:
    return ip_address(text).packed


def table(*routes: tuple[str, int]) -> LocalTable:
    networks = [(ip_network(text), kind) for text, kind in routes]
    return LocalTable(Route(network.network_address.packed, network.prefixlen, kind) for network, kind in networks)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ((), False),
        (((f"{ADDRESS}/32", LOCAL),), True),
        ((("10.66.6.0/24", LOCAL),), True),
        ((("0.0.0.0/0", LOCAL),), True),
        (((f"{ADDRESS}/32", BROADCAST),), False),
        (((f"{ADDRESS}/32", UNICAST),), False),
        ((("10.66.7.0/24", LOCAL),), False),
        ((("10.66.6.0/24", LOCAL), (f"{ADDRESS}/32", UNICAST)), False),
        ((("10.66.6.0/24", UNICAST), (f"{ADDRESS}/32", LOCAL)), True),
        (((f"{ADDRESS}/32", LOCAL), (f"{ADDRESS}/32", UNICAST)), False),
        (((f"{ADDRESS}/32", LOCAL), (f"{ADDRESS}/32", 0)), False),
        ((("::/0", LOCAL),), False),
    ],
)
def test_an_address_is_delivered_here_if_every_route_of_the_longest_prefix_says_so(
    routes: tuple[tuple[str, int], ...], *, expected: bool
) -> None:
    assert table(*routes).delivers(packed(ADDRESS)) is expected


def test_an_anycast_address_is_delivered_here_too() -> None:
    assert table(("fd00::/128", ANYCAST)).delivers(packed("fd00::"))


def test_a_broadcast_address_has_a_route_that_says_so() -> None:
    assert table(("10.1.2.255/32", BROADCAST)).broadcasts(packed("10.1.2.255"))
    assert not table(("10.1.2.255/32", LOCAL)).broadcasts(packed("10.1.2.255"))


def message(destination: str, prefix: int, kind: int = LOCAL, **changes: int) -> bytes:
    value = packed(destination)
    family = socket.AF_INET if len(value) == 4 else socket.AF_INET6
    facts = {"source": 0, "tos": 0, "table": 255, "flags": 0, "type": 24, **changes}
    body = struct.pack(
        "=BBBBBBBBI", family, prefix, facts["source"], facts["tos"], facts["table"], 2, 0, kind, facts["flags"]
    )
    body += struct.pack("=HH", 4 + len(value), 1) + value
    return struct.pack("=IHHII", 16 + len(body), facts["type"], 2, 1, 0) + body


def parsed(*messages: bytes) -> list[Route]:
    found: list[Route] = []
    assert local_table.parse(b"".join(messages) + DONE, found)
    return found


def test_a_route_has_its_destination_prefix_and_kind() -> None:
    assert parsed(message("10.0.0.0", 8), message("fd00::", 64, ANYCAST)) == [
        Route(packed("10.0.0.0"), 8, LOCAL), Route(packed("fd00::"), 64, ANYCAST),
    ]  # fmt: skip


@pytest.mark.parametrize("changes", [{"source": 32}, {"tos": 16}, {"flags": 1}, {"flags": 0x200}], ids=str)
def test_a_route_for_some_packets_only_says_nothing(changes: dict[str, int]) -> None:
    assert parsed(message(ADDRESS, 32, **changes)) == [Route(packed(ADDRESS), 32, 0)]


@pytest.mark.parametrize("changes", [{"table": 254}, {"type": 20}], ids=str)
def test_other_tables_and_messages_are_passed_over(changes: dict[str, int]) -> None:
    assert parsed(message(ADDRESS, 32, **changes)) == []


def test_a_cut_message_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        local_table.parse(struct.pack("=IHHII", 20, 24, 2, 1, 0) + bytes(4), [])


def test_our_own_loopback_address_is_delivered_here() -> None:
    with socket.create_server(("127.0.0.1", 0)):  # so there is one
        assert local_table.read().delivers(packed("127.0.0.1"))


def test_where_a_rule_comes_before_nothing_is_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing_rule, "local_first", lambda family: family != socket.AF_INET)
    assert not local_table.read().delivers(packed("127.0.0.1"))
    monkeypatch.setattr(routing_rule, "local_first", lambda _: True)
    assert local_table.read().delivers(packed("127.0.0.1"))


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, "so the test says")

    return fail


def test_a_table_that_is_not_there_is_empty_and_one_that_cannot_be_read_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netlink, "dump", failing(errno.ENOENT))
    assert not local_table.read().delivers(packed("127.0.0.1"))
    monkeypatch.setattr(netlink, "dump", failing(errno.EPERM))
    with pytest.raises(OSError, match="so the test says"):
        local_table.read()
