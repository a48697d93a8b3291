"""One connection is one finding: the rules share out every connection that is not approved, without overlap."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, get_args

import pytest

from airgap_check.address import Scope
from airgap_check.evidence import Allowed, Connection, Direction, Protocol, Sight
from airgap_check.evidence.fact import Endpoint
from airgap_check.view import ConnectionView
from tests.rules.rule_case import rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.rule.condition import Truth

RULES = [rule for rule in rules().rules if rule.kind == "connection"]
NEVER: tuple[Scope, ...] = ("loopback", "own", "host")
PORTS = (None, 67, 68, 443, 546, 547, 5353, 40000)
ADDRESSES: dict[Scope, str | None] = {"unspecified": "0.1.2.3", "unknown": None}


def views(allowed: Allowed, scopes: tuple[Scope, ...], directions: tuple[Direction, ...]) -> Iterator[ConnectionView]:
    for protocol, direction, scope, local, remote in product(get_args(Protocol), directions, scopes, PORTS, PORTS):
        far = Endpoint(address=ADDRESSES.get(scope, "192.0.2.1"), scope=scope, port=remote)
        yield ConnectionView(
            record=Connection(
                netns=1, protocol=protocol, state="ESTAB", direction=direction, local=Endpoint(port=local), remote=far
            ),
            remote=far,
            allowed=allowed,
        )


def decided(view: ConnectionView) -> dict[str, Truth]:
    return {rule.id: truth for rule in RULES if (truth := rule.when.decide(view)) is not False}


KNOWN: tuple[Scope, ...] = tuple(scope for scope in get_args(Scope) if scope not in {*NEVER, "unknown"})


def test_every_unlisted_egress_matches_exactly_one_rule() -> None:
    for view in views("no", KNOWN, ("outbound", "unknown")):
        found = decided(view)
        assert list(found.values()) == [True], (view, found)


def test_a_destination_of_unknown_scope_may_be_public_and_is_its_own_rule_s_business_too() -> None:
    for view in views("no", ("unknown",), ("outbound", "unknown")):
        found = decided(view)
        assert found.pop("connection.public-destination") is None
        assert found, view


def test_where_the_allowlist_is_undecided_exactly_one_rule_is_too() -> None:
    for view in views("unknown", KNOWN, ("outbound", "unknown")):
        found = decided(view)
        assert list(found.values()) == [None], (view, found)


@pytest.mark.parametrize(
    ("allowed", "scopes", "directions"),
    [
        ("yes", get_args(Scope), get_args(Direction)),
        ("no", NEVER, get_args(Direction)),
        ("unknown", NEVER, get_args(Direction)),
        ("no", get_args(Scope), ("inbound",)),
    ],
    ids=["approved", "of this host", "of this host and undecided", "inbound"],
)
def test_nothing_else_matches_any(
    allowed: Allowed, scopes: tuple[Scope, ...], directions: tuple[Direction, ...]
) -> None:
    for view in views(allowed, scopes, directions):
        # What a raw or packet socket is connected to does not keep it from sending elsewhere.
        elsewhere = view.record.protocol in {"raw", "packet"} and view.remote.scope in NEVER and allowed != "yes"
        outbound = view.record.direction != "inbound"
        assert set(decided(view)) == ({"connection.raw-socket"} if elsewhere and outbound else set()), view


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_socket_without_a_peer_matches_none(address: str, protocol: Protocol) -> None:
    far = Endpoint(address=address, scope="unspecified", port=0)
    record = Connection(
        netns=1, protocol=protocol, state="UNCONN", direction="unknown", local=Endpoint(port=5000), remote=far
    )
    assert decided(ConnectionView(record=record, remote=far, allowed="no")) == {}


SHARES = {
    ("tcp", "public", 40000, 443): "connection.public-destination",
    ("udp", "metadata", 68, 67): "connection.public-destination",
    ("tcp", "private", 40000, 443): "connection.not-allowlisted",
    ("udp", "internal", 40000, 67): "connection.not-allowlisted",
    ("tcp", "unspecified", 40000, 443): "connection.not-allowlisted",
    ("udp", "multicast", 5353, 5353): "connection.multicast",
    ("udp", "broadcast", 40000, 67): "connection.multicast",
    ("udp", "broadcast", 68, 67): "connection.dhcp",
    ("udp", "link-local", 546, 547): "connection.dhcp",
    ("udp", "private", 68, 67): "connection.not-allowlisted",
    ("packet", "private", None, 9999): "connection.not-allowlisted",
    ("packet", "broadcast", None, 67): "connection.raw-socket",
    ("icmp", "link-local", None, None): "connection.link-local-neighbour",
    ("packet", "link-local", None, None): "connection.raw-socket",
    ("raw", "multicast", None, None): "connection.multicast",
    ("raw", "unspecified", None, None): "connection.raw-socket",
    ("raw", "own", None, None): "connection.raw-socket",
    ("icmp", "private", None, None): "connection.not-allowlisted",
    ("raw", "private", None, None): "connection.not-allowlisted",
    ("packet", "unspecified", None, None): "connection.raw-socket",
}


@pytest.mark.parametrize(("place", "rule_id"), SHARES.items(), ids=str)
@pytest.mark.parametrize(("state", "seen"), [("ESTAB", "sockets"), ("attempt", "attempts"), ("SYN", "capture")])
def test_the_share_of_each_rule_is_the_same_whoever_saw_it(
    place: tuple[Protocol, Scope, int | None, int | None], rule_id: str, state: str, seen: Sight
) -> None:
    protocol, scope, local, remote = place
    far = Endpoint(address=ADDRESSES.get(scope, "192.0.2.1"), scope=scope, port=remote)
    record = Connection(
        netns=1, protocol=protocol, state=state, direction="outbound", local=Endpoint(port=local), remote=far, seen=seen
    )
    assert decided(ConnectionView(record=record, remote=far, allowed="no")) == {rule_id: True}
