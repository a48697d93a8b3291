"""What `schedule` installs, under a systemd that has booted: it sees as much as root does, and with less would not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.scheduling import hardening, unit
from airgap_check.scheduling.task import Task
from tests.live.scheduled import POLICY, REACH, TOOL, entries, journal, machine_with_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.booted import Booted


@pytest.fixture(scope="module")
def machine() -> Iterator[Booted]:
    """A machine with a runtime and a service in it."""
    with machine_with_runtime() as booted:
        yield booted


def confined(machine: Booted, properties: list[str], *arguments: str) -> dict[str, Any]:
    """Run the tool as a service with these properties; return its report."""
    options = [word for line in properties for word in ("--property", line)]
    done = machine.run("systemd-run", "--quiet", "--wait", "--pipe", "--collect", *options, *TOOL, *arguments)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def properties_of(text: str, *, capabilities: list[str] | None = None) -> list[str]:
    """Return what a unit of ours says of rights and resources, as systemd-run takes it."""
    body = text.partition("# A guest on a production host.\n")[2].partition("\n[Install]")[0]
    lines = [line for line in body.splitlines() if line and not line.startswith("#")]
    if capabilities is None:
        return lines
    kept = [line for line in lines if not line.startswith("CapabilityBoundingSet")]
    return [*kept, f"CapabilityBoundingSet={' '.join(capabilities)}"]


def sight(report: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return how well each collector saw."""
    return {
        item["collector"]: (item["status"], item["reason"], tuple(item["blind"]), item["counts"].get("namespaces"))
        for item in report["coverage"]
        if item["collector"] != "continuity"
    }


def doubts(report: dict[str, Any]) -> list[str]:
    """Return the reasons for which a host without a violation would be inconclusive."""
    return [reason for reason in report["reasons"] if reason.startswith(("required evidence", "undecided"))]


def trials(report: dict[str, Any]) -> set[tuple[str, str]]:
    """Return which of our own attempts an observer saw."""
    return {(trial["mode"], trial["observer"]) for trial in report["self_test"] if trial["seen"] == "yes"}


LOOK = ("audit", "--format", "json", "--state", "/var/lib/airgap-check")
OBSERVE = (*LOOK, "--observe", "2s")
AUDIT = unit.render(Task(argv=("/x",), every=60))[unit.SERVICE]
WATCH = unit.render(Task(argv=("/x",), every=60, watches=True))[unit.WATCH]


@pytest.mark.parametrize(("text", "arguments"), [(AUDIT, LOOK), (WATCH, OBSERVE)], ids=["audit", "watch"])
def test_a_confined_run_sees_as_much_as_root_does(machine: Booted, text: str, arguments: tuple[str, ...]) -> None:
    free = confined(machine, [], *arguments)
    assert sight(free)["environment"][0] == sight(free)["sockets"][0] == sight(free)["resolution"][0] == "complete"
    bound = confined(machine, properties_of(text), *arguments)
    assert {name: (now, sight(bound)[name]) for name, now in sight(free).items() if sight(bound)[name] != now} == {}
    assert trials(bound) >= trials(free)
    assert bound["subject"] == free["subject"]
    assert len(bound["run"]["capabilities"]) < len(free["run"]["capabilities"])


# What docs/scheduling.md says that each capability is for: who sees less without it.
_PEERS = {"sockets", "listeners"}
_FILES = {"environment", "artifact", "state"}
_OBSERVERS = {"attempts", "traffic", "counters"}
_AUDIT_NEEDS = {
    "CAP_SYS_PTRACE": {*_FILES, *_PEERS, "resolution"},
    "CAP_DAC_READ_SEARCH": _FILES,
    "CAP_SYS_ADMIN": _PEERS,
    "CAP_NET_ADMIN": _PEERS,
}
_WATCH_NEEDS = _AUDIT_NEEDS | {
    "CAP_SYS_ADMIN": {*_PEERS, *_OBSERVERS},
    "CAP_NET_ADMIN": {*_PEERS, *_OBSERVERS},
    "CAP_NET_RAW": {"traffic"},
    "CAP_NET_BIND_SERVICE": _OBSERVERS,
}


def impaired(report: dict[str, Any], full: dict[str, Any]) -> set[str]:
    """Name the collectors that saw less than in a full report, by what they say themselves."""
    seen, whole = sight(report), sight(full)
    return {name for name, (status, reason, *_) in seen.items() if status != "complete" and reason != whole[name][1]}


@pytest.fixture(scope="module")
def audited(machine: Booted) -> dict[str, Any]:
    report = confined(machine, properties_of(AUDIT), *LOOK)
    assert doubts(report) == []
    return report


@pytest.fixture(scope="module")
def watched(machine: Booted) -> dict[str, Any]:
    return confined(machine, properties_of(WATCH), *OBSERVE)


@pytest.mark.parametrize("missing", hardening.AUDIT_CAPABILITIES)
def test_without_any_one_capability_an_audit_sees_less(machine: Booted, audited: dict[str, Any], missing: str) -> None:
    kept = [name for name in hardening.AUDIT_CAPABILITIES if name != missing]
    report = confined(machine, properties_of(AUDIT, capabilities=kept), *LOOK)
    assert impaired(report, audited) == _AUDIT_NEEDS[missing]
    # The machine is not compliant anyway: what matters is that one which is would not be called so.
    assert any(reason.startswith("required evidence is partial: ") for reason in doubts(report))


@pytest.mark.parametrize("missing", hardening.WATCH_CAPABILITIES)
def test_without_any_one_capability_a_watch_sees_less(machine: Booted, watched: dict[str, Any], missing: str) -> None:
    kept = [name for name in hardening.WATCH_CAPABILITIES if name != missing]
    report = confined(machine, properties_of(WATCH, capabilities=kept), *OBSERVE)
    assert impaired(report, watched) >= _WATCH_NEEDS[missing]


@pytest.mark.parametrize("restriction", ["PrivateUsers=yes", "ProcSubset=pid"])
def test_what_a_unit_leaves_out_would_blind_it(machine: Booted, audited: dict[str, Any], restriction: str) -> None:
    report = confined(machine, [*properties_of(AUDIT), restriction], *LOOK)
    assert impaired(report, audited) != set()


def test_an_installed_timer_audits(machine: Booted) -> None:
    schedule = (*TOOL, "schedule", "--systemd", "--every", "60s", "--report", "json=/var/log/airgap/50%.json")
    said = machine.run(*schedule, "--install")
    assert said.returncode == 0, said.stderr
    assert "airgap-check.timer is enabled and started" in said.stderr
    assert machine.output("stat", "-c", "%a %U", "/etc/systemd/system/airgap-check.service").split() == ["644", "root"]
    assert machine.show("airgap-check.timer", "ActiveState") == "active"
    assert machine.show("airgap-check.timer", "UnitFileState") == "enabled"
    machine.run("systemctl", "start", "airgap-check.service")
    report = json.loads(machine.output("cat", "/var/log/airgap/50%.json"))
    assert machine.show("airgap-check.service", "ExecMainStatus") == str(report["exit_code"])
    assert {name: sight(report)[name][0] for name in ("environment", "sockets", "resolution")} == {
        "environment": "complete", "sockets": "complete", "resolution": "complete",
    }  # fmt: skip
    assert machine.output("stat", "-c", "%a", "/var/lib/airgap-check").strip() == "700"
    again = machine.run(*schedule, "--install")
    assert again.returncode == 0
    assert "wrote" not in again.stderr
    other = machine.run(*schedule, "--install", "--every", "120s")
    assert other.returncode == 2
    assert "--force replaces it" in other.stderr
    gone = machine.run(*schedule, "--remove")
    assert gone.stderr.count("removed") == 2
    assert machine.show("airgap-check.timer", "LoadState") == "not-found"


def test_a_watch_is_a_service(machine: Booted) -> None:
    name = "airgap-check-watch.service"
    schedule = (*TOOL, "schedule", "--systemd", "--watch", "--report", "json=/var/log/airgap/watch.json")
    said = machine.run(*schedule, "--install")
    assert said.returncode == 0, said.stderr + machine.output("journalctl", "--no-pager", "-u", name)
    # It is Type=notify: to be running it must have said so.
    assert machine.show(name, "SubState") == "running"
    assert machine.show(name, "StatusText").startswith("watching: attempts, traffic, counters")
    machine.write(f"/run/systemd/system/{name}.d/fast.conf", "[Service]\nWatchdogSec=4s\n")
    machine.output("systemctl", "daemon-reload")
    machine.output("systemctl", "restart", name)
    machine.output("rm", "/var/log/airgap/watch.json")  # the first one ended with a report, too
    beat = machine.show(name, "WatchdogTimestampMonotonic")
    machine.until(lambda: machine.show(name, "WatchdogTimestampMonotonic") != beat)

    machine.run("systemd-run", "--quiet", "--wait", "/usr/bin/python3", "-c", REACH)
    machine.until(lambda: "10.9.9.9" in journal(machine, name))
    (line,) = [line for line in entries(machine, name) if "10.9.9.9" in line["MESSAGE"]]
    assert line["PRIORITY"] == "4"
    assert line["MESSAGE"].startswith("high  connection.not-allowlisted  ")

    machine.write("/etc/airgap-check/policy.yaml", POLICY.replace("allow", "alow"))
    machine.output("systemctl", "reload", name)
    machine.until(lambda: "reload: refused" in journal(machine, name))
    assert "did you mean allow?" in journal(machine, name)
    assert machine.run("cat", "/var/log/airgap/watch.json").returncode == 1

    machine.write("/etc/airgap-check/policy.yaml", POLICY.replace("10.20.0.5", "10.9.9.9").replace("5432", "443"))
    machine.output("systemctl", "reload", name)
    machine.until(lambda: machine.run("cat", "/var/log/airgap/watch.json").returncode == 0)
    before = json.loads(machine.output("cat", "/var/log/airgap/watch.json"))
    assert before["verdict"] == "not_compliant"
    assert "10.9.9.9" in str([result["findings"] for result in before["results"]])
    machine.until(lambda: "the last report: not_compliant" in machine.show(name, "StatusText"))

    machine.run("systemd-run", "--quiet", "--wait", "/usr/bin/python3", "-c", REACH)
    machine.output("systemctl", "stop", name)
    last = json.loads(machine.output("cat", "/var/log/airgap/watch.json"))
    assert last["started"] == before["finished"]
    assert last["policy"]["sha256"] != before["policy"]["sha256"]
    assert "10.9.9.9" not in str([result["findings"] for result in last["results"]])
    assert machine.show(name, "Result") == "success"
    assert machine.show(name, "ExecMainStatus") == "1"  # of the worst report
    assert machine.run(*schedule, "--remove").returncode == 0
