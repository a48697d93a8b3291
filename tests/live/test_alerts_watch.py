"""``watch --every --alerts``: each round tells what it changed; a policy that is read again decides who may hear."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from tests.live.alerts_scene import (
    APPROVED,
    CENTRE,
    CENTRE_ENTRY,
    COLLECTOR_ENTRY,
    FILE,
    NAME,
    STATE,
    SYSLOG,
    WEBHOOK,
    Scene,
    about,
    sent,
    until,
)  # fmt: skip
from tests.live.site import assert_compliant, policy
from tests.live.vigil import Vigil
from tests.live.wiretap import Wiretap

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.lab import Lab

RULE = "connection.not-allowlisted"
POLICY = "/etc/airgap-check/policy.yaml"
OPTIONS = ("--every", "3s", "--alerts", FILE, "--state", STATE)
LOW = {"min_severity": "low"}


def rules_told(scene: Scene, kind: int) -> list[str]:
    return sorted(rule for one in about(scene.posted()) for rule in one[kind])


def test_a_watch_tells_once_what_appears_and_that_it_is_gone_and_nothing_of_itself(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK | LOW, SYSLOG | LOW)
    scene.receive()
    scene.collect()
    with Vigil(site, *OPTIONS, policy=APPROVED) as vigil:
        rogue = scene.violate()
        until(lambda: RULE in rules_told(scene, 0), 60)
        scene.end(rogue)
        until(lambda: RULE in rules_told(scene, 1), 60)
        heard = len(scene.posted())
        for _ in range(4):  # rounds in which nothing happens
            until_the_next_report(vigil)
        told = scene.posted()
        audit = vigil.end()
    assert len(told) == heard, told[heard:]
    assert len(scene.logged()) == heard
    for kind in (0, 1):
        assert rules_told(scene, kind).count(RULE) == 1
        assert not [rule for rule in rules_told(scene, kind) if rule.startswith("policy.")]
    assert (audit.exit_code, audit.report["verdict"]) == (1, "compliant"), "the worst of all rounds"
    assert "was not told" not in audit.stderr


def until_the_next_report(vigil: Vigil) -> None:
    before = vigil.said().count("report: ")
    until(lambda: vigil.said().count("report: ") > before, 60)


def test_a_policy_that_approves_no_more_is_obeyed_from_the_very_next_message(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK)
    scene.receive()
    options = ("--every", "10m", "--alerts", FILE, "--state", STATE)
    with Vigil(site, *options, policy=APPROVED) as vigil, Wiretap(site.far) as wire:
        scene.violate()
        vigil.hear(RULE)
        site.near.write(POLICY, json.dumps(policy(COLLECTOR_ENTRY)))
        vigil.send(signal.SIGHUP)
        said = vigil.hear("was not told")
        audit = vigil.end()
        assert ("tcp", CENTRE, 443) not in sent(wire)
    assert f"it goes to {NAME}:443, which no entry of the policy approves" in said
    assert audit.exit_code == 1
    assert f"-> {CENTRE}:443" not in audit.stderr, "the alert itself would be a violation by now"
    assert scene.posted() == []
    assert scene.spooled(), "whoever approves it again has it delivered"
    scene.wait_for_the_next_attempt()
    assert scene.audit(policy=policy(CENTRE_ENTRY)).exit_code == 1
    assert RULE in rules_told(scene, 0)


def test_the_alert_of_an_audit_is_no_finding_of_a_watch_beside_it(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK, SYSLOG)
    scene.receive()
    scene.collect()
    with Vigil(site, policy=APPROVED) as vigil:
        assert scene.audit(cgroup="cron").exit_code == 0  # a remark is news to a new memory
        audit = vigil.end()
    assert (len(scene.posted()), len(scene.logged())) == (1, 1)
    assert_compliant(audit)
    uses = [result for result in audit.report["results"] if result["rule"] == "policy.unused-entry"]
    assert not [finding for result in uses for finding in result["findings"]], "it was seen, and approved"


def test_who_does_not_wait_for_the_last_alert_has_the_verdict_all_the_same(lab: Lab) -> None:
    slow = {"name": "slow", "command": {"argv": ["/bin/sleep", "60"]}}
    lab.near.write(FILE, json.dumps({"version": 1, "destinations": [slow]}))
    options = ("--every", "1h", "--alerts", FILE, "--state", STATE)
    with Vigil(lab, *options, policy=policy(runtime={"expected": False})) as vigil:
        lab.near.plant("udp", "10.70.0.1", 4321, cgroup="stray")
        vigil.hear("10.70.0.1")
        vigil.send(signal.SIGTERM)
        until(lambda: "sleep" in lab.near.check(["/bin/sh", "-c", "cat /proc/[0-9]*/comm"]), 60)
        audit = vigil.end()
    assert (audit.exit_code, audit.report["verdict"]) == (1, "not_compliant")
