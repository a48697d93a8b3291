"""``audit --alerts`` as an operator runs it: one message a change to those who are approved, and otherwise silence."""

from __future__ import annotations

import email
import json
import signal
import sys
import tempfile
from email.policy import default
from typing import TYPE_CHECKING

import yaml

from tests.live.alerts_scene import (
    APPROVED,
    CENTRE,
    COMMAND,
    FILE,
    MAIL,
    NAME,
    PASSWORD,
    SECRET,
    STATE,
    SYSLOG,
    TOLD,
    WEBHOOK,
    Scene,
    about,
    sent,
    until,
)  # fmt: skip
from tests.live.lab import RESOLVER, Audit, checker_environment
from tests.live.site import assert_compliant, policy
from tests.live.wiretap import Wiretap

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.lab import Lab

RULE = "connection.not-allowlisted"
QUERIES = {("udp", RESOLVER, 53)}


def test_everybody_hears_once_that_something_appeared_and_once_that_it_is_gone(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK, MAIL, SYSLOG | {"min_severity": "low"}, COMMAND)
    scene.receive()
    scene.collect()
    everybody = {*QUERIES, ("tcp", CENTRE, 443), ("tcp", CENTRE, 587), ("tcp", CENTRE, 601)}
    assert_compliant(scene.audit())  # a medium remark is news, once
    with Wiretap(site.far) as wire:
        assert_compliant(scene.audit())
        assert sent(wire) == QUERIES, "without news nothing is sent"
        rogue = scene.violate()
        found = scene.audit()
        assert (found.exit_code, found.stderr) == (1, ""), found.summary()
        assert sent(wire) == everybody
        again = scene.audit()
        assert (again.exit_code, again.stderr) == (1, "")
        assert sent(wire) == QUERIES, "nor for a violation that everybody knows of"
        scene.end(rogue)
        gone = scene.audit()
        assert (gone.exit_code, gone.stderr) == (0, ""), gone.summary()
        assert sent(wire) == everybody
        assert_compliant(scene.audit())
        assert sent(wire) == QUERIES, "what alerts leave behind, TIME-WAIT for one, is no news either"
    expected = [({RULE}, set()), (set(), {RULE})]
    assert about(scene.posted())[1:] == expected
    mails = [email.message_from_string(one["content"], policy=default) for one in scene.mailed()]
    attached = [json.loads(next(mail.iter_attachments()).get_content()) for mail in mails]
    assert about(attached)[1:] == expected
    assert all(one["tls"] and one["password"] == PASSWORD for one in scene.mailed())
    logged = [json.loads(line[line.index("{") :]) for line in scene.logged()]
    assert about(logged)[1:] == expected
    told = site.near.path(f"{TOLD}/told").read_text().split("nobody\n")[1:]
    assert about([json.loads(one) for one in told])[1:] == expected
    assert NAME in scene.names()
    assert_no_secret(site)


def assert_no_secret(lab: Lab, *audits: Audit) -> None:
    """Nothing that is kept holds a secret, nor the path of a webhook, which often is one."""
    texts = [file.read_bytes() for file in lab.near.path(STATE).rglob("*") if file.is_file()]
    texts += [f"{audit.stdout}{audit.stderr}".encode() for audit in audits]
    assert texts
    for canary in (SECRET, PASSWORD, "canary-path"):
        assert not any(canary.encode() in text for text in texts), canary


def test_what_a_server_that_was_down_missed_is_told_by_a_later_run(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK, MAIL)
    rogue = scene.violate()
    down = scene.audit()
    assert down.exit_code == 1, "who cannot be told changes no verdict"
    assert down.stderr.count("was not told") == 2
    assert f"{CENTRE} refused: Connection refused; 1 kept, and tried again from" in down.stderr
    assert_no_secret(site, down)
    scene.receive()
    pausing = scene.audit()
    assert (pausing.exit_code, pausing.stderr, scene.posted()) == (1, "", []), "too early"
    scene.end(rogue)
    assert scene.audit().exit_code == 0
    assert len(scene.spooled()) == 4
    scene.wait_for_the_next_attempt()
    assert scene.audit().stderr == ""
    assert scene.spooled() == []
    appeared, resolved = scene.posted()
    assert RULE in {known["rule"] for known in appeared["appeared"]}
    assert about([resolved]) == [(set(), {RULE})], "in the order in which it happened"
    assert len(scene.mailed()) == 2
    assert_no_secret(site, down)


def test_who_is_not_approved_is_refused_before_anything_is_looked_at(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK, MAIL, SYSLOG)
    scene.receive()
    scene.collect()
    with Wiretap(site.far) as wire:
        refused = scene.audit(policy=policy())
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert sent(wire) == set(), "no name was asked for"
    lines = refused.stderr.splitlines()
    assert [f"{FILE}:1:" in line for line in lines] == [True] * 3
    assert not site.near.path(STATE).exists()
    entries = [yaml.safe_load(line.partition("to approve it, add to allow: ")[2])[0] for line in lines]
    scene.violate()
    followed = scene.audit(policy=policy(*entries))
    assert (followed.exit_code, followed.stderr) == (1, ""), followed.summary()
    assert (len(scene.posted()), len(scene.mailed()), len(scene.logged())) == (1, 1, 1)
    assert scene.audit(policy=policy(*entries)).failed() == followed.failed(), "nor is the alert a finding"


def test_alerts_need_a_memory_and_a_policy_that_somebody_approved(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK)
    site.near.path("/etc/airgap-check").mkdir()
    derived = site.audit("--alerts", FILE, "--state", STATE, "--accept-derived")
    assert (derived.exit_code, derived.stdout) == (2, "")
    assert "the policy is derived: nobody approved it" in derived.stderr
    forgetful = scene.audit("--state", "")
    assert (forgetful.exit_code, forgetful.stdout) == (2, "")
    assert "add --state DIR" in forgetful.stderr


def test_one_killed_before_it_was_sent_is_sent_by_the_next_run(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK)
    deaf = site.far.plant("listener", CENTRE, 443, name="deaf")
    scene.violate()
    site.near.write("/etc/airgap-check/policy.yaml", json.dumps(APPROVED))
    argv = [sys.executable, "-m", "airgap_check", "audit", "--quiet", "--alerts", FILE, "--state", STATE]
    with tempfile.TemporaryFile() as nowhere:
        number = nowhere.fileno()
        pid = site.near.start(argv, env=checker_environment(), files=(number, number, number))
        until(scene.spooled)
        site.near.ask({"signal": signal.SIGKILL, "pid": pid})
        site.near.exit_code(pid)
    scene.end(deaf)
    assert len(scene.spooled()) == 1
    scene.receive()
    later = scene.audit()
    assert (later.exit_code, later.stderr) == (1, "")
    assert RULE in {known["rule"] for known in scene.posted()[0]["appeared"]}
    assert scene.spooled() == []


def test_a_full_disk_silences_nobody(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK)
    scene.receive()
    site.near.check(["install", "-d", "-m", "0700", STATE])
    site.near.check(["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "none", STATE])
    assert_compliant(scene.audit())
    site.near.output(["dd", "if=/dev/zero", f"of={STATE}/ballast", "bs=4k"])
    rogue = scene.violate()
    full = scene.audit()
    assert full.exit_code == 1
    assert RULE in {known["rule"] for known in scene.posted()[-1]["appeared"]}, full.stderr
    assert "this run is not remembered" in full.stderr
    assert "No space left on device" in full.stderr
    site.near.path(f"{STATE}/ballast").unlink()
    scene.end(rogue)
    assert scene.audit().exit_code == 0


def test_who_could_be_told_otherwise_by_others_than_root_is_told_nothing(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, COMMAND)
    file = site.near.path(FILE)
    for mode in (0o666, 0o620):
        file.chmod(mode)
        refused = scene.audit()
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert f"{FILE}: others can write to {FILE}" in refused.stderr
    file.chmod(0o644)
    site.near.write("/run/lab/page", "#!/bin/sh\n")
    site.near.path("/run/lab/page").chmod(0o777)
    scene.tell({"name": "pager", "command": {"argv": ["/run/lab/page"]}})
    refused = scene.audit()
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "/run/lab/page: others can write to /run/lab/page, who would act as nobody" in refused.stderr
    site.near.check(["chown", "nobody", "/run/lab/page"])
    site.near.path("/run/lab/page").chmod(0o700)
    assert_compliant(scene.audit())


def test_a_preflight_tells_too_and_its_dry_run_does_not(site: Lab, tmp_path: Path) -> None:
    scene = Scene(site, tmp_path, WEBHOOK)
    scene.receive()
    site.near.write("/etc/airgap-check/policy.yaml", json.dumps(APPROVED))
    options = ("--alerts", FILE, "--state", STATE, "--cgroup", str(site.cgroup), "--format", "json")
    with Wiretap(site.far) as wire:
        dry = site.check("preflight", "--dry-run", *options[:-2])
        assert (dry.exit_code, sent(wire) - QUERIES) == (4, set()), dry.summary()
    scene.violate()
    found = site.check("preflight", *options)
    assert found.exit_code == 1, found.summary()
    (alert,) = scene.posted()
    assert RULE in {known["rule"] for known in alert["appeared"]}
