"""Errands on loopback: each place once, several at a time, every outcome a record."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence.asset import Check, Probe
from airgap_check.evidence.fact import Process, Workload
from airgap_check.kernel import netns
from airgap_check.probes import conversation, dial, performance
from airgap_check.probes.account import Checked, Target, Told
from airgap_check.probes.errand import Errand, Need
from airgap_check.probes.vantage_point import Owner, VantagePoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.probes.performance import Outcome

NOW = datetime(2026, 11, 23, tzinfo=UTC)
OWNER = Owner(Process(pid=7, name="node"), Workload(kind="unit", id="a.service", name="a.service"))
HERE = VantagePoint(netns.Namespace(netns.own_inode(), "process"), (OWNER,))
LOOPBACK = ip_address("127.0.0.1")


def _errand(port: int, host: str = "127.0.0.1", point: VantagePoint = HERE, **need: Any) -> Errand:
    return Errand(Need(host, port, need.pop("protocol", "tcp"), "none", **need), point, OWNER, LOOPBACK)


def _perform(errands: Sequence[Errand], *, stopped: bool = False) -> Outcome:
    stop = threading.Event()
    if stopped:
        stop.set()
    return performance.perform(errands, NOW, stop)


def _probes(outcome: Outcome) -> list[Probe]:
    return [record for record in outcome.records if isinstance(record, Probe)]


def _closed() -> int:
    return 1  # one that was free a moment ago may be another test's by now


def test_what_is_reached_is_stated_with_its_owner_and_how_long_it_took() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (probe,) = _probes(_perform([_errand(server.getsockname()[1], role="database", entry="core")]))
    assert (probe.outcome, probe.stage, probe.role, probe.entry) == ("reached", "done", "database", "core")
    assert probe.process == OWNER.process
    assert probe.workload == OWNER.workload
    assert probe.latency_ms
    assert probe.netns == HERE.inode


def test_a_place_is_tried_once_whatever_it_is_called() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        outcome = _perform([_errand(port), _errand(port, "db.bank.example"), _errand(port)])
        server.accept()[0].close()
        try:
            second = server.accept()
        except BlockingIOError:
            second = None
    assert second is None
    assert [probe.outcome for probe in _probes(outcome)] == ["reached"] * 3  # what holds for one name holds for all
    assert [bool(probe.latency_ms) for probe in _probes(outcome)] == [True, False, False]
    assert len(outcome.attempts) == 1


def test_of_two_errands_to_one_place_the_one_that_finds_out_more_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "reach", lambda *_, **__: dial.Dialled("connected"))
    spoken: list[str] = []

    def converse(_: object, target: Target, __: float) -> Told:
        spoken.append(target.protocol)
        return Told("failed", "protocol", "it is no Redis")

    monkeypatch.setattr(conversation, "converse", converse)
    outcome = _perform([_errand(6379), _errand(6379, "cache.bank.example", protocol="redis", entry="cache")])
    assert spoken == ["redis"]
    assert {(probe.entry, probe.outcome) for probe in _probes(outcome)} == {("cache", "failed"), (None, "failed")}


def test_what_refuses_and_what_has_no_address_are_told_apart() -> None:
    nowhere = Errand(Need("a.b", 1, "tcp"), HERE, OWNER, None, "unresolved", "leads nowhere")
    outcome = _perform([_errand(_closed()), nowhere])
    assert {(probe.outcome, probe.stage) for probe in _probes(outcome)} == {
        ("refused", "connect"),
        ("unresolved", "name"),
    }
    assert outcome.gaps == ()


def test_a_canary_is_not_talked_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (probe,) = _probes(_perform([_errand(server.getsockname()[1], purpose="canary", protocol="smtp")]))
    assert (probe.outcome, probe.stage) == ("reached", "connect")


def test_a_runtime_that_does_not_answer_leaves_its_posture_unknown() -> None:
    outcome = _perform([_errand(_closed(), purpose="posture", protocol="runtime")])
    checks = {record.aspect: record.outcome for record in outcome.records if isinstance(record, Check)}
    assert checks == {"control-plane-mounted": "unknown", "login-path": "unknown"}


def test_a_run_that_is_ended_is_a_gap_and_sends_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = _perform([_errand(server.getsockname()[1])], stopped=True)
    assert outcome.attempts == {}
    assert outcome.gaps
    assert [probe.outcome for probe in _probes(outcome)] == ["skipped"]


def test_a_namespace_that_has_gone_is_a_gap() -> None:
    gone = VantagePoint(netns.Namespace(1, "process"), (OWNER,))
    outcome = _perform([_errand(1, point=gone)])
    assert "gone" in str(outcome.gaps)
    assert [probe.outcome for probe in _probes(outcome)] == ["skipped"]


def test_more_than_can_be_tried_is_a_gap() -> None:
    errands = [
        _errand(port)._replace(address=ip_address(f"127.0.{port // 200}.{port % 200 + 1}")) for port in range(1, 514)
    ]
    outcome = _perform(errands, stopped=True)
    assert any("no more than" in gap for gap in outcome.gaps)
    assert len(_probes(outcome)) == len(errands)


def test_a_canary_that_a_router_of_the_internet_refuses_was_let_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its packet has crossed the gap, whoever sent the answer; a router of the site's own has done its duty."""
    beyond = ip_address("1.0.0.1")
    said = dial.Dialled("unreachable", f"No route to host: said by {beyond}", beyond)
    monkeypatch.setattr(dial, "reach", lambda *_, **__: said)
    errand = Errand(Need("1.1.1.1", 443, "tcp", "none", purpose="canary"), HERE, OWNER, ip_address("1.1.1.1"))
    (opened,) = _probes(performance.perform([errand], NOW, threading.Event()))
    assert (opened.outcome, "1.0.0.1" in opened.detail) == ("refused", True)
    (closed,) = _probes(performance.perform([errand], NOW, threading.Event(), [ip_network("1.0.0.0/24")]))
    assert closed.outcome == "unreachable"


@pytest.mark.parametrize(("port", "found"), [(9000, 1), (389, 0)])
def test_an_identity_provider_whose_document_nobody_read_is_said(
    monkeypatch: pytest.MonkeyPatch, port: int, found: int
) -> None:
    monkeypatch.setattr(dial, "reach", lambda *_, **__: dial.Dialled("connected"))
    outcome = _perform([_errand(port, role="idp")])
    undiscovered = [one for one in outcome.records if isinstance(one, Check) and one.aspect == "idp-discovery"]
    assert [one.outcome for one in undiscovered] == ["failed"] * found


def test_destinations_that_were_not_judged_leave_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "reach", lambda *_, **__: dial.Dialled("connected"))
    told = Told("reached", "done", "", checks=(Checked("idp-discovery", "unknown", "201 destinations"),))
    monkeypatch.setattr(conversation, "converse", lambda *_: told)
    assert _perform([_errand(443, role="idp", protocol="oidc")]).gaps == ("127.0.0.1:443: 201 destinations",)


def test_one_door_that_tells_is_enough_and_none_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime has doors for metrics and debuggers too, which know nothing of its posture."""
    monkeypatch.setattr(dial, "reach", lambda *_, **__: dial.Dialled("connected"))

    def converse(_: object, target: Target, __: float) -> Told:
        if target.port != 3000:
            return Told("failed", "protocol", "no HTTP")
        return Told("reached", "done", "", checks=(Checked("control-plane-mounted", "failed", "it is"),))

    monkeypatch.setattr(conversation, "converse", converse)
    doors = [_errand(port, purpose="posture", role="runtime", protocol="runtime") for port in (3000, 9229)]
    checks = [one for one in _perform(doors).records if isinstance(one, Check)]
    assert {(one.aspect, one.outcome) for one in checks} == {
        ("control-plane-mounted", "failed"),
        ("login-path", "unknown"),
    }
