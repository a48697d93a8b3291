"""A watch in rounds: what is tried is in one report or the next, whatever lies between, and memory has an end."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from tests.live.lab import checker_environment
from tests.live.site import policy
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.lab import Lab

REPORT = "/run/lab/reports/watch.json"
# A new port every 10 ms, until somebody ends it.
KNOCK = """
import signal, socket, sys, time
going = [True]
signal.signal(signal.SIGTERM, lambda *_: going.clear())
port = 10000
while going:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("10.50.0.1", port))
        except OSError:
            pass
    port += 1
    time.sleep(0.01)
print("done", flush=True)
"""
# As many destinations as there are ports times addresses, as fast as it goes.
FLOOD = """
import socket
for host in range(4):
    for port in range(1024, 51024):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            try:
                one.connect((f"10.60.0.{host}", port))
            except OSError:
                pass
"""
MOST = 400 << 20  # bytes that a watch may ever hold while it watches


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Reports:
    """The reports that a watch has written, each once, by when its time began; each takes the place of the last."""

    def __init__(self, lab: Lab) -> None:
        lab.near.check(["install", "-d", "-m", "0700", "/run/lab/reports"])
        self._path = lab.near.path(REPORT)
        self.found: dict[str, dict[str, Any]] = {}
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._looking.join()
        self._read()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self._read()

    def _read(self) -> None:
        with suppress(FileNotFoundError):
            report = json.loads(self._path.read_text())
            self.found = self.found | {report["started"]: report}


def ports(report: dict[str, Any]) -> set[int]:
    records = [judged["record"] for judged in report["connections"]]
    return {one["remote"]["port"] for one in records if one["remote"]["address"] == "10.50.0.1"}


def test_no_attempt_is_lost_between_one_round_and_the_next(lab: Lab) -> None:
    rest = {"runtime": {"expected": False}}
    watching = Vigil(lab, "--every", "2s", "--report", f"json={REPORT}", policy=policy(**rest))
    with Reports(lab) as reports, watching as vigil:
        knocking = lab.near.run([sys.executable, "-c", KNOCK], cgroup="knocking")
        until(lambda: len(reports.found) >= 2)
        # Another policy begins another round, too; one that is invalid does not.
        lab.near.write("/etc/airgap-check/policy.yaml", "version: 2\n")
        vigil.send(signal.SIGHUP)
        vigil.hear("reload: refused")
        vigil.hear("reload: /etc/airgap-check/policy.yaml:1:")
        approved = {
            "name": "approved",
            "role": "other",
            "cidr": ["10.50.0.1"],
            "ports": ["10000-20000"],
            "protocol": "udp",
        }
        lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy(approved, **rest)))
        vigil.send(signal.SIGHUP)
        vigil.hear("reload: a new policy")
        until(lambda: any(one["policy"]["entries"][-1]["name"] == "approved" for one in reports.found.values()))
        knocking.signal(signal.SIGTERM)
        knocking.expect("done")
        audit = vigil.end()
    rounds = [reports.found[key] for key in sorted(reports.found)]
    assert audit.exit_code == 1, "the worst of all rounds"
    under_the_old = [one for one in rounds if one["policy"]["entries"][-1]["name"] != "approved"]
    tried = set().union(*map(ports, under_the_old))
    assert tried == set(range(10000, max(tried) + 1))
    for before, after in pairwise(rounds):
        assert before["window"]["end"] == after["window"]["start"]
    for report in rounds:
        if report not in under_the_old:
            (strict,) = [one for one in report["results"] if one["rule"] == "connection.not-allowlisted"]
            assert [finding["message"] for finding in strict["findings"]] == []


def test_a_round_that_cannot_begin_leaves_the_one_before_at_work(lab: Lab) -> None:
    """Nobody looks away because a file is missing at the moment of the change: it is said, and tried again."""
    composed = lab.near.path("/run/lab/compose.yaml")
    lab.near.write("/run/lab/compose.yaml", "services: {objectos: {image: 'registry.internal/objectos:1'}}")
    options = ["--every", "1s", "--no-traffic", "--no-self-test", "--deployment", "/run/lab/compose.yaml"]
    with Vigil(lab, *options, policy=policy(runtime={"expected": False})) as vigil:
        vigil.hear("report:")
        composed.unlink()
        vigil.hear("another round cannot begin, and this one not be reported: /run/lab/compose.yaml: no such file")
        lab.near.plant("udp", "10.70.0.1", 4321, cgroup="late")
        vigil.hear("10.70.0.1")
        audit = vigil.end()
    assert audit.exit_code == 1
    assert any("10.70.0.1" in line for line in map(str, audit.report["results"]))


def test_two_hundred_thousand_destinations_do_not_fill_the_memory(lab: Lab) -> None:
    with Vigil(lab, "--no-traffic", policy=policy(runtime={"expected": False})) as vigil:
        lab.near.check([sys.executable, "-c", FLOOD], cgroup="flood")
        vigil.hear("10.60.0.")
        peak = lab.near.path(f"/proc/{vigil.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        assert int(peak) << 10 < MOST
        lab.near.be_patient(300)  # for a report of fifty thousand findings
        audit = vigil.end()
    assert audit.exit_code == 1
    assert audit.stderr.count("10.60.0.") == 30, "lines in the first minute"
    attempts = audit.coverage("attempts")
    assert attempts["status"] == "partial"
    assert attempts["lost"] + attempts["counts"]["distinct"] >= 200_000


# A watch whose wall clock is set forward by an hour after its first look: there is no other way to set only our own.
JUMP = """
import json, sys, threading
from datetime import UTC, datetime, timedelta
from airgap_check import service
from airgap_check.plan import Observing, Plan, Watcher
from airgap_check.watching import rounds

told, stop, ahead = [], threading.Event(), timedelta(0)

def tell(notice):
    told.append(notice.text)

class Clock:
    ahead = timedelta(0)
    def __call__(self):
        return datetime.now(UTC) + self.ahead

clock = Clock()
def ready(line):
    threading.Timer(1, lambda: setattr(clock, "ahead", timedelta(hours=1))).start()

plan = Plan(state="", observing=Observing(cgroup=sys.argv[1], traffic=False, prove=False))
watcher = Watcher(clock, lambda _: None, ready, lambda _: None, stop)
found = []
for done, final in rounds.run(plan, watcher, rounds.Audience(threading.Event(), tell, service.Manager({}, 0))):
    stop.set()
    continuity = [item for item in done.inspection.evidence if item.kind == "continuity"]
    found.append({
        "gaps": [(end - begin).total_seconds() for begin, end in done.report.window.gaps],
        "causes": [record.cause for item in continuity for record in item.records],
        "seconds": [record.seconds for item in continuity for record in item.records],
        "final": final,
        "failed": [result.rule for result in done.report.results if result.outcome == "fail"],
    })
print(json.dumps([told, found]))
"""


def test_a_clock_that_jumps_is_told_leaves_a_gap_and_begins_another_round(lab: Lab) -> None:
    lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy(runtime={"expected": False})))
    said = lab.near.check([sys.executable, "-c", JUMP, str(lab.cgroup)], env=checker_environment())
    told, (first, second) = json.loads(said)
    assert told == ["nobody can vouch for 3600 s: clock"]
    assert first["causes"] == ["clock"]
    assert first["seconds"] == [3600]
    assert [3600 < gap < 3660 for gap in first["gaps"]] == [True]
    assert "continuity.clock-jump" in first["failed"]
    assert second == {**second, "gaps": [], "causes": [], "final": True}
