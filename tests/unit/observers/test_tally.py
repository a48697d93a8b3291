from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest

from airgap_check.evidence.fact import Endpoint, Process, Workload, endpoint
from airgap_check.kernel.programs import event
from airgap_check.kernel.programs.event import Event
from airgap_check.kernel.programs.tables import Repeat
from airgap_check.observers import ledger
from airgap_check.observers.observer import Epoch
from airgap_check.observers.program import Clue
from airgap_check.observers.tally import Tally, Who

if TYPE_CHECKING:
    from airgap_check.address import Scope
    from airgap_check.observers.identity import Identity

START = datetime(2026, 11, 23, tzinfo=UTC)
EPOCH = Epoch(START, 0, 0)
UNIT = Workload(kind="unit", id="made.service", name="made.service")
PEERS = ("203.0.113.1", "203.0.113.2")
CURL = Who(42, 10, Clue(42, b"curl"))
SCOPES: dict[str, Scope] = {"10.0.0.1": "own", "10.0.0.2": "host", "127.0.0.1": "loopback"}


class Someone:
    """Knows everybody, and what is where in the namespace 4242 that has the cookie 7."""

    def namespace(self, cookie: int, *_: int) -> int:
        return 4242 if cookie == 7 else 0

    def workload(self, _: int) -> Workload:
        return UNIT

    def workload_of(self, *_: int) -> Workload:
        return UNIT

    def is_foreign_test(self, cgroup: int) -> bool:
        return cgroup == 666

    def user(self, uid: int) -> str:
        return str(uid)

    def process(self, pid: int, started: int, clue: Clue, uid: int, at: int = 0) -> Process | None:
        del uid, at
        return Process(pid=pid, started=EPOCH.at_boottime(started), name=clue.command.decode()) if pid else None

    def end(self, _: int, packed: bytes, port: int | None = None, *, datagram: bool = True) -> Endpoint:
        del datagram
        address = ip_address(packed)
        mapped = address.ipv4_mapped if address.version == 6 else None
        return endpoint(mapped or address, port, scope=SCOPES.get(str(mapped or address)))


def packed(address: str) -> bytes:
    parsed = ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def seen(address: str = "203.0.113.1", **fields: Any) -> Event:
    facts: dict[str, Any] = {
        "at": 1_000_000_000, "pid": 42, "tid": 42, "uid": 1000, "source": 0, "cgroup": 5, "netns": 7, "cookie": 99,
        "address": packed(address), "port": 443, "protocol": 6, "hook": event.CONNECT4, "family": socket.AF_INET,
        "type": socket.SOCK_STREAM, "flags": 0, "started": 10, "command": b"curl",
    }  # fmt: skip
    return Event(**(facts | fields))


def who(one: Event) -> Who:
    return Who(one.pid, one.started, Clue(one.tid, one.command))


def repeat(of: Event, times: int, **fields: Any) -> Repeat:
    process = of.cookie if of.hook in {event.EGRESS, event.QUEUE} else of.pid
    facts = {name: value for name, value in of._asdict().items() if name in Repeat._fields}
    return Repeat(**(facts | {"process": process, "times": times, "first": of.at, "last": of.at} | fields))


def a_tally(*, by_process: bool = True, limit: int = 100) -> Tally:
    return Tally(cast("Identity", Someone()), EPOCH, by_process=by_process, limit=limit)


def tallied(*events: Event, repeats: tuple[Repeat, ...] = ()) -> Tally:
    tally = a_tally()
    for each in events:
        tally.add(each, who(each))
    for again in repeats:
        tally.count(again)
    return tally


def counted(*events: Event, repeats: tuple[Repeat, ...] = ()) -> dict[str, int]:
    records = tallied(*events, repeats=repeats).records()
    found = {f"{record.protocol} {record.remote.address} {record.remote.port}": record.count for record in records}
    assert len(found) == len(records)
    return found


def test_an_attempt_is_a_record_with_all_that_is_known() -> None:
    (record,) = tallied(seen()).records()
    assert (record.netns, record.protocol, record.state, record.direction) == (4242, "tcp", "attempt", "outbound")
    assert record.remote == endpoint(ip_address("203.0.113.1"), 443)
    assert record.local == Endpoint(scope="unspecified")
    assert record.process == Process(pid=42, started=EPOCH.at_boottime(10), name="curl")
    assert (record.workload, record.user, record.seen, record.count) == (UNIT, "1000", "attempts", 1)
    assert record.first == record.last == START + timedelta(seconds=1)


def test_the_kernels_table_says_how_often_and_until_when() -> None:
    first = seen()
    (record,) = tallied(first, repeats=(repeat(first, 7, last=3_000_000_000),)).records()
    assert (record.count, record.last) == (7, START + timedelta(seconds=3))


def test_a_line_that_made_room_and_came_again_adds_up() -> None:
    first, again = seen(), seen(at=2_000_000_000)
    assert counted(first, again, repeats=(repeat(again, 4, last=4_000_000_000),)) == {"tcp 203.0.113.1 443": 5}


def test_the_table_is_counted_once_however_often_it_is_read() -> None:
    first = seen()
    assert counted(first, repeats=(repeat(first, 3), repeat(first, 3), repeat(first, 2))) == {"tcp 203.0.113.1 443": 3}


def test_what_the_table_holds_and_no_event_told_is_not_made_up() -> None:
    assert counted(seen(), repeats=(repeat(seen("203.0.113.9"), 3),)) == {"tcp 203.0.113.1 443": 1}


def test_processes_of_one_number_are_told_apart() -> None:
    records = tallied(seen(), seen(started=11)).records()
    assert {record.process.started for record in records if record.process} == {
        EPOCH.at_boottime(10),
        EPOCH.at_boottime(11),
    }


def test_a_connected_socket_that_sends_to_a_mapped_address_is_no_second_attempt() -> None:
    udp: dict[str, Any] = {"protocol": 17, "type": socket.SOCK_DGRAM, "family": socket.AF_INET6}
    connects, sends = seen(hook=event.CONNECT6, **udp), seen(hook=event.SENDMSG4, **udp)
    repeats = (repeat(connects, 2), repeat(sends, 9))
    assert counted(connects, sends, repeats=repeats) == {"udp 203.0.113.1 443": 2}
    assert counted(sends, repeats=repeats[1:]) == {"udp 203.0.113.1 443": 9}


def stated(*events: Event) -> list[tuple[str, int]]:
    return [(record.state, record.count) for record in tallied(*events).records()]


@pytest.mark.parametrize(
    ("hook", "fields"),
    [
        (event.SENDMSG4, {}),
        (event.SENDMSG4, {"family": socket.AF_INET6}),
        (event.EGRESS, {"cookie": 5}),
    ],
)
def test_a_datagram_socket_that_is_connected_only_has_sent_nothing_yet(hook: int, fields: dict[str, Any]) -> None:
    udp: dict[str, Any] = {"protocol": 17, "type": socket.SOCK_DGRAM}
    connects, sends = seen(**udp), seen(hook=hook, **(udp | fields))
    assert stated(connects) == [("connect", 1)]
    assert [state for state, _ in stated(connects, sends)] == ["attempt"]
    assert [state for state, _ in stated(sends, connects)] == ["attempt"]
    assert stated(seen()) == [("attempt", 1)], "TCP does speak when it connects"


def test_a_fact_is_told_again_when_data_was_seen() -> None:
    udp: dict[str, Any] = {"protocol": 17, "type": socket.SOCK_DGRAM}
    tally = tallied(seen(**udp))
    assert [record.state for record in tally.fresh()] == ["connect"]
    tally.add(seen(hook=event.SENDMSG4, **udp), CURL)
    assert [record.state for record in tally.fresh()] == ["attempt"]
    tally.add(seen(hook=event.SENDMSG4, type=socket.SOCK_RAW, protocol=17), CURL)
    assert tally.fresh() == []


def workers(number: int, *, times: int = 1, limit: int = 100) -> Tally:
    tally = a_tally(limit=limit)
    for pid in range(1, number + 1):
        one = seen(pid=pid, tid=pid, at=pid)
        tally.add(one, who(one))
        tally.count(repeat(one, times))
    return tally


def test_many_processes_that_do_the_same_are_few_facts() -> None:
    tally = workers(1000, times=3)
    found = [(record.process.pid, record.count) for record in tally.records() if record.process]
    assert found == [*((pid, 3) for pid in range(1, 9)), (1000, 992 * 3)]
    assert (tally.unkept, tally.repeats(), len(tally.fresh())) == (0, 2000, 9)
    last = tally.records()[-1]
    assert (last.first, last.last) == (EPOCH.at_monotonic(9), EPOCH.at_monotonic(1000))


def test_what_differs_by_more_than_the_process_is_never_folded() -> None:
    tally = workers(20)
    ways: tuple[dict[str, Any], ...] = ({"command": b"wget"}, {"port": 444}, {"protocol": 17})
    for number, differs in enumerate(ways, 50):
        one = seen(pid=number, tid=number, **differs)
        tally.add(one, who(one))
    assert len(tally.records()) == 9 + 3


def test_lines_are_given_up_and_what_they_had_counted_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_LINES", 10)
    tally = workers(1000, times=3)
    assert sum(record.count for record in tally.records()) == 3000
    assert tally.repeats() == 2000
    assert len(tally._ledger._lines) + len(tally._ledger._passing) == 8 + 2 + 10
    assert tally.records()[-1].last == EPOCH.at_monotonic(1000)


def test_connecting_and_sending_without_are_two_ways_and_both_count() -> None:
    udp: dict[str, Any] = {"protocol": 17, "type": socket.SOCK_DGRAM}
    connects, sends = seen(**udp), seen(hook=event.SENDMSG4, **udp)
    assert counted(connects, sends, repeats=(repeat(connects, 2), repeat(sends, 3))) == {"udp 203.0.113.1 443": 5}


def test_the_packets_of_a_ping_socket_that_had_connected_are_no_second_attempt() -> None:
    ping: dict[str, Any] = {"protocol": 1, "type": socket.SOCK_DGRAM, "port": 0}
    packets = seen(hook=event.EGRESS, cookie=5, **ping)
    assert counted(seen(**ping), packets, repeats=(repeat(packets, 9),)) == {"icmp 203.0.113.1 None": 1}
    assert counted(packets, repeats=(repeat(packets, 9),)) == {"icmp 203.0.113.1 None": 9}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"protocol": 6}, "tcp 203.0.113.1 443"),
        ({"protocol": 136}, "udp 203.0.113.1 443"),
        ({"protocol": 58, "port": 7}, "icmp 203.0.113.1 None"),
        ({"protocol": 47, "port": 0, "hook": event.EGRESS}, "raw 203.0.113.1 None"),
        ({"protocol": 132, "hook": event.EGRESS}, "raw 203.0.113.1 443"),
        ({"protocol": 17, "hook": event.EGRESS}, "udp 203.0.113.1 443"),
        ({"protocol": 17, "hook": event.QUEUE}, "packet 203.0.113.1 443"),
        ({"protocol": 0, "hook": event.QUEUE, "port": 0x0806, "address": bytes(16)}, "packet None 2054"),
    ],
)
def test_a_protocol_is_named_by_what_leaves(fields: dict[str, Any], told: str) -> None:
    assert counted(seen(**fields)) == {told: 1}


@pytest.mark.parametrize("address", [*SCOPES, "0.0.0.0", "::"])
def test_what_stays_here_is_counted_only(address: str) -> None:
    tally = tallied(seen(address))
    assert (tally.records(), tally.fresh(), tally.own) == ([], [], 1)


def test_a_reply_is_inbound_whatever_port_it_goes_to() -> None:
    answers = [seen(to, hook=event.SENDMSG4, protocol=17, flags=event.REPLY, port=0, source=53) for to in PEERS]
    tally = tallied(*answers, repeats=tuple(repeat(each, 9) for each in answers))
    for record in tally.records():
        assert (record.direction, record.state, record.remote.port, record.count) == ("inbound", "reply", None, 9)
        assert record.local == Endpoint(scope="unspecified")
    assert (len(tally.records()), tally.replies) == (2, 2)


def test_only_the_port_of_a_dhcp_client_is_told() -> None:
    asks: dict[str, Any] = {"hook": event.SENDMSG4, "protocol": 17, "port": 67}
    client = seen(**asks, source=68, flags=event.FROM_DHCP_CLIENT)
    others = seen(**asks, source=40001)
    records = tallied(client, others, repeats=(repeat(client, 2), repeat(others, 5))).records()
    assert [(record.local, record.count) for record in records] == [
        (Endpoint(scope="unspecified", port=68), 2),
        (Endpoint(scope="unspecified"), 5),
    ]


def test_an_unknown_process_is_nobody() -> None:
    (record,) = tallied(seen(pid=0)).records()
    assert record.process is None
    assert record.workload == UNIT


def test_fresh_says_each_fact_once() -> None:
    tally = tallied(seen(), seen("203.0.113.2"))
    assert [record.remote.address for record in tally.fresh()] == ["203.0.113.1", "203.0.113.2"]
    tally.add(seen(at=9), CURL)
    assert tally.fresh() == []


def test_memory_is_bounded_and_what_exceeds_it_is_counted() -> None:
    tally = a_tally(limit=3)
    for number in range(10):
        tally.add(seen(f"203.0.113.{number}"), CURL)
    tally.add(seen("203.0.113.0", at=5), CURL)
    assert (len(tally.records()), tally.unkept, len(tally.fresh())) == (3, 7, 3)


def test_without_the_pid_of_the_initial_namespace_the_start_tells_the_line() -> None:
    tally = a_tally(by_process=False)
    mine = seen()
    tally.add(mine, CURL)
    tally.count(repeat(mine, 6, process=31337))
    assert [record.count for record in tally.records()] == [6]
    assert tally.repeats() == 5
