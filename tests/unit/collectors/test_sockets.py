from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.collectors import sockets
from airgap_check.evidence import Connection, Evidence
from airgap_check.evidence.fact import Process, Workload
from airgap_check.kernel.sock_diag import CLOSE, LISTEN, SYN_SENT, TIME_WAIT
from tests.stock import KnownOwners, inventory, namespace, row

if TYPE_CHECKING:
    from airgap_check.kernel.inventory import Inventory

NODE, CURL = Process(pid=20, name="node"), Process(pid=30, name="curl")
UNIT = Workload(kind="unit", id="objectos.service", name="objectos.service")
JOB = Workload(kind="unit", id="job.service", name="job.service")


def collect(stock: Inventory, *, owners: bool = True) -> Evidence:
    return sockets.collect(stock, lambda _: owners, None)


def connections(stock: Inventory, *, owners: bool = True) -> list[Connection]:
    return [record for record in collect(stock, owners=owners).records if isinstance(record, Connection)]


def tcp(*rows: Any, **more: Any) -> Inventory:
    return inventory(namespace(tables={"tcp": list(rows)}), **more)


def test_an_outbound_connection_has_both_ends_but_not_the_ephemeral_port() -> None:
    (record,) = connections(tcp(row("10.0.0.1", 40000, "8.8.8.8", 443, SYN_SENT)))
    assert (record.netns, record.protocol, record.state, record.direction) == (1, "tcp", "SYN-SENT", "outbound")
    assert (record.local.address, record.local.port) == ("10.0.0.1", None)
    assert (record.remote.address, record.remote.port, record.remote.scope) == ("8.8.8.8", 443, "public")
    assert record.count == 1


def test_sockets_alike_but_for_the_ephemeral_port_are_one_record() -> None:
    rows = [row("10.0.0.1", 40000 + number, "10.0.0.9", 5432, inode=number) for number in range(1, 101)]
    (record,) = connections(tcp(*rows))
    assert record.count == 100


def test_callers_of_one_listener_are_one_record_an_address() -> None:
    rows = [row("10.0.0.1", 8080, peer, port) for peer in ("10.0.0.7", "10.0.0.8") for port in (50000, 50001)]
    found = connections(tcp(row("0.0.0.0", 8080, state=LISTEN), *rows))
    assert [(record.direction, record.remote.address, record.remote.port, record.count) for record in found] == [
        ("inbound", "10.0.0.7", None, 2),
        ("inbound", "10.0.0.8", None, 2),
    ]
    assert {record.local.port for record in found} == {8080}


@pytest.mark.parametrize(("port", "shown"), [(443, 443), (1023, 1023), (1024, None), (50000, None)])
def test_the_port_of_a_caller_is_left_out_unless_only_services_have_it(port: int, shown: int | None) -> None:
    (record,) = connections(tcp(row("0.0.0.0", 7777, state=LISTEN), row("10.0.0.1", 7777, "93.184.216.34", port)))
    assert (record.direction, record.remote.port) == ("inbound", shown)


def test_where_nobody_knows_who_called_both_ports_stay() -> None:
    (record,) = connections(tcp(row("10.0.0.1", 700, "10.0.0.9", 2049)))
    assert (record.direction, record.local.port, record.remote.port) == ("unknown", 700, 2049)


@pytest.mark.parametrize(
    "change",
    [
        {"remote": "10.0.0.8"},
        {"remote_port": 5433},
        {"local": "10.0.0.3"},
        {"state": TIME_WAIT, "inode": 0},
        {"uid": 99},
        {"cgroup": 8},
        {"state": SYN_SENT},
    ],
)
def test_what_differs_is_told_apart(change: dict[str, Any]) -> None:
    facts: dict[str, Any] = {"remote": "10.0.0.9", "remote_port": 5432, "local": "10.0.0.1", "cgroup": 7, "uid": 1}
    stock = tcp(row(**facts), row(**{**facts, **change}), owners=KnownOwners(cgroups={7: UNIT, 8: JOB}))
    assert len(connections(stock)) == 2


def test_cgroups_of_one_workload_are_one_record() -> None:
    rows = [row(remote="10.0.0.9", remote_port=5432, cgroup=cgroup) for cgroup in (7, 8)]
    (record,) = connections(tcp(*rows, owners=KnownOwners(cgroups={7: UNIT, 8: UNIT})))
    assert (record.workload, record.count) == (UNIT, 2)


def test_a_mapped_peer_is_plain_ipv4_and_the_same_as_a_plain_one() -> None:
    found = connections(
        tcp(
            row("::ffff:10.0.0.1", 40000, "::ffff:8.8.8.8", 443),
            row("10.0.0.1", 40001, "8.8.8.8", 443),
        )
    )
    assert [(record.remote.address, record.remote.scope, record.count) for record in found] == [
        ("8.8.8.8", "public", 1),
        ("8.8.8.8", "public", 1),
    ]
    assert found[0].remote.wrapped == "mapped"


def test_a_wrapped_peer_keeps_both_forms() -> None:
    (record,) = connections(tcp(row("fd00::1", 40000, "64:ff9b::808:808", 443)))
    assert (record.remote.address, record.remote.inner, record.remote.scope) == (
        "64:ff9b::808:808",
        "8.8.8.8",
        "public",
    )


@pytest.mark.parametrize(
    ("table", "address", "scope"),
    [
        ("tcp", "10.0.0.255", "private"),
        ("tcp", "93.184.216.255", "public"),
        ("tcp", "::ffff:10.0.0.255", "private"),
        ("raw", "10.0.0.255", "private"),
        ("udp", "10.0.0.255", "broadcast"),
        ("udplite", "10.0.0.255", "broadcast"),
    ],
)
def test_only_datagrams_are_broadcast(table: str, address: str, scope: str) -> None:
    rows = [row("10.0.0.1", 40000, address, 443)]
    (record,) = connections(
        inventory(namespace(tables={table: rows}, broadcasts=("10.0.0.255", "93.184.216.255"))),
    )
    assert record.remote.scope == scope


def test_sockets_of_other_hosts_in_no_table_are_a_gap() -> None:
    evidence = collect(inventory(namespace(1, untabled={"SCTP": 2}), namespace(2, untabled={"SCTP": 1, "SMC6": 1})))
    assert evidence.status == "partial"
    assert evidence.reason == (
        "the peers of 3 SCTP sockets stand in no table that we can read; "
        "the peers of 1 SMC6 sockets stand in no table that we can read"
    )


@pytest.mark.parametrize("untabled", [{"AF_VSOCK": 2}, {"SCTP": 0}, {"ALG": 1}])
def test_sockets_that_reach_no_other_host_need_no_table(untabled: dict[str, int]) -> None:
    assert collect(inventory(namespace(untabled=untabled))).status == "complete"


def test_loopback_is_counted_and_not_recorded() -> None:
    evidence = collect(tcp(row("127.0.0.1", 40000, "127.0.0.1", 5432), row("::1", 40000, "::1", 5432)))
    assert evidence.records == ()
    assert evidence.counts["loopback"] == 2


def test_processes_split_a_group() -> None:
    rows = [row("10.0.0.1", 40000 + inode, "10.0.0.9", 5432, inode=inode) for inode in (1, 2, 3)]
    owners = KnownOwners({1: 20, 2: 30, 3: 20}, {20: NODE, 30: CURL})
    found = connections(tcp(*rows, owners=owners))
    assert {(record.process, record.count) for record in found} == {(NODE, 2), (CURL, 1)}


def test_processes_are_not_looked_up_where_they_do_not_matter() -> None:
    asked: list[Connection] = []
    owners = KnownOwners({1: 20}, {20: NODE})
    stock = tcp(row(remote="10.0.0.9", remote_port=5432), row(remote="127.0.0.1"), owners=owners)

    def wants_owner(connection: Connection) -> bool:
        asked.append(connection)
        return False

    evidence = sockets.collect(stock, wants_owner, None)
    assert [record.process for record in evidence.records if isinstance(record, Connection)] == [None]
    assert [connection.remote.address for connection in asked] == ["10.0.0.9"]
    assert evidence.counts["owner_unknown"] == 0


def test_where_a_process_is_now_says_more_than_where_its_socket_was_made() -> None:
    made_elsewhere = row(remote="10.0.0.9", remote_port=5432, cgroup=7)
    owners = KnownOwners({1: 20}, {20: NODE}, workloads={20: JOB}, cgroups={7: UNIT})
    (record,) = connections(tcp(made_elsewhere, owners=owners))
    assert record.workload == JOB
    (record,) = connections(tcp(made_elsewhere, owners=KnownOwners({1: 20}, {20: NODE}, cgroups={7: UNIT})))
    assert record.workload == UNIT


def test_a_socket_that_nobody_holds_any_more_has_no_user_and_no_process() -> None:
    evidence = collect(tcp(row(remote="10.0.0.9", remote_port=5432, state=TIME_WAIT, inode=0)))
    (record,) = evidence.records
    assert isinstance(record, Connection)
    assert (record.ownerless, record.user, record.process, record.workload) == (True, None, None, None)
    assert evidence.counts["owner_unknown"] == evidence.counts["time_wait"] == 1


def test_a_socket_that_nobody_holds_is_of_the_workload_whose_namespace_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = KnownOwners()
    monkeypatch.setattr(owners, "workload_of_namespace", lambda found: UNIT if found.inode == 1 else None)
    (record,) = connections(tcp(row(remote="10.0.0.9", state=TIME_WAIT, inode=0), owners=owners))
    assert record.workload == UNIT
    (record,) = connections(tcp(row(remote="10.0.0.9"), owners=owners))
    assert record.workload is None


def test_a_process_that_cannot_be_named_is_counted() -> None:
    rows = [row("10.0.0.1", 40000 + inode, "10.0.0.9", 5432, inode=inode) for inode in (1, 2)]
    evidence = collect(tcp(*rows, owners=KnownOwners({1: 20})))  # 20 has vanished, nobody holds 2
    assert evidence.counts["owner_unknown"] == 2
    assert [record.count for record in evidence.records if isinstance(record, Connection)] == [2]


def test_the_user_is_named() -> None:
    (record,) = connections(tcp(row(remote="10.0.0.9", uid=0)))
    assert record.user == "root"


def test_what_waits_is_counted_and_not_recorded() -> None:
    stock = inventory(
        namespace(
            tables={
                "tcp": [row("0.0.0.0", 22, state=LISTEN)],
                "udp": [row("0.0.0.0", 514, state=CLOSE), row("0.0.0.0", 50000, state=CLOSE)],
            }
        )
    )
    evidence = collect(stock)
    assert evidence.records == ()
    assert (evidence.counts["listeners"], evidence.counts["unconnected_udp"]) == (1, 2)
    assert evidence.blind[0] == "where datagrams go that are not for a connected peer (2 unconnected UDP sockets)"


def test_connected_udp_is_a_connection() -> None:
    stock = inventory(namespace(tables={"udp": [row("10.0.0.1", 40000, "9.9.9.9", 53)]}))
    (record,) = connections(stock)
    assert (record.protocol, record.state, record.direction, record.remote.port) == ("udp", "ESTAB", "outbound", 53)


def test_udp_lite_is_udp_by_another_state() -> None:
    (record,) = connections(inventory(namespace(tables={"udplite": [row(remote="9.9.9.9", remote_port=53)]})))
    assert (record.protocol, record.state) == ("udp", "ESTAB UDP-Lite")


@pytest.mark.parametrize(
    ("table", "given", "state", "local", "remote"),
    [
        ("raw", row("0.0.0.0", 112, state=CLOSE), "proto 112", "0.0.0.0", "0.0.0.0"),
        ("raw", row("10.0.0.1", 1, "10.0.0.9", 0), "proto 1", "10.0.0.1", "10.0.0.9"),
        ("raw", row("::", 58, "::", 0, CLOSE), "proto 58", "::", "::"),
        ("icmp", row("0.0.0.0", 4711, state=CLOSE), "proto 1", "0.0.0.0", "0.0.0.0"),
        ("icmp", row("::", 4711, "::", 0, CLOSE), "proto 58", "::", "::"),
        ("packet", row()._replace(local=b"", remote=b"", local_port=3), "ethertype 0x0003", None, None),
    ],
)
def test_a_socket_that_can_send_anything_is_a_record_even_unconnected(
    table: str, given: Any, state: str, local: str | None, remote: str | None
) -> None:
    stock = inventory(namespace(tables={table: [given]}), owners=KnownOwners({1: 20}, {20: NODE}))
    (record,) = connections(stock)
    assert (record.protocol, record.state, record.direction) == (table, state, "unknown")
    assert (record.local.address, record.remote.address) == (local, remote)
    assert record.remote.port is None
    assert record.remote.scope == ("private" if remote == "10.0.0.9" else "unspecified")
    assert record.process == NODE
    assert collect(stock).counts["raw"] == 1


def test_namespaces_are_told_apart_and_counted() -> None:
    rows = {"tcp": [row(remote="10.0.0.9", remote_port=5432)]}
    evidence = collect(inventory(namespace(1, rows), namespace(2, rows)))
    assert [record.netns for record in evidence.records if isinstance(record, Connection)] == [1, 2]
    assert evidence.counts["namespaces"] == 2
    assert "2 network namespaces" in evidence.scope


def test_what_everything_came_to_is_counted() -> None:
    stock = tcp(row(remote="10.0.0.9"), row(remote="127.0.0.1"), row("0.0.0.0", 22, state=LISTEN))
    assert collect(stock, owners=False).counts == {
        "sockets": 3, "loopback": 1, "listeners": 1, "unconnected_udp": 0, "time_wait": 0, "raw": 0,
        "owner_unknown": 0, "namespaces": 1,
    }  # fmt: skip


def test_an_inventory_without_gaps_is_complete() -> None:
    evidence = collect(tcp())
    assert (evidence.kind, evidence.status, evidence.reason) == ("sockets", "complete", "")


def test_a_gap_makes_it_partial_and_is_named() -> None:
    evidence = collect(tcp(failures=("could not join", "may not read")))
    assert (evidence.status, evidence.reason) == ("partial", "could not join; may not read")


def test_nothing_read_at_all_is_unavailable() -> None:
    evidence = collect(inventory())
    assert (evidence.status, evidence.reason) == ("unavailable", "no network namespace could be read")
    assert collect(inventory(failures=("refused",))).reason == "refused"


def test_without_time_for_owners_the_connections_are_still_told() -> None:
    owners = KnownOwners({1: 20}, {20: NODE})
    stock = tcp(row(remote="8.8.8.8", remote_port=443), owners=owners)
    evidence = sockets.collect(stock, lambda _: True, time.monotonic() - 1)
    assert (evidence.status, evidence.reason) == ("partial", "time was up before every owner was looked up")
    (record,) = evidence.records
    assert isinstance(record, Connection)
    assert record.process is None


def test_protocols_without_a_table_and_loaded_modules_are_told() -> None:
    stock = inventory(namespace(1, untabled={"SCTP": 2}), namespace(2, untabled={"SCTP": 1}), modules=("tcp_diag",))
    blind = collect(stock).blind
    assert "3 SCTP sockets, a protocol without a table" in blind
    assert any("the kernel loaded tcp_diag" in text for text in blind)


def test_a_state_that_we_do_not_know_is_shown_as_a_number() -> None:
    (record,) = connections(tcp(row(remote="10.0.0.9", state=13)))
    assert record.state == "state 13"
