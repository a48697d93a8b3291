"""Of what observers saw, exactly our own probes are left out."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import Connection, Counter, Evidence
from airgap_check.preflight import own_attempts
from airgap_check.probes.performance import Attempt
from tests.building import STARTED, connection

if TYPE_CHECKING:
    from airgap_check.evidence import AnyRecord
    from airgap_check.probes.dial import Fate

OURS, OWN = Attempt(7, ip_address("10.1.1.1"), 5432), 1
WINDOW = (STARTED, STARTED + timedelta(seconds=5))


def _packet(**changes: Any) -> Connection:
    during = STARTED + timedelta(seconds=2)
    facts = {"netns": 7, "seen": "traffic", "first": during, "last": during, **changes}
    return connection(facts.pop("address", "10.1.1.1"), facts.pop("port", 5432), **facts)


def _left(*records: AnyRecord, kind: str = "traffic", fate: Fate = "connected") -> tuple[AnyRecord, ...]:
    evidence = Evidence(kind=kind, status="complete", records=records)
    return own_attempts.without(evidence, {OURS: fate}, OWN, WINDOW).records


def test_the_packet_of_our_own_attempt_is_left_out_where_it_was_made_and_where_it_is_routed() -> None:
    assert _left(_packet()) == ()
    assert _left(_packet(netns=OWN)) == ()


def test_what_others_did_beside_it_stays() -> None:
    (rest,) = _left(_packet(count=3))
    assert isinstance(rest, Connection)
    assert rest.count == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"netns": 8}, {"port": 5433}, {"address": "10.1.1.2"}, {"protocol": "udp"}, {"direction": "inbound"},
        {"first": STARTED - timedelta(9), "last": STARTED - timedelta(8)},
        {"first": STARTED + timedelta(8), "last": STARTED + timedelta(9)},
    ],
)  # fmt: skip
def test_anything_else_stays(changes: dict[str, Any]) -> None:
    record = _packet(**changes)
    assert _left(record) == (record,)


def test_who_knows_the_process_is_not_second_guessed() -> None:
    record = _packet(seen="attempts")
    assert _left(record, kind="attempts") == (record,)


@pytest.mark.parametrize(
    ("fate", "increase", "left"), [("unreachable", 1, 0), ("unreachable", 4, 3), ("timeout", 3, 0)]
)
def test_the_kernel_counted_our_attempts_too(fate: Fate, increase: int, left: int) -> None:
    found = _left(Counter(netns=7, name="OutNoRoutes", increase=increase), kind="counters", fate=fate)
    assert [record.increase for record in found if isinstance(record, Counter)] == ([left] if left else [])


def test_the_counters_of_others_and_of_what_was_reached_stay() -> None:
    elsewhere, here = (Counter(netns=number, name="OutNoRoutes", increase=1) for number in (8, 7))
    assert _left(elsewhere, kind="counters", fate="unreachable") == (elsewhere,)
    assert _left(here, kind="counters", fate="connected") == (here,)
