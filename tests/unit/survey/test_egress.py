"""Which connections of an observed run are judged as our own, and which as those of who called us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import Evidence, Listener, Status
from airgap_check.policy.allowlist import Allowlist
from airgap_check.survey.egress import Egress
from tests.building import STARTED, connection, inspection, policy, remote

if TYPE_CHECKING:
    from airgap_check.evidence import Connection

PUBLIC, INTERNAL = "93.184.216.34", "10.0.1.7"
ANSWERED = {"seen": "attempts", "state": "reply", "direction": "inbound", "local": remote("10.0.0.2", 53)}
CALLED = {"direction": "inbound", "local": remote("10.0.0.2", 53)}


def egress(*seen: Connection, observed: bool = True, listeners: Status = "complete", **sections: Any) -> Egress:
    """Judge them beside a TCP server on port 53."""
    made = policy(**sections)
    serving = Listener(netns=1, protocol="tcp", local=remote("0.0.0.0", 53))
    ours = [one for one in seen if one.seen == "attempts"]
    watched = [Evidence(kind="attempts", status="complete", records=tuple(ours))] if observed else []
    others = [one for one in seen if one.seen != "attempts"]
    looked = inspection(*others, serving, status={"listeners": listeners}, extra=watched)
    return Egress(looked, made, Allowlist(made, (), STARTED.date()))


def outbound(*seen: Connection, **changes: Any) -> list[tuple[str, str | None, str]]:
    judged = egress(*seen, **changes)
    return [(view.record.direction, view.remote.address, view.allowed) for view in judged.outbound]


def test_who_was_answered_is_a_peer_and_not_a_destination() -> None:
    clients = [{"name": "clients", "cidr": "10.0.1.0/24", "ports": [53]}]
    replies = (connection(INTERNAL, None, **ANSWERED), connection(PUBLIC, None, **ANSWERED))
    judged = egress(*replies, inbound=clients)
    assert [(view.remote.address, view.allowed) for view in judged.peers] == [
        (INTERNAL, "yes"), (PUBLIC, "no"),
    ]  # fmt: skip
    assert judged.outbound == []


def test_that_a_public_peer_spoke_first_excuses_nobody_where_the_policy_does_not_say_who_may() -> None:
    replies = connection(PUBLIC, None, **ANSWERED), connection(INTERNAL, None, **ANSWERED)
    assert outbound(*replies) == [("unknown", PUBLIC, "no")]


def test_an_answer_to_a_public_address_that_an_entry_approves_is_approved() -> None:
    made = {"name": "partner", "role": "other", "cidr": f"{PUBLIC}/32", "public": True, "protocol": "any"}
    judged = Egress(
        inspection(
            extra=[Evidence(kind="attempts", status="complete", records=(connection(PUBLIC, None, **ANSWERED),))]
        ),
        policy(made),
        Allowlist(policy(made), (), STARTED.date()),
    )
    assert [view.allowed for view in judged.outbound] == ["yes"]


def test_a_datagram_socket_that_looks_like_a_server_s_is_undecided_when_public_and_observed() -> None:
    twin = connection(PUBLIC, None, protocol="udp", **CALLED)
    assert outbound(twin) == [("unknown", PUBLIC, "no")]
    assert outbound(connection(INTERNAL, None, protocol="udp", **CALLED)) == []
    assert outbound(twin, observed=False) == []


def test_public_clients_of_a_tcp_server_are_not_judged_observed_or_not() -> None:
    client = connection(PUBLIC, None, **CALLED)
    assert outbound(client) == outbound(client, observed=False) == []


def test_who_called_from_a_port_that_services_have_may_have_been_called() -> None:
    client = connection(PUBLIC, 443, **CALLED)
    assert outbound(client) == [("unknown", PUBLIC, "no")]
    assert outbound(client, observed=False) == []
    assert outbound(connection(INTERNAL, 443, **CALLED)) == []


@pytest.mark.parametrize(("listeners", "expected"), [("complete", 1), ("partial", 0), ("unavailable", 0)])
def test_where_nobody_listens_nobody_was_called(listeners: Status, expected: int) -> None:
    client = connection(PUBLIC, None, direction="inbound", local=remote("10.0.0.2", 8080))
    assert len(outbound(client, listeners=listeners)) == expected
