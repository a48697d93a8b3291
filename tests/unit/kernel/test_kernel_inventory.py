from __future__ import annotations

import errno
import gc
import os
import socket
import time

import pytest

from airgap_check.kernel import inventory, netns, proc_net, procfs, rtnetlink, sock_diag
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.refusal import Refusals
from airgap_check.kernel.sock_diag import LISTEN, Row

ME = os.getpid()
OURS = Namespace(netns.own_inode(), "process", (ME,))


def take(*namespaces: Namespace, deadline: float | None = None) -> inventory.Inventory:
    return inventory.take((list(namespaces), []), deadline)


@pytest.fixture(autouse=True)
def _only_our_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep other processes, which may hold namespaces of their own, out of the picture."""
    monkeypatch.setattr(procfs, "pids", lambda: [ME])


def fail(number: int) -> object:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_our_sockets_are_listed_with_their_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stock = take(OURS)
        port, inode = server.getsockname()[1], os.fstat(server.fileno()).st_ino
    (sockets,) = stock.namespaces
    assert [row.inode for row in sockets.tables["tcp"] if row.local_port == port and row.state == LISTEN] == [inode]
    assert stock.owners.pid(inode) == ME
    assert stock.initial == OURS.inode
    assert set(sockets.tables) == {"tcp", "udp", "udplite", "raw", "icmp", "packet"}


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPROTONOSUPPORT, errno.EACCES])
def test_without_netlink_proc_tells_the_same(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("::1", 0))
        ours = {os.fstat(sock.fileno()).st_ino for sock in (server, client, datagrams)}

        def rows(stock: inventory.Inventory) -> set[Row]:
            tables = stock.namespaces[0].tables
            mine = [row for rows in tables.values() for row in rows if row.inode in ours]
            return {row._replace(cookie=0, cgroup=0, v6only=False) for row in mine}

        by_netlink = rows(take(OURS))
        monkeypatch.setattr(sock_diag, "connect", fail(number))
        stock = take(OURS)
        assert rows(stock) == by_netlink
        assert len(by_netlink) == 3
        assert not any("tcp" in failure or "udp" in failure for failure in stock.failures)


def test_where_neither_netlink_nor_proc_tells_it_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sock_diag, "connect", fail(errno.ENOENT))
    monkeypatch.setattr(proc_net, "read", fail(errno.ENOENT))
    failures = take(OURS).failures
    where = f"of a network namespace: net:[{OURS.inode}] (No such file or directory)"
    assert f"could not read the tcp sockets {where}" in failures
    assert f"could not read the udp sockets {where}" in failures
    assert not any("udplite" in failure or "raw" in failure for failure in failures)  # a kernel may do without


def test_a_table_that_may_not_be_read_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc_net, "read_packet", fail(errno.EACCES))
    where = f"of a network namespace: net:[{OURS.inode}] (Permission denied)"
    assert f"could not read the packet sockets {where}" in take(OURS).failures


def test_unknown_addresses_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtnetlink, "addresses", fail(errno.EINTR))
    assert any("could not read the addresses" in failure for failure in take(OURS).failures)


def test_a_namespace_that_vanished_is_no_gap() -> None:
    stock = take(Namespace(1, "process", (1 << 30,)))
    assert stock.namespaces == ()
    assert stock.failures == ()


def test_a_namespace_that_may_not_be_joined_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "inside", fail(errno.EPERM))
    assert take(OURS).failures == (f"could not join a network namespace: net:[{OURS.inode}] (Operation not permitted)",)


def test_what_was_not_found_stays_said() -> None:
    assert "said before" in inventory.take(([OURS], ["said before"]), None).failures


def test_without_time_the_inventory_says_what_is_missing() -> None:
    stock = take(OURS, OURS, deadline=time.monotonic() - 1)
    assert stock.failures == ("time was up with 2 network namespaces still unread",)
    assert stock.namespaces == ()


def test_a_socket_whose_namespace_cannot_be_learnt_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "of_socket", fail(errno.EPERM))
    with socket.socket():  # bound to nothing, so in no table
        failures = take(OURS).failures
    assert any("could not learn the network namespace of a socket" in failure for failure in failures)


@pytest.mark.parametrize(
    ("in_use", "untabled"),
    [
        ({"TCP": 5, "UDPv6": 1, "SCTP": 0}, {}),
        ({"SCTPv6": 1}, {}),  # the kernel's own
        ({"SCTP": 1}, {}),
        ({"SCTP": 1, "SCTPv6": 1}, {"SCTP": 1}),
        ({"SCTPv6": 3, "AF_VSOCK": 1}, {"SCTPv6": 2, "AF_VSOCK": 1}),
        ({"SMC": 1}, {"SMC": 1}),
    ],
)
def test_sockets_without_a_table_are_counted_but_for_the_kernels_own(
    monkeypatch: pytest.MonkeyPatch, in_use: dict[str, int], untabled: dict[str, int]
) -> None:
    monkeypatch.setattr(proc_net, "sockets_in_use", lambda: in_use)
    assert take(OURS).namespaces[0].untabled == untabled


@pytest.mark.parametrize(("maker", "start"), [(0, 400), (1000, 32768), (-1, 32768)])
def test_the_port_range_of_a_namespace_that_anybody_made_is_the_initial_ones(
    monkeypatch: pytest.MonkeyPatch, maker: int, start: int
) -> None:
    made = Namespace(2, "process", (ME,))
    real = inventory._look_around(OURS, Refusals())
    sockets = {
        OURS: real._replace(namespace=OURS, maker=1000, ephemeral=range(32768, 60000)),
        made: real._replace(namespace=made, maker=maker, ephemeral=range(400, 500)),
    }
    monkeypatch.setattr(netns, "inside", lambda namespace, _: sockets[namespace])
    ours, other = take(OURS, made).namespaces
    assert ours.ephemeral == range(32768, 60000)
    assert other.ephemeral.start == start


def test_without_the_initial_namespace_the_kernels_own_port_range_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Namespace(2, "process", (1,))
    real = inventory._look_around(OURS, Refusals())
    rigged = real._replace(namespace=made, maker=1000, ephemeral=range(400, 500))
    monkeypatch.setattr(netns, "inside", lambda *_: rigged)
    assert take(Namespace(3, "process", (ME,))).namespaces[0].ephemeral == range(32768, 61000)


def test_modules_that_we_made_the_kernel_load_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = iter([{"inet_diag"}, {"inet_diag", "tcp_diag", "udp_diag"}])
    monkeypatch.setattr(inventory, "_diag_modules", lambda: next(loaded))
    assert take(OURS).modules == ("tcp_diag", "udp_diag")


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, *, enabled: bool) -> None:
    states = []
    monkeypatch.setattr(netns, "inside", lambda *_: states.append(gc.isenabled()))
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        take(OURS)
        assert gc.isenabled() == enabled
        assert states == [False]
    finally:
        (gc.enable if was else gc.disable)()


def test_nothing_is_left_open() -> None:
    take(OURS)
    before = sorted(os.listdir("/proc/self/fd"))
    take(OURS)
    assert sorted(os.listdir("/proc/self/fd")) == before
