from __future__ import annotations

import pytest

from airgap_check.kernel.peer import Peers
from tests.stock import inventory, namespace, packed


def scope(address: str, *namespaces: object, seen_from: int = 0) -> str:
    """Return the scope of an address as seen from one of several namespaces; the first is the initial one."""
    stock = inventory(*namespaces)  # type: ignore[arg-type]
    return Peers(stock.namespaces[seen_from], stock)[packed(address)].scope


HOST = namespace(1, addresses=("10.0.0.1", "93.184.216.34", "fe80::1"), broadcasts=("10.0.0.255", "93.184.216.255"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", "own"),
        ("::ffff:10.0.0.1", "own"),
        ("93.184.216.34", "own"),
        ("fe80::1", "own"),
        ("10.0.0.255", "broadcast"),
        ("93.184.216.255", "broadcast"),
        ("255.255.255.255", "broadcast"),
        ("10.0.0.2", "private"),
        ("8.8.8.8", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::8.8.8.8", "public"),
        ("64:ff9b::10.0.0.1", "private"),
        ("127.0.0.1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("224.0.0.251", "multicast"),
    ],
)
def test_the_scope_of_a_peer_of_the_host(address: str, expected: str) -> None:
    assert scope(address, HOST) == expected


def test_a_loopback_address_stays_loopback_although_it_is_on_an_interface() -> None:
    assert scope("127.0.0.1", namespace(1, addresses=("127.0.0.1",))) == "loopback"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("172.17.0.2", "host"), ("100.64.0.9", "host"), ("fe80::9", "host"), ("8.8.8.8", "public")],
)
def test_a_container_of_this_host_is_host_unless_its_address_is_public(address: str, expected: str) -> None:
    container = namespace(2, addresses=("172.17.0.2", "100.64.0.9", "fe80::9", "8.8.8.8"))
    assert scope(address, HOST, container) == expected


def test_addresses_that_anybody_gave_himself_are_not_host() -> None:
    assert scope("10.9.9.9", HOST, namespace(2, addresses=("10.9.9.9",), maker=1000)) == "private"
    assert scope("10.9.9.9", HOST, namespace(2, addresses=("10.9.9.9",), maker=-1)) == "private"


@pytest.mark.parametrize(("maker", "expected"), [(1000, "host"), (0, "host"), (1001, "private")])
def test_containers_of_one_user_are_host_to_each_other(maker: int, expected: str) -> None:
    ours, other = namespace(2, maker=1000), namespace(3, addresses=("10.89.0.3",), maker=maker)
    assert scope("10.89.0.3", HOST, ours, other, seen_from=1) == expected


def test_namespaces_of_unknown_makers_are_not_host_to_each_other() -> None:
    ours, other = namespace(2, maker=-1), namespace(3, addresses=("10.89.0.3",), maker=-1)
    assert scope("10.89.0.3", HOST, ours, other, seen_from=1) == "private"


@pytest.mark.parametrize("address", ["8.8.8.8", "169.254.169.254", "8.8.8.255"])
def test_nobody_whitewashes_a_public_address_by_giving_it_to_a_namespace_of_his_own(address: str) -> None:
    washed = namespace(2, addresses=("8.8.8.8", "169.254.169.254"), broadcasts=("8.8.8.255",))
    assert scope(address, HOST, washed, seen_from=1) in {"public", "metadata"}


def test_only_the_initial_namespace_has_broadcast_addresses() -> None:
    decreed = namespace(2, addresses=("10.66.6.5",), broadcasts=("10.66.6.6",))
    assert scope("10.66.6.6", HOST, decreed, seen_from=1) == "private"
    assert scope("255.255.255.255", HOST, decreed, seen_from=1) == "broadcast"
    assert scope("10.66.6.6", decreed._replace(namespace=HOST.namespace)) == "broadcast"


def test_a_private_address_of_the_sockets_own_namespace_is_own() -> None:
    assert scope("10.1.1.1", HOST, namespace(2, addresses=("10.1.1.1",), maker=1000), seen_from=1) == "own"


def test_a_public_address_that_the_host_has_too_is_own_in_a_namespace_that_has_it() -> None:
    assert scope("93.184.216.34", HOST, namespace(2, addresses=("93.184.216.34",)), seen_from=1) == "own"
    assert scope("93.184.216.34", HOST, namespace(2), seen_from=1) == "public"


def test_an_address_is_judged_once() -> None:
    stock = inventory(HOST)
    peers = Peers(HOST, stock)
    assert peers[packed("10.0.0.1")] is peers[packed("10.0.0.1")]
