"""What several collectors saw is one fact, told by whoever saw it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import EntryUse, Evidence
from airgap_check.evidence.fact import Process
from airgap_check.policy.allowlist import Allowlist
from airgap_check.survey import union
from airgap_check.survey.egress import Egress
from tests.building import STARTED, connection, encounter, inspection, policy, remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.evidence import Allowed, Connection

NODE = Process(pid=7, name="node")


def seen(by: str, address: str = "10.0.0.9", port: int | None = 443, **changes: Any) -> Connection:
    return connection(address, port, seen=by, **changes)


def united(connections: Iterable[Connection], approved: int = 0) -> list[Connection]:
    """Unite them where what happens in one network namespace is approved, and nothing else."""

    def judge(connection: Connection) -> Allowed:
        return "yes" if connection.netns == approved and connection.process else "no"

    return union.united(connections, judge)


@pytest.mark.parametrize("better", ["attempts", "sockets", "sockdiag"])
def test_packets_are_left_out_where_somebody_knows_the_process(better: str) -> None:
    known = seen(better, process=NODE)
    assert united([seen("traffic"), known]) == [known]


def test_packets_of_another_port_protocol_address_or_direction_stay() -> None:
    others = [
        seen("traffic", port=444),
        seen("traffic", protocol="udp"),
        seen("traffic", "10.0.0.8"),
        seen("traffic", direction="inbound", local=remote("10.0.0.2", 443)),
    ]
    assert united([seen("attempts"), *others]) == [seen("attempts"), *others]


def test_clients_are_the_same_when_they_called_the_same_port_of_ours() -> None:
    served: dict[str, Any] = {"direction": "inbound", "local": remote("10.0.0.2", 443)}
    socket = seen("sockets", port=None, **served)
    assert united([socket, seen("traffic", port=50000, **served)]) == [socket]


@pytest.mark.parametrize("better", ["attempts", "sockets"])
def test_a_closed_socket_is_left_out_where_it_was_seen_while_it_lived(better: str) -> None:
    assert united([seen("sockdiag"), seen(better)]) == [seen(better)]


@pytest.mark.parametrize("port", [0, None])
def test_a_refused_socket_has_lost_its_port_and_counts_only_when_nothing_else_explains_its_address(
    port: int | None,
) -> None:
    refused = seen("sockdiag", port=port)
    assert united([refused, seen("attempts")]) == [seen("attempts")]
    assert united([refused, seen("attempts", "10.0.0.8")]) == [refused, seen("attempts", "10.0.0.8")]
    assert united([refused, seen("attempts", protocol="udp")]) == [refused, seen("attempts", protocol="udp")]


def test_a_closed_socket_that_is_left_out_does_not_hide_packets() -> None:
    packets = seen("traffic", port=0)
    assert united([seen("attempts"), seen("sockdiag", port=0), packets]) == [seen("attempts"), packets]


@pytest.mark.parametrize("state", ["proto 1", "proto 58"])
def test_a_ping_is_the_same_whether_its_socket_was_raw_or_not(state: str) -> None:
    raw = seen("sockets", port=None, protocol="raw", state=state)
    assert united([raw, seen("traffic", port=None, protocol="icmp")]) == [raw]


def test_a_raw_socket_of_another_protocol_does_not_hide_pings() -> None:
    both = [seen("sockets", port=None, protocol="raw", state="proto 47"), seen("traffic", port=None, protocol="icmp")]
    assert united(both) == both


def test_packets_that_another_namespace_sent_and_this_one_forwards_are_left_out() -> None:
    sent = seen("attempts", netns=2, process=NODE)
    assert united([sent, seen("traffic")]) == [sent]


def test_what_one_namespace_may_do_does_not_hide_the_packets_of_another() -> None:
    both = [seen("attempts", netns=2, process=NODE), seen("traffic")]
    assert united(both, approved=2) == both


def test_a_datagram_socket_that_sent_nothing_explains_that_it_was_closed_but_no_packets() -> None:
    silent = seen("attempts", protocol="udp", state="connect")
    packets = seen("traffic", protocol="udp")
    assert united([silent, seen("sockdiag", protocol="udp"), packets]) == [silent, packets]


@pytest.mark.parametrize("by", ["sockets", "sockdiag"])
def test_sockets_of_other_namespaces_are_other_sockets(by: str) -> None:
    both = [seen("attempts", netns=2), seen(by, ownerless=True)]
    assert united(both) == both


def test_a_refused_socket_is_explained_by_an_attempt_whose_namespace_had_gone() -> None:
    attempt = seen("attempts", netns=0)
    assert united([attempt, seen("sockdiag", port=0)]) == [attempt]
    assert len(united([attempt, seen("sockdiag")])) == 2


@pytest.mark.parametrize("direction", ["unknown", "inbound"])
def test_what_was_attempted_is_outbound_whatever_its_socket_looks_like(direction: str) -> None:
    attempt = seen("attempts")
    assert [one.direction for one in united([seen("sockets", direction=direction), attempt])] == ["outbound"] * 2


def test_other_sockets_keep_their_direction() -> None:
    sockets = [
        seen("sockets", direction="inbound", port=None),
        seen("sockets", direction="unknown", port=444),
        seen("sockets", direction="inbound", protocol="udp"),
    ]
    reply = seen("attempts", port=444, direction="inbound", state="reply")
    assert united([*sockets, seen("attempts"), reply])[:3] == sockets


def test_clients_without_a_port_are_not_turned_by_an_attempt_whose_port_nobody_saw() -> None:
    clients = seen("sockets", port=None, direction="inbound")
    assert united([clients, seen("attempts", port=None)])[0] == clients


def test_a_use_that_the_kernel_counted_is_a_use() -> None:
    made = policy({"cidr": "10.0.0.9/32"})
    uses = Evidence(kind="attempts", status="complete", records=(EntryUse(entry="entry 0", count=3),))
    egress = Egress(inspection(extra=[uses]), made, Allowlist(made, (), STARTED.date()))
    assert egress.uses["entry 0"] == 3


def named(protocol: str, port: int = 443, **changes: Any) -> Connection:
    facts: dict[str, Any] = {"state": "connect" if protocol == "udp" else "attempt", "process": NODE, **changes}
    return seen("attempts", protocol=protocol, remote=encounter("a.com", port).remote, **facts)


@pytest.mark.parametrize("port", [443, 0, 9, 53, 65535])
def test_a_socket_that_only_sorted_the_addresses_of_a_dialled_name_is_left_out(port: int) -> None:
    assert union.without_sorting([named("udp", port), named("tcp")]) == [named("tcp")]


@pytest.mark.parametrize(
    "other",
    [
        named("udp", 8443),
        named("udp", process=Process(pid=8, name="curl")),
        named("udp", state="attempt"),
        seen("attempts", protocol="udp", state="connect", process=NODE),
    ],
)
def test_any_other_datagram_socket_stays(other: Connection) -> None:
    assert union.without_sorting([other, named("tcp")]) == [other, named("tcp")]


def test_a_name_that_was_only_sorted_stays() -> None:
    assert union.without_sorting([named("udp")]) == [named("udp")]
