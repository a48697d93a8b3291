"""Watching a host: attempts that no snapshot could see are judged, by the same rules, with the right process."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.lab import PUBLIC, SILENT
from tests.live.names import serve_dnsmasq
from tests.live.site import UNIT, assert_finding, policy, serious
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from tests.live.lab import Audit, Lab

pytestmark = pytest.mark.live

WITHOUT = ("setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-bpf,-perfmon,-sys_admin")


def _found(audit: Audit, rule: str) -> set[tuple[str, str]]:
    """Return who was found to reach whom."""
    assert audit.exit_code == 1, audit.summary()
    return {
        (finding["record"]["process"]["name"], finding["record"]["remote"]["address"])
        for finding in audit.findings(rule)
    }


def test_a_host_that_attempts_nothing_unlisted_is_compliant(site: Lab) -> None:
    with Vigil(site, policy=policy()) as vigil:
        site.near.plant("attempt", "10.20.0.5", 5432, name="node", cgroup=UNIT)
        audit = vigil.end()
    assert audit.exit_code == 0, audit.summary()
    assert audit.report["claim"] == "observed"
    assert audit.coverage("attempts")["lost"] == 0
    assert {trial["seen"] for trial in audit.report["self_test"] if trial["observer"] == "attempts"} == {"yes"}


def test_an_attempt_that_was_over_at_once_is_told_and_judged(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    with Vigil(site, policy=policy()) as vigil:
        site.near.plant("attempt", PUBLIC, 443, name="telemetry", cgroup=UNIT)
        told = vigil.hear(PUBLIC)
        audit = vigil.end()
    assert "connection.public-destination" in told
    record = assert_finding(audit, "connection.public-destination", process="telemetry", remote__address=PUBLIC)
    assert record["state"] == "attempt"


@pytest.mark.parametrize("protocol", ["tcp", "udp", "raw"])
@pytest.mark.parametrize("route", ["", "prohibit", "unreachable", "blackhole", "throw"])
def test_an_attempt_without_a_packet_is_a_violation(site: Lab, protocol: str, route: str) -> None:
    if route == "throw":
        site.near.ip("route del default")
    elif route:
        site.near.ip(f"route add {route} {SILENT}/32")
    with Vigil(site, policy=policy()) as vigil:
        site.near.plant("attempt", SILENT, 443, protocol, name="leak", cgroup=UNIT)
        if protocol == "raw" and route:
            blind = vigil.end().coverage("attempts")["blind"]
            assert "what raw and ping sockets send where no route leads, or the firewall refuses it" in blind
            return
        vigil.hear(SILENT)
        audit = vigil.end()
    assert ("leak", SILENT) in _found(audit, "connection.public-destination")


def test_a_public_name_that_was_asked_for_is_egress_even_when_it_fails(site: Lab) -> None:
    serve_dnsmasq(site, {"app.corp.example": "10.30.0.7"})
    asked = "import socket\ntry: socket.getaddrinfo('telemetry.vendor.com', 443)\nexcept OSError: pass"
    with Vigil(site, policy=policy()) as vigil:
        site.near.check(["python3", "-c", asked], cgroup=UNIT)
        vigil.hear("telemetry.vendor.com")
        audit = vigil.end()
    assert audit.exit_code == 1, audit.summary()
    assert audit.finding("resolution.public-name-asked")["record"]["name"] == "telemetry.vendor.com"


def test_a_name_approves_what_was_answered_to_the_client(site: Lab) -> None:
    entry: dict[str, Any] = {"name": "app", "role": "webhook", "host": "*.corp.example", "ports": [443]}
    serve_dnsmasq(site, {"app.corp.example": "10.30.0.7"})
    site.assign("10.30.0.7")
    connect = (
        "import socket\ns = socket.socket()\ns.settimeout(1)\n"
        "s.connect_ex((socket.gethostbyname('app.corp.example'), 443))"
    )
    with Vigil(site, policy=policy(entry)) as vigil:
        site.near.check(["python3", "-c", connect], cgroup=UNIT)
        audit = vigil.end()
    (attempt,) = [
        item for item in audit.report["connections"] if item["record"].get("remote", {}).get("address") == "10.30.0.7"
        and item["record"]["seen"] == "attempts"
    ]  # fmt: skip
    assert (attempt["allowed"], attempt["by"]) == ("yes", "app"), audit.summary()


def test_entries_that_the_kernel_applied_count_as_used(site: Lab) -> None:
    entry: dict[str, Any] = {"name": "metrics", "role": "monitoring", "cidr": ["10.30.0.9/32"], "ports": [9090]}
    site.assign("10.30.0.9")
    with Vigil(site, policy=policy(entry)) as vigil:
        site.near.plant("attempt", "10.30.0.9", 9090, name="node", cgroup=UNIT)
        audit = vigil.end()
    unused = {finding["record"]["name"] for finding in audit.findings("policy.unused-entry")}
    assert "metrics" not in unused
    assert audit.exit_code == 0, audit.summary()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_watch_with_its_report(site: Lab, number: signal.Signals) -> None:
    with Vigil(site, policy=policy()) as vigil:
        audit = vigil.end(number)
    assert audit.exit_code == 0, audit.summary()
    assert not serious(audit)


def test_an_observation_of_a_given_time_ends_by_itself(site: Lab) -> None:
    audit = site.audit("--observe", "1s", "--cgroup", str(site.cgroup), policy=policy(), cgroup="auditor")
    assert audit.exit_code == 0, audit.summary()
    assert audit.report["claim"] == "observed"
    assert audit.report["relaxed_by"] == [f"cgroup {site.cgroup}"]


def test_recorded_observations_are_judged_again_and_only_by_the_policy_that_filtered_them(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    with Vigil(site, "--record", "/run/lab/evidence.jsonl", policy=policy()) as vigil:
        site.near.plant("attempt", PUBLIC, 443, name="telemetry", cgroup=UNIT)
        vigil.hear(PUBLIC)
        vigil.end()
    again = site.check("replay", "--format", "json", "/run/lab/evidence.jsonl")
    assert again.exit_code == 1
    assert again.report["claim"] == "replayed"
    other = policy({"name": "p", "role": "webhook", "cidr": f"{PUBLIC}/32", "public": True, "ports": [443]})
    site.near.write("/run/lab/other.yaml", json.dumps(other))
    judged = site.check("replay", "--format", "json", "--policy", "/run/lab/other.yaml", "/run/lab/evidence.jsonl")
    assert judged.exit_code == 4
    assert any("filtered by another policy" in reason for reason in judged.report["reasons"])


_FLOOD = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(%d):
    s.sendto(b"x", (f"10.{100 + (i >> 16)}.{i >> 8 & 255}.{i & 255}", 9))
"""


def test_a_flood_while_nobody_reads_is_counted_to_the_last_and_never_clean(site: Lab) -> None:
    sent = 250_000
    with Vigil(site, "--no-traffic", policy=policy()) as vigil:
        vigil.send(signal.SIGSTOP)
        site.near.check(["python3", "-c", _FLOOD % sent], cgroup=UNIT)
        vigil.send(signal.SIGCONT)
        site.near.be_patient(300)  # for a report of as many findings, on a machine with other things to do
        peak = site.near.path(f"/proc/{vigil.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        audit = vigil.end()
    seen = audit.coverage("attempts")
    distinct = [item for item in audit.report["connections"] if item["record"]["seen"] == "attempts"]
    assert seen["lost"] + len(distinct) == sent
    assert seen["lost"] > 0
    assert seen["status"] == "partial"
    assert int(peak) < 200 * 1024
    assert audit.exit_code == 1  # what was seen of it is a violation


def test_a_flood_of_what_would_be_allowed_is_inconclusive_when_some_of_it_was_lost(site: Lab) -> None:
    anywhere = {
        "name": "all", "role": "other", "cidr": [f"10.{part}.0.0/16" for part in range(100, 104)], "ports": [9],
        "protocol": "udp", "for": {"user": "root"},
    }  # fmt: skip
    with Vigil(site, "--no-traffic", policy=policy(anywhere)) as vigil:
        vigil.send(signal.SIGSTOP)
        site.near.check(["python3", "-c", _FLOOD % 250_000], cgroup=UNIT)
        vigil.send(signal.SIGCONT)
        site.near.be_patient(300)
        audit = vigil.end()
    assert audit.exit_code == 4, audit.summary()
    assert any("lost" in reason for reason in audit.report["reasons"])


def test_without_the_right_to_load_programs_the_others_go_on_and_nothing_is_proved(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    with Vigil(site, policy=policy(), under=WITHOUT) as vigil:
        site.near.plant("attempt", PUBLIC, 443, name="telemetry", cgroup=UNIT)
        vigil.hear(PUBLIC)
        audit = vigil.end()
    attempts = audit.coverage("attempts")
    assert (attempts["status"], attempts["reason"].splitlines()) == ("unavailable", [attempts["reason"]])
    assert "CAP_BPF" in attempts["reason"]
    assert audit.exit_code == 1


def test_without_the_right_to_load_programs_silence_proves_nothing(site: Lab) -> None:
    with Vigil(site, policy=policy(), under=WITHOUT) as vigil:
        audit = vigil.end()
    assert audit.exit_code == 4, audit.summary()


def test_destroy_notifications_see_what_was_closed_when_they_are_asked_for(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    with Vigil(site, "--events", "sockdiag", "--no-traffic", policy=policy(), under=WITHOUT) as vigil:
        vigil.hear("sockdiag")
        site.near.plant("attempt", PUBLIC, 443, name="telemetry", cgroup=UNIT)
        vigil.hear(PUBLIC)
        audit = vigil.end()
    assert audit.coverage("sockdiag")["status"] in {"complete", "partial"}
    assert audit.exit_code == 1
    assert audit.findings("connection.public-destination")


def test_what_the_kernel_counted_and_nobody_attempted_is_a_finding(site: Lab) -> None:
    site.assign("2606:4700::1111")
    site.near.check(["ip", "-6", "route", "del", "default"])
    raw = (
        "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)\n"
        "try: s.sendto(bytes(8), ('2606:4700::1', 0))\nexcept OSError: pass"
    )
    with Vigil(site, policy=policy()) as vigil:
        site.near.check(["python3", "-c", raw], cgroup=UNIT)
        audit = vigil.end()
    record = audit.finding("connection.unattributed-attempts")["record"]
    assert record["name"] == "Ip6OutNoRoutes"
    assert record["increase"] >= 1
    assert audit.exit_code == 1


def test_a_watch_leaves_nothing_behind_also_when_it_is_killed(site: Lab) -> None:
    def programs() -> str:
        return site.near.check(["sh", "-c", "ls /proc/*/fd -l 2>/dev/null | grep -c bpf || true"]).strip()

    with Vigil(site, policy=policy()) as vigil:
        assert int(programs()) > 4
        vigil.send(signal.SIGKILL)
        site.near.exit_code(vigil.pid)
    assert programs() == "0"
    assert [path.name for path in site.cgroup.iterdir() if "selftest" in path.name] == []


def test_an_observation_that_was_cut_short_says_so(site: Lab) -> None:
    with Vigil(site, "--observe", "10m", command="audit", policy=policy()) as vigil:
        audit = vigil.end()
    assert audit.exit_code == 0, audit.summary()
    assert any(re.fullmatch(r"observed \d+s of 600s", item) for item in audit.report["relaxed_by"])
