"""What a rule rests on: it may fail by what anybody saw, and pass only by what everybody saw who had to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import Evidence
from airgap_check.rule.basis import Basis, basis
from airgap_check.view import KINDS

if TYPE_CHECKING:
    from airgap_check.evidence import Coverage

OBSERVED = ["question", "request", "mention", "counter"]
EXTRA = {
    "artifact",
    "state",
    "database",
    "deployment",
    "upgrade",
    "bundle",
    "probes",
    "continuity",
    "world",
    "drive",
}  # collectors not every run has
OPTIONAL = [kind for kind, (_, collector) in KINDS.items() if collector in EXTRA]
CAPTURED = {"connection", "question", "request", "mention", "encrypted-dns", "resolved", "answer"}


def coverage(**statuses: Any) -> list[Coverage]:
    return [Evidence(kind=kind, status=status, reason="why").coverage() for kind, status in statuses.items()]


SNAPSHOT = dict.fromkeys(("environment", "sockets", "resolution", "listeners", "policy"), "complete")


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {*OBSERVED, *OPTIONAL}))
def test_a_snapshot_is_enough_for_what_it_shows(kind: str) -> None:
    assert basis(kind, coverage(**SNAPSHOT), "host") == Basis("complete")


@pytest.mark.parametrize("kind", OBSERVED)
def test_what_only_an_observation_shows_does_not_apply_to_a_snapshot(kind: str) -> None:
    found = basis(kind, coverage(**SNAPSHOT), "host")
    assert found.sight == "not applicable"
    assert "--observe" in found.reason


@pytest.mark.parametrize("kind", OPTIONAL)
def test_what_a_run_did_not_examine_does_not_apply_and_says_so(kind: str) -> None:
    found = basis(kind, coverage(**SNAPSHOT), "host")
    assert found.sight == "not applicable"
    assert found.reason


def test_a_bundle_is_judged_by_what_it_holds_only() -> None:
    seen = coverage(bundle="complete", policy="complete")
    applicable = {kind for kind in KINDS if basis(kind, seen, "bundle").sight == "complete"}
    assert applicable == {"bundle-check", "bundle-endpoint"}


@pytest.mark.parametrize("kind", [*OBSERVED, *OPTIONAL])
def test_an_observer_that_could_not_run_leaves_its_rules_unknown(kind: str) -> None:
    collector = KINDS[kind][1]
    assert basis(kind, coverage(**{collector: "unavailable"}), "host") == Basis(
        "blind", f"no {collector} evidence: why"
    )
    partial = basis(kind, coverage(**{collector: "partial"}), "host")
    assert partial == Basis("partial", f"{collector} evidence is partial: why")


@pytest.mark.parametrize("kind", ["connection", "peer", "encrypted-dns"])
def test_connections_need_attempts_where_they_were_to_be_observed(kind: str) -> None:
    for status in ("partial", "unavailable"):
        assert basis(kind, coverage(**SNAPSHOT, attempts=status), "host").sight == "partial"
    assert basis(kind, coverage(**SNAPSHOT, attempts="complete"), "host").sight == "complete"
    assert basis(kind, coverage(**SNAPSHOT, sockdiag="partial"), "host").sight == "complete"


def test_lost_packets_matter_for_what_is_hidden_and_not_for_connections() -> None:
    seen = coverage(**SNAPSHOT, attempts="complete", traffic="partial")
    assert basis("connection", seen, "host").sight == "complete"
    assert basis("encrypted-dns", seen, "host").sight == "partial"


def test_attempts_alone_can_fail_a_rule_and_not_pass_it() -> None:
    assert basis("connection", coverage(attempts="complete"), "host") == Basis(
        "partial", "no sockets evidence: was not collected"
    )
    assert basis("connection", coverage(attempts="unavailable"), "host").sight == "blind"
    assert basis("connection", [], "host").sight == "blind"


@pytest.mark.parametrize("kind", KINDS)
def test_a_capture_shows_what_was_on_the_wire_and_nothing_of_the_host(kind: str) -> None:
    seen = coverage(capture="complete", policy="complete")
    found = basis(kind, seen, "capture")
    assert found.sight == ("complete" if kind in CAPTURED else "not applicable")
    if kind in CAPTURED:
        assert basis(kind, coverage(capture="partial"), "capture").sight == "partial"
        assert basis(kind, coverage(capture="unavailable"), "capture").sight == "blind"
    else:
        assert found.reason.startswith("a capture does not show ")
