from __future__ import annotations

import errno
import socket
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest

from airgap_check.evidence import Connection
from airgap_check.evidence.fact import Endpoint, Process, Workload, endpoint
from airgap_check.kernel import inventory, netns
from airgap_check.kernel.destroy_events import Ended
from airgap_check.kernel.inventory import Inventory, NamespaceSockets
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.owner import Owners
from airgap_check.kernel.sock_diag import CLOSE, ESTABLISHED, LISTEN, TIME_WAIT, Row
from airgap_check.observers import sockdiag
from airgap_check.observers.observer import Epoch, UnobservableError
from airgap_check.observers.sockdiag import SockdiagEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.observers.identity import Identity

EPOCH = Epoch(datetime(2026, 1, 1, tzinfo=UTC), 0, 0)
HERE, THERE = Namespace(1, "process", (5,)), Namespace(2, "process", (6,))
EPHEMERAL = range(32768, 61000)
OURS, PUBLIC = "10.0.0.1", "93.184.216.34"


def packed(text: str) -> bytes:
    return ip_address(text).packed


def ended(
    remote: str = PUBLIC,
    port: int = 443,
    *,
    local: str = OURS,
    local_port: int = 40000,
    protocol: int = 6,
    cookie: int = 1,
) -> Ended:
    return Ended(protocol, packed(local), local_port, packed(remote), port, cookie)


def row(state: int, local_port: int, remote: str = "0.0.0.0", port: int = 0, *, cookie: int = 9, inode: int = 0) -> Row:
    family = socket.AF_INET
    return Row(family, state, packed(OURS), local_port, packed(remote), port, 1000, inode, cookie, 33)


class Channel:
    """Stands for the events of one namespace."""

    def __init__(self, buffer: int) -> None:
        self.buffer, self.nonsense, self.closed = buffer, 0, 0
        self.waiting: list[Ended] = []
        self.overruns = 0

    def fileno(self) -> int:
        return 42

    def read(self, most: int) -> tuple[list[Ended], int]:
        if self.overruns < 0:
            raise PermissionError(errno.EPERM, "not permitted")
        found, self.waiting = self.waiting[:most], self.waiting[most:]
        overruns, self.overruns = self.overruns, 0
        return found, overruns

    def close(self) -> None:
        self.closed += 1


class Who:
    """Stands for `Identity`."""

    def process(self, pid: int, _started: int, _command: bytes, _uid: int, _at: int = 0) -> Process | None:
        return Process(pid=pid, name="node") if pid else None

    def workload(self, number: int) -> Workload:
        return Workload(kind="unit", id=str(number), name=str(number))

    def user(self, uid: int) -> str:
        return str(uid)

    def end(self, _inode: int, address: bytes, port: int | None = None, *, datagram: bool = True) -> Endpoint:
        assert datagram in {True, False}
        return endpoint(ip_address(address), port)

    def failures(self) -> list[str]:
        return []


class Host:
    """The kernel as the observer meets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.channels: list[Channel] = []
        self.rows: list[Row] = []
        self.later: tuple[list[Row], list[Row]] | OSError = ([], [])
        self.gone: dict[int, OSError] = {}
        self.alive = [HERE, THERE]
        self.failures: tuple[str, ...] = ()
        self.modules: tuple[str, ...] = ()
        monkeypatch.setattr(netns, "inside", self._inside)
        monkeypatch.setattr(netns, "discover", lambda: (self.alive, []))
        monkeypatch.setattr(inventory, "take", self._take)
        monkeypatch.setattr(sockdiag, "DestroyEvents", self._listen)
        monkeypatch.setattr(sockdiag, "_tables", self._tables)

    def watch(self, *namespaces: Namespace, **how: Any) -> SockdiagEvents:
        return SockdiagEvents(namespaces or (HERE,), EPOCH, cast("Identity", Who()), **how)

    def _inside(self, namespace: Namespace, work: Callable[[], object]) -> object:
        if namespace.inode in self.gone:
            raise self.gone[namespace.inode]
        return work()

    def _listen(self, buffer: int) -> Channel:
        self.channels.append(Channel(buffer))
        return self.channels[-1]

    def _tables(self) -> tuple[list[Row], list[Row]]:
        if isinstance(self.later, OSError):
            raise self.later
        return self.later

    def _take(self, found: tuple[list[Namespace], list[str]], _deadline: float | None) -> Inventory:
        tables = {"tcp": self.rows, "udp": [], "udplite": []}
        stock = tuple(
            NamespaceSockets(namespace, tables, frozenset(), frozenset(), EPHEMERAL, 0, {}) for namespace in found[0]
        )
        owners = Owners(lambda inode: inode if inode < 900 else None, cast("Any", None))
        return Inventory(stock, 1, owners, self.failures, self.modules)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def seen(observer: SockdiagEvents) -> list[Connection]:
    return list(observer.finish().of(Connection))


def test_sockets_that_are_alike_are_one_record(host: Host) -> None:
    observer = host.watch()
    host.channels[0].waiting = [ended(local_port=port, cookie=port) for port in (40000, 40001, 40002)]
    (record,) = seen(observer)
    assert (record.seen, record.state, record.direction, record.protocol) == ("sockdiag", "closed", "outbound", "tcp")
    assert (record.local.port, record.remote.address, record.remote.port) == (None, PUBLIC, 443)
    assert (record.count, record.ownerless, record.process, record.user) == (3, True, None, None)
    assert record.first is not None
    assert record.last is not None
    assert record.first <= record.last


def test_a_refused_connection_has_no_port(host: Host) -> None:
    observer = host.watch()
    host.channels[0].waiting = [ended(port=0)]
    (record,) = seen(observer)
    assert (record.remote.address, record.remote.port, record.direction) == (PUBLIC, None, "outbound")


def test_an_attempt_that_never_had_a_port_of_its_own_is_outbound(host: Host) -> None:
    observer = host.watch()
    host.channels[0].waiting = [ended(port=50000, local_port=0)]
    assert [record.direction for record in seen(observer)] == ["outbound"]


def test_who_was_called_is_told_by_the_listener(host: Host) -> None:
    host.rows = [row(LISTEN, 50443)]
    observer = host.watch()
    host.channels[0].waiting = [ended(port=51000, local_port=50443), ended(port=51001, local_port=50443)]
    (record,) = seen(observer)
    assert (record.direction, record.local.port, record.remote.port, record.count) == ("inbound", 50443, None, 2)


def test_a_connected_udp_socket_calls(host: Host) -> None:
    observer = host.watch()
    host.channels[0].waiting = [ended(protocol=17, port=53)]
    assert [(record.protocol, record.direction) for record in seen(observer)] == [("udp", "outbound")]


def test_loopback_and_sockets_without_a_peer_are_counted_only(host: Host) -> None:
    observer = host.watch()
    host.channels[0].waiting = [
        ended("127.9.9.9"), ended("::1", local="::1"), ended("::ffff:127.0.0.1", local="::1"), ended("0.0.0.0"),
        ended("::", local="::"),
    ]  # fmt: skip
    evidence = observer.finish()
    assert evidence.records == ()
    assert (evidence.status, evidence.counts["loopback"], evidence.counts["without_peer"]) == ("complete", 3, 2)


def test_a_socket_that_was_in_the_tables_has_its_owner(host: Host) -> None:
    host.rows = [row(ESTABLISHED, 40000, PUBLIC, 443, cookie=7, inode=88)]
    observer = host.watch()
    host.channels[0].waiting = [ended(cookie=7), ended(cookie=8)]
    owned, other = seen(observer)
    assert owned.process is not None
    assert owned.workload is not None
    assert (owned.process.pid, owned.workload.name, owned.user, owned.ownerless) == (88, "33", "1000", False)
    assert other.ownerless


def test_an_owner_that_could_not_be_told_is_not_made_up(host: Host) -> None:
    host.rows = [row(ESTABLISHED, 40000, PUBLIC, 443, cookie=7, inode=900)]
    observer = host.watch()
    host.channels[0].waiting = [ended(cookie=7)]
    (record,) = seen(observer)
    assert (record.process, record.user, record.ownerless) == (None, "1000", False)


def test_what_is_new_is_told_once(host: Host) -> None:
    observer = host.watch()
    host.channels[0].waiting = [ended()]
    observer.drain()
    assert len(observer.fresh()) == 1
    host.channels[0].waiting = [ended(cookie=2)]
    observer.drain()
    assert observer.fresh() == []
    assert [record.count for record in seen(observer)] == [2]


def test_after_an_overrun_the_tables_are_read_again(host: Host) -> None:
    host.rows = [row(TIME_WAIT, 40009, "10.3.3.3", 1, cookie=3)]  # ended before we began
    observer = host.watch()
    host.channels[0].overruns = 2
    host.channels[0].waiting = [ended()]
    host.later = (
        [
            row(TIME_WAIT, 40001, "10.2.2.2", 25, cookie=4),
            row(TIME_WAIT, 40002, "10.2.2.2", 25, cookie=5),
            row(TIME_WAIT, 40003, PUBLIC, 443, cookie=6),  # seen as an event already
            row(TIME_WAIT, 40004, "127.0.0.1", 25, cookie=8),
            row(ESTABLISHED, 40005, "10.4.4.4", 26, cookie=12, inode=77),
            row(LISTEN, 50443, cookie=11, inode=78),
            *host.rows,
        ],
        [row(CLOSE, 53, cookie=13)],
    )
    observer.drain()
    host.channels[0].waiting = [ended(local_port=50443, port=51000), ended("10.4.4.4", 26, cookie=12)]
    evidence = observer.finish()
    records = {
        (record.remote.address, record.direction): (record.count, record.user) for record in evidence.of(Connection)
    }
    assert records == {
        (PUBLIC, "outbound"): (1, None),
        ("10.2.2.2", "outbound"): (2, None),
        (PUBLIC, "inbound"): (1, None),
        ("10.4.4.4", "outbound"): (1, "1000"),
    }
    assert (evidence.status, evidence.lost) == ("partial", 2)
    assert evidence.reason == "events were lost 2 times, how many is unknown"


def test_tables_that_cannot_be_read_after_an_overrun_end_the_watch_there(host: Host) -> None:
    observer = host.watch()
    host.channels[0].overruns = 1
    host.later = PermissionError(errno.EPERM, "not permitted")
    assert "could not read the tables after events were lost: net:[1] (not permitted)" in observer.finish().reason


def test_events_that_cannot_be_read_end_the_watch_there(host: Host) -> None:
    observer = host.watch(HERE, THERE)
    host.channels[0].overruns = -1
    host.channels[1].waiting = [ended()]
    evidence = observer.finish()
    assert "could not read the events of a network namespace: net:[1] (not permitted)" in evidence.reason
    assert len(evidence.records) == 1
    assert [channel.closed for channel in host.channels] == [1, 1]


def test_more_than_one_reading_is_finished(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockdiag, "_AT_ONCE", 2)
    observer = host.watch()
    host.channels[0].waiting = [ended(cookie=cookie) for cookie in range(7)]
    assert [record.count for record in seen(observer)] == [7]


def test_memory_is_bounded_and_what_is_not_kept_is_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockdiag, "_MOST_GROUPS", 3)
    observer = host.watch()
    host.channels[0].waiting = [ended(f"10.0.0.{number}") for number in range(1, 8)]
    evidence = observer.finish()
    assert (len(evidence.records), evidence.lost, evidence.status) == (3, 4, "partial")
    assert "4 ended sockets were not kept" in evidence.reason


def test_a_small_buffer_is_a_blind_spot(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockdiag, "DestroyEvents", lambda _: Channel(1000))
    assert any("the buffer holds few events" in spot for spot in host.watch().finish().blind)
    monkeypatch.setattr(sockdiag, "DestroyEvents", Channel)
    assert not any("the buffer holds few events" in spot for spot in host.watch().finish().blind)


def test_the_buffers_of_many_namespaces_stay_within_bounds(host: Host) -> None:
    observer = host.watch(*(Namespace(number, "process") for number in range(1, 101)))
    assert sum(channel.buffer for channel in host.channels) <= 1 << 28
    assert min(channel.buffer for channel in host.channels) >= 1 << 20
    observer.close()


def test_a_namespace_that_is_set_aside_leaves_nothing(host: Host) -> None:
    observer = host.watch(HERE, THERE)
    host.channels[0].waiting = [ended()]
    host.channels[1].waiting = [ended("10.2.2.2")]
    observer.drain()
    observer.set_aside(1)
    observer.set_aside(99)
    assert [record.netns for record in observer.fresh() if isinstance(record, Connection)] == [2]
    assert [record.remote.address for record in seen(observer)] == ["10.2.2.2"]


def test_a_namespace_that_only_we_keep_alive_is_let_go(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockdiag, "_LOOK_SECONDS", 0.0)
    observer = host.watch(HERE, THERE, Namespace(3, "socket"))
    host.alive = [HERE]
    host.channels[1].waiting = [ended()]
    observer.drain()
    assert [channel.closed for channel in host.channels] == [0, 1, 0]
    evidence = observer.finish()
    assert (evidence.counts["vanished"], len(evidence.records), evidence.status) == (1, 1, "complete")


def test_a_namespace_that_cannot_be_listened_in_is_a_gap(host: Host) -> None:
    host.gone = {2: PermissionError(errno.EPERM, "not permitted")}
    assert "could not listen in a network namespace: net:[2] (not permitted)" in host.watch(HERE, THERE).finish().reason


def test_a_namespace_that_has_gone_is_none(host: Host) -> None:
    host.gone = {2: ProcessLookupError(errno.ESRCH, "gone")}
    evidence = host.watch(HERE, THERE).finish()
    assert (evidence.status, evidence.counts["namespaces"]) == ("complete", 1)


def test_nothing_to_listen_in_is_said(host: Host) -> None:
    host.gone = {1: OSError(errno.EPROTONOSUPPORT, "Protocol not supported")}
    with pytest.raises(UnobservableError, match="Protocol not supported"):
        host.watch(HERE)


def test_what_the_stock_could_not_see_is_said(host: Host) -> None:
    host.failures = ("could not read something",)
    assert host.watch().finish().reason == "could not read something"


def test_a_stock_that_fails_leaves_nothing_open(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Inventory:
        raise MemoryError

    monkeypatch.setattr(inventory, "take", refuse)
    with pytest.raises(MemoryError):
        host.watch()
    assert host.channels[0].closed == 1


def test_there_is_a_channel_to_poll_until_it_is_closed(host: Host) -> None:
    observer = host.watch(HERE, THERE)
    assert observer.filenos() == (42, 42)
    observer.close()
    observer.close()
    assert observer.filenos() == ()
    assert [channel.closed for channel in host.channels] == [1, 1]


def test_modules_that_the_kernel_loaded_for_us_are_said(host: Host) -> None:
    host.modules = ("tcp_diag",)
    assert host.watch().finish().blind[-1] == "not blind, but changed: the kernel loaded tcp_diag because we asked"
