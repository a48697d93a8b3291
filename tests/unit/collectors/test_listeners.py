from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.collectors import listeners
from airgap_check.evidence import Evidence, Listener
from airgap_check.evidence.fact import Process, Workload
from airgap_check.kernel.sock_diag import CLOSE, ESTABLISHED, LISTEN
from tests.stock import KnownOwners, inventory, namespace, row

if TYPE_CHECKING:
    from airgap_check.kernel.inventory import Inventory

NGINX = Process(pid=20, name="nginx")
UNIT = Workload(kind="unit", id="nginx.service", name="nginx.service")


def collect(stock: Inventory) -> Evidence:
    return listeners.collect(stock, None)


def found(**tables: list[Any]) -> list[Listener]:
    evidence = collect(inventory(namespace(tables=tables)))
    return [record for record in evidence.records if isinstance(record, Listener)]


def test_a_listener_has_its_place_process_workload_and_user() -> None:
    owners = KnownOwners({1: 20}, {20: NGINX}, {20: UNIT})
    evidence = collect(inventory(namespace(7, {"tcp": [row("0.0.0.0", 443, state=LISTEN)]}), owners=owners))
    (record,) = evidence.records
    assert isinstance(record, Listener)
    assert (record.netns, record.protocol, record.local.address, record.local.port) == (7, "tcp", "0.0.0.0", 443)
    assert (record.process, record.workload, record.user) == (NGINX, UNIT, "root")
    assert (evidence.kind, evidence.status) == ("listeners", "complete")
    assert evidence.counts == {"listeners": 1, "namespaces": 1}


def test_the_workload_of_a_listener_that_nobody_holds_is_that_of_its_cgroup() -> None:
    owners = KnownOwners(cgroups={5: UNIT})
    stock = inventory(namespace(tables={"tcp": [row("0.0.0.0", 443, state=LISTEN, cgroup=5, inode=0)]}), owners=owners)
    (record,) = collect(stock).records
    assert isinstance(record, Listener)
    assert (record.workload, record.user) == (UNIT, None)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(("table", "state"), [("tcp", LISTEN), ("udp", CLOSE)])
def test_what_listens_on_loopback_is_no_concern(address: str, table: str, state: int) -> None:
    assert found(**{table: [row(address, 53, "0.0.0.0", 0, state)]}) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "fe80::1", "224.0.0.251", "8.8.8.8"])
@pytest.mark.parametrize(("table", "state"), [("tcp", LISTEN), ("udp", CLOSE), ("udplite", CLOSE)])
def test_what_listens_anywhere_else_is_recorded(address: str, table: str, state: int) -> None:
    (record,) = found(**{table: [row(address, 53, "0.0.0.0", 0, state)]})
    assert (record.local.address, record.local.port) == (address, 53)
    assert record.protocol == ("tcp" if table == "tcp" else "udp")


def test_a_tcp_listener_counts_on_whatever_port() -> None:
    assert len(found(tcp=[row("0.0.0.0", 50000, state=LISTEN)])) == 1


@pytest.mark.parametrize("port", [32768, 60999, 68, 546])
def test_a_udp_socket_of_an_ephemeral_port_or_a_dhcp_client_serves_nobody(port: int) -> None:
    assert found(udp=[row("0.0.0.0", port, state=CLOSE)]) == []
    assert len(found(tcp=[row("0.0.0.0", port, state=LISTEN)])) == 1


@pytest.mark.parametrize("port", [67, 547, 61000, 32767])
def test_a_udp_socket_of_a_fixed_port_serves(port: int) -> None:
    assert len(found(udp=[row("0.0.0.0", port, state=CLOSE)])) == 1


def test_what_is_connected_does_not_wait() -> None:
    assert found(tcp=[row("10.0.0.1", 22, "10.0.0.9", 50000, ESTABLISHED)]) == []
    assert found(udp=[row("10.0.0.1", 514, "10.0.0.9", 50000, ESTABLISHED)]) == []


def test_sockets_of_one_process_that_share_a_port_are_one_listener() -> None:
    owners = KnownOwners({1: 20, 2: 20}, {20: NGINX})
    rows = [row("0.0.0.0", 443, state=LISTEN, inode=inode) for inode in (1, 2)]
    assert len(collect(inventory(namespace(tables={"tcp": rows}), owners=owners)).records) == 1


def test_the_gaps_of_the_inventory_are_gaps_here_too() -> None:
    evidence = collect(inventory(namespace(), failures=("may not read",)))
    assert (evidence.status, evidence.reason) == ("partial", "may not read")


def test_without_time_for_owners_the_listeners_are_still_told() -> None:
    stock = inventory(namespace(tables={"tcp": [row("0.0.0.0", 443, state=LISTEN)]}))
    evidence = listeners.collect(stock, time.monotonic() - 1)
    assert (evidence.status, len(evidence.records)) == ("partial", 1)
