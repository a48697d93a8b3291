"""What canaries tell: routes without a packet, names that lead outside."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from airgap_check.evidence import Answer, Evidence
from airgap_check.evidence.fact import Process
from airgap_check.kernel import netns, routes
from airgap_check.kernel.routes import Route
from airgap_check.probes import canary
from airgap_check.probes.vantage_point import Owner, VantagePoint
from tests.building import remote

NODE = Owner(Process(pid=7, name="node"), None)
HERE = VantagePoint(netns.Namespace(netns.own_inode(), "process"), (NODE,), (999, 1000))
SERVFAIL = "in network namespace 7: not answered: www.vendor.com (servfail)"
OUTSIDE = ip_address("1.1.1.1")
WAY = Route(local=False, interface="eth0", gateway=bytes([10, 0, 0, 1]))


def _routed(monkeypatch: pytest.MonkeyPatch, answer: Any) -> tuple[str, str]:
    monkeypatch.setattr(routes, "find", answer)
    (check,) = canary.routed([OUTSIDE], [HERE])
    assert (check.aspect, check.subject, check.pointer) == ("public-route", "1.1.1.1", "from process node")
    return check.outcome, check.detail


def test_no_route_is_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _routed(monkeypatch, lambda *_, **__: None)[0] == "passed"


def test_a_route_is_told_with_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, detail = _routed(monkeypatch, lambda *_, **__: WAY)
    assert outcome == "failed"
    assert "eth0 via 10.0.0.1" in detail


def test_a_route_for_the_runtimes_user_alone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, detail = _routed(monkeypatch, lambda *_, uid, **__: WAY if uid == 1000 else None)
    assert outcome == "failed"
    assert "uid 1000" in detail


def test_an_address_of_this_host_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _routed(monkeypatch, lambda *_, **__: Route(local=True, interface="lo"))[0] == "unknown"


def test_tables_that_cannot_be_asked_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(1, "not permitted")

    assert _routed(monkeypatch, fail)[0] == "unknown"


def test_a_namespace_that_has_gone_is_unknown() -> None:
    (check,) = canary.routed([OUTSIDE], [VantagePoint(netns.Namespace(1, "process"))])
    assert check.outcome == "unknown"


@pytest.mark.parametrize(
    ("addresses", "status", "outcome"),
    [
        (["93.184.216.34"], "ok", "failed"),
        (["10.0.0.1", "93.184.216.34"], "ok", "failed"),
        (["10.0.0.1"], "ok", "passed"),
        ([], "nxdomain", "passed"),
        ([], "servfail", "passed"),
        ([], "timeout", "unknown"),
        (["93.184.216.34"], "timeout", "failed"),
    ],
)
def test_a_name_must_not_lead_outside(addresses: list[str], status: Any, outcome: str) -> None:
    ends = tuple(remote(address) for address in addresses)
    answer = Answer(name="www.vendor.com", netns=1, source="dns", status=status, addresses=ends)
    told = Evidence(kind="resolution", status="complete", records=(answer,))
    (check,) = canary.answered(["www.vendor.com"], told)
    assert (check.aspect, check.subject, check.outcome) == ("canary-name", "www.vendor.com", outcome)


@pytest.mark.parametrize(
    ("reason", "outcome"), [("not asked: www.vendor.com: 8.8.8.8 is public", "unknown"), (SERVFAIL, "passed")]
)
def test_a_name_that_was_not_asked_everywhere_is_unknown(reason: str, outcome: str) -> None:
    answer = Answer(name="www.vendor.com", netns=1, source="dns", status="servfail")
    told = Evidence(kind="resolution", status="partial", reason=reason, records=(answer,))
    (check,) = canary.answered(["www.vendor.com"], told)
    assert check.outcome == outcome


def test_who_refuses_from_beyond_the_gap_is_told_from_a_router_of_the_site_and_from_this_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "find", lambda *_, **__: WAY)
    own = [ip_network("198.18.0.0/15"), ip_network("1.1.1.0/24")]
    assert canary.is_outside(ip_address("1.1.1.254"), HERE, ())
    assert not canary.is_outside(ip_address("1.1.1.254"), HERE, own)
    assert not canary.is_outside(ip_address("10.0.0.1"), HERE, ())
    monkeypatch.setattr(routes, "find", lambda *_, **__: Route(local=True, interface="lo"))
    assert not canary.is_outside(ip_address("1.1.1.254"), HERE, ())


def test_a_name_that_was_not_asked_is_unknown() -> None:
    told = Evidence(kind="resolution", status="partial", reason="8.8.8.8 is public")
    (check,) = canary.answered(["www.vendor.com"], told)
    assert check.outcome == "unknown"
    assert "8.8.8.8" in check.detail
