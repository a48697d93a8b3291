"""What a preflight concludes from its parts, and what a green one is bound to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airgap_check import preflight
from airgap_check.evidence import Evidence, Runtime
from airgap_check.evidence.asset import Artifact, Probe
from airgap_check.evidence.fact import Process
from airgap_check.kernel import netns
from airgap_check.plan import Plan
from airgap_check.preflight.itinerary import Itinerary
from airgap_check.probes.errand import Omission
from airgap_check.probes.performance import Outcome
from airgap_check.probes.vantage_point import VantagePoint
from tests.building import STARTED, inspection, remote

HERE = VantagePoint(netns.Namespace(1, "process"))
NOTHING = Itinerary((HERE,), (HERE,), (), (), (), (), (), ())


def _evidence(*outcomes: Any, ahead: Itinerary = NOTHING, resolve: bool = True, gaps: tuple[str, ...] = ()) -> Evidence:
    probes = tuple(
        Probe(purpose="needed", protocol="tcp", remote=remote("10.1.1.1", 1), outcome=outcome) for outcome in outcomes
    )
    return preflight._evidence(Plan(resolve=resolve), ahead, Outcome(gaps=gaps), Outcome(probes))


def test_what_was_tried_whatever_came_of_it_is_complete_evidence() -> None:
    evidence = _evidence("reached", "refused", "timeout", "unresolved")
    assert (evidence.status, evidence.reason) == ("complete", "")
    assert evidence.counts["reached"] == 1


def test_what_was_not_tried_leaves_it_partial_with_the_reason() -> None:
    assert "10.1.1.1:1" in _evidence("reached", "skipped").reason
    assert "--no-resolve" in _evidence("skipped", resolve=False).reason
    assert _evidence("reached", gaps=("the run was ended",)).status == "partial"
    host_only = NOTHING._replace(faults=("no runtime was found",))
    assert _evidence("reached", ahead=host_only).reason == "no runtime was found"


def test_what_nobody_can_try_is_a_blind_spot_and_no_gap() -> None:
    evidence = _evidence("reached", ahead=NOTHING._replace(omissions=(Omission("pool", "holds many"),)))
    assert evidence.status == "complete"
    assert "pool: holds many" in evidence.blind


def test_a_green_preflight_holds_for_a_day_this_boot_policy_image_and_artifact() -> None:
    runtime = Runtime(product="ObjectOS", process=Process(pid=1), image="objectos:4.2", digest="sha256:aa")
    artifact = Evidence(
        kind="artifact", status="complete", records=(Artifact(path="/srv/objectstack.json", sha256="bb"),)
    )  # fmt: skip
    seen = inspection(runtime, extra=[artifact])
    bound = preflight.bound(seen)
    cleared = bound.clearance
    assert (cleared.images, cleared.artifacts, cleared.policy) == (("sha256:aa",), ("bb",), seen.policy.sha256)
    assert bound.until == STARTED + timedelta(hours=24)
    assert "2026-11-21 12:00" in bound.line()
