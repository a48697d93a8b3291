"""Encounters are made of what three witnesses tell: who called, what the world heard, what the driver was doing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airgap_check.evidence.fact import Process
from airgap_check.observers.calls import Call
from airgap_check.rehearsal import encounters
from airgap_check.rehearsal.encounters import Witnesses, united
from airgap_check.world.meeting import Asked, Met

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence.rehearsed import Encounter
    from airgap_check.rehearsal.wish import World

START = datetime(2026, 11, 23, tzinfo=UTC)
NODE, CURL = Process(pid=7, name="node"), Process(pid=8, name="curl")


def call(at: int, **how: Any) -> Call:
    fields: dict[str, Any] = {"process": NODE, "protocol": "tcp", "address": "198.18.0.1", "port": 443}
    return Call(at=at, **fields | how)


def met(at: int, **how: Any) -> Met:
    fields: dict[str, Any] = {"protocol": "tcp", "source": 4000, "address": "198.18.0.1", "port": 443}
    return Met(at=at, until=at + 5, **fields | how)


def of(calls: Sequence[Call], meetings: Sequence[Met], world: World = "accept") -> list[Encounter]:
    told = Witnesses(
        calls,
        meetings,
        world,
        lambda at: f"visit {at // 100}" if at >= 100 else None,
        lambda at: START + timedelta(microseconds=at),
        lambda end: replace(end, name="known.example"),
    )
    return list(encounters.of(told))


def test_a_meeting_is_of_whoever_called_there_first() -> None:
    found = of([call(10), call(20, process=CURL)], [met(11, ended="first"), met(21, ended="second")])
    assert [(one.process, one.ended) for one in found] == [(NODE, "first"), (CURL, "second")]
    assert found[0].remote.name == "known.example"


def test_what_was_asked_within_a_connection_is_tied_to_what_was_under_way_then() -> None:
    asked = (Asked(at=150, line="GET /a"), Asked(at=250, line="GET /b", name="other.example"))
    first, second = of([call(110)], [met(111, spoken="http", name="sni.example", requests=asked, sent=7, received=9)])
    assert (first.request, first.trigger, first.name, first.sent, first.received) == (
        "GET /a", "visit 1", "sni.example", 7, 9,
    )  # fmt: skip
    assert (second.request, second.trigger, second.name, second.sent) == ("GET /b", "visit 2", "other.example", 0)


def test_a_connection_is_tied_to_what_was_under_way_when_it_was_dialled_though_the_world_hears_of_it_later() -> None:
    assert [one.trigger for one in of([call(190)], [met(210, spoken="nothing")])] == ["visit 1"]
    long_ago = of([call(190)], [met(10_000_000_000)])  # another call may have been this one's
    assert [one.trigger for one in long_ago] == ["visit 100000000"]
    datagrams = of([call(190, protocol="udp")], [met(210, protocol="udp")])
    assert [one.trigger for one in datagrams] == ["visit 2"]  # dialled is no more than named, for those


def test_a_mail_session_is_one_encounter_however_much_is_said_in_it() -> None:
    asked = tuple(Asked(at=111 + number, line=line) for number, line in enumerate(["EHLO a", "STARTTLS", "AUTH PLAIN"]))
    (one,) = of([call(110)], [met(111, spoken="smtp", requests=asked)])
    assert (one.request, one.count) == ("EHLO a, STARTTLS, AUTH PLAIN", 1)


def test_a_call_that_met_nobody_is_told_too_and_why() -> None:
    worlds: tuple[tuple[World, str], ...] = (
        ("accept", "ended before the world could answer"), ("drop", "dropped"), ("reject", "rejected"),
    )  # fmt: skip
    for world, why in worlds:
        (lonely,) = of([call(10)], [], world)
        assert (lonely.ended, lonely.spoken, lonely.process, lonely.trigger) == (why, "nothing", NODE, None)


def test_a_socket_that_only_sorts_addresses_is_no_encounter() -> None:
    sorting = call(5, protocol="udp")
    assert [one.protocol for one in of([sorting, call(10)], [met(11)])] == ["tcp"]
    assert [one.protocol for one in of([sorting, call(10)], [], "drop")] == ["tcp"]
    assert [one.protocol for one in of([sorting], [], "drop")] == ["udp"]  # nothing says that it sorted


def test_what_has_no_port_is_told_by_the_call_and_a_packet_socket_is_not() -> None:
    calls = [call(110, protocol=protocol, port=None) for protocol in ("icmp", "raw", "packet")]
    found = of(calls, [])
    assert [(one.protocol, one.remote.port, one.process, one.trigger) for one in found] == [
        ("icmp", None, NODE, "visit 1"), ("raw", None, NODE, "visit 1")
    ]  # fmt: skip
    assert {(one.spoken, one.ended) for one in found} == {
        ("nothing", "sent without a port: nobody listens to such packets here")
    }


def test_the_datagrams_of_one_socket_are_one_meeting() -> None:
    calls = [call(at, port=53, protocol="udp") for at in (10, 11, 12)]
    (one,) = of(calls, [met(10, port=53, protocol="udp", spoken="dns")])
    assert (one.process, one.spoken) == (NODE, "dns")


def test_encounters_that_are_alike_are_one_with_a_count_and_those_beyond_the_limit_are_counted() -> None:
    calls = [call(at) for at in (10, 20, 30)]
    meetings = [met(11, sent=1), met(21, sent=2), met(31, sent=4)]
    (one,), unkept = united(of(calls, meetings))
    assert (one.count, one.sent, unkept) == (3, 7, 0)
    assert one.first == START + timedelta(microseconds=11)
    assert one.last == START + timedelta(microseconds=36)
    many, unkept = united(of([], [met(at, port=at) for at in range(1, 6)]), limit=3)
    assert (len(many), unkept) == (3, 2)


def test_ten_thousand_connections_are_ten_thousand() -> None:
    found = of([call(at) for at in range(10_000)], [met(at) for at in range(9_000)])
    kept, _ = united(found)
    assert sum(one.count for one in kept) == 10_000
    assert {(one.ended, one.trigger is None) for one in kept if one.count == 1_000} <= {
        ("ended before the world could answer", False)
    }
