"""Errands on loopback: each place once, several at a time, every outcome a record."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from airgap_check.asset import Check, Probe
from airgap_check.fact import Process, Workload
from airgap_check.kernel import netns
from airgap_check.probes import performance
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
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


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
    assert [probe.outcome for probe in _probes(outcome)].count("reached") == 1
    assert [probe.outcome for probe in _probes(outcome)].count("skipped") == 2
    assert len(outcome.attempts) == 1


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
