"""The gate in a laboratory: what is needed is reached, the gap stays closed, and nothing else is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import runtime
from tests.live.lab import CONTAINER, DATABASE, FAR, PUBLIC, RESOLVER, SILENT, Audit, Lab
from tests.live.names import serve_dnsmasq
from tests.live.site import ARTIFACT, OBJECTOS, PASSWORD, SETTINGS, UNIT, policy, serious
from tests.live.wiretap import Wiretap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.live.lab_host import Running

pytestmark = pytest.mark.live

PROVIDER, CLOSED, HIDDEN = "10.30.0.20", "10.30.0.21", "10.30.0.22"
IDP = {"name": "identity", "role": "idp", "cidr": [f"{PROVIDER}/32"], "ports": [80]}
CANARY = {"names": [], "addresses": [PUBLIC]}
_SERVE = f"""
import http.server, json
document = {{"issuer": "http://{PROVIDER}", "token_endpoint": "http://{PROVIDER}/token",
             "authorization_endpoint": "http://{PROVIDER}/authorize", "jwks_uri": "http://{PROVIDER}/keys"}}
class Provider(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps(document).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
server = http.server.ThreadingHTTPServer(("{PROVIDER}", 80), Provider)
print("ready", flush=True)
server.serve_forever()
"""


def start(lab: Lab, **settings: str) -> Running:
    """Start what looks like a runtime and does nothing by itself."""
    _install(lab)
    environment = {**SETTINGS, **settings}
    return lab.near.plant("idle", name="node", cgroup=UNIT, cwd="/run/lab/objectos", env=environment)


def _install(lab: Lab) -> None:
    lab.near.write(ARTIFACT, '{"manifest": {"id": "com.bank.app", "version": "1.0.0"}}')
    lab.near.write(f"/run/lab/objectos/{OBJECTOS[0]}", OBJECTOS[1])


def close_the_gap(lab: Lab) -> None:
    """Let routes lead to the site's own networks and nowhere else."""
    lab.near.ip("route del default", f"route add 10.20.0.0/16 via {FAR}", f"route add 10.30.0.0/16 via {FAR}")


def _serve_identity(lab: Lab) -> None:
    lab.assign(PROVIDER)
    lab.far.run(["python3", "-c", _SERVE]).expect("ready")


@pytest.fixture(scope="module")
def ready() -> Iterator[Lab]:
    """A laboratory in which all is as it should be: slow to set up, and changed by no test."""
    with Lab() as lab:
        lab.assign(DATABASE)
        runtime.serve_postgresql(lab.far)
        _serve_identity(lab)
        serve_dnsmasq(lab, {"db.corp.example": DATABASE})
        close_the_gap(lab)
        start(lab)
        yield lab


def preflight(lab: Lab, *options: str, policy: Mapping[str, Any]) -> Audit:
    lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy))
    return lab.check(
        "preflight", "--format", "json", "--cgroup", str(lab.cgroup), *options, cgroup="auditor"
    )  # fmt: skip


def about_the_gap(audit: Audit) -> set[str]:
    """Name the rules that failed and are about where something leads, not about what is installed."""
    folders = {"connection", "traffic", "resolution", "environment", "endpoint", "identity"}
    return {rule for rule in serious(audit) if rule.partition(".")[0] in folders}


def probes(audit: Audit, lab: Lab, path: str = "/run/lab/evidence.jsonl") -> list[dict[str, Any]]:
    """Return the probes that a run recorded."""
    lines = map(json.loads, lab.near.path(path).read_text().splitlines())
    assert audit.report
    return [line for line in lines if line.get("kind") == "probe"]


def test_all_reached_and_the_gap_closed_is_compliant_and_bound_to_this_boot(ready: Lab) -> None:
    by_name = {"name": "replica", "role": "database", "host": "db.corp.example", "ports": [5432]}
    with Wiretap(ready.far) as tap:
        audit = preflight(
            ready, "--record", "/run/lab/evidence.jsonl", policy=policy(IDP, canaries=CANARY)
        )  # fmt: skip
        assert tap.tried() == [(DATABASE, 5432), (PROVIDER, 80)]
    assert audit.exit_code == 0, audit.summary()
    assert not about_the_gap(audit), audit.summary()
    assert audit.coverage("probes")["status"] == "complete"
    assert "green until" in audit.stderr
    told = {(probe["protocol"], probe["outcome"]) for probe in probes(audit, ready)}
    assert told == {("postgresql", "reached"), ("oidc", "reached"), ("tcp", "unreachable")}
    assert PASSWORD not in audit.stdout + audit.stderr
    both = preflight(ready, "--record", "/run/lab/both.jsonl", policy=policy(by_name, IDP, canaries=CANARY))
    assert both.exit_code == 0, both.summary()
    shared = [probe for probe in probes(both, ready, "/run/lab/both.jsonl") if "tried as" in probe["detail"]]
    assert [(probe["remote"]["name"], probe["outcome"]) for probe in shared] == [("db.corp.example", "reached")]


def test_a_dry_run_lists_it_all_sends_nothing_and_is_never_green(ready: Lab) -> None:
    named = {"name": "replica", "role": "database", "host": "db.corp.example", "ports": [5433]}
    many = {"name": "pool", "role": "database", "cidr": "10.20.1.0/24", "ports": [5432]}
    given = policy(named, IDP, many, canaries={"names": ["www.vendor.com"], "addresses": [PUBLIC]})
    ready.near.write("/etc/airgap-check/policy.yaml", json.dumps(given))
    before = ready.near.counters()
    with Wiretap(ready.far) as tap:
        listed = ready.check("preflight", "--dry-run", "--record", "/run/lab/none.jsonl", cgroup="auditor")
        assert tap.heard() == []
    assert ready.near.counters() == before
    assert listed.exit_code == 4, listed.stderr
    assert "no evidence is written" in listed.stderr
    assert not ready.near.path("/run/lab/none.jsonl").exists()
    lines = listed.stdout.splitlines()
    real = preflight(ready, "--record", "/run/lab/listed.jsonl", policy=given)
    done = {
        f"{probe['purpose']} {probe['protocol']} {probe['remote'].get('name') or probe['remote']['address']}:"
        f"{probe['remote']['port']}"
        for probe in probes(real, ready, "/run/lab/listed.jsonl")
    }
    assert done == {" ".join(line.split()[:3]) for line in lines if line.split()[1] in {"postgresql", "oidc", "tcp"}}
    assert [line for line in lines if line.startswith("not sent") and "10.20.1.0/24" in line]
    assert [line for line in lines if "db.corp.example" in line and line.startswith("name")]
    assert [line for line in lines if line.startswith("canary") and "www.vendor.com" in line]


def test_an_endpoint_that_is_not_reached_fails_in_every_way_and_each_is_tried_once(ready: Lab) -> None:
    ready.assign(CLOSED)
    ready.near.ip(f"route replace prohibit {HIDDEN}/32")
    entries = [
        {"name": "closed", "role": "smtp", "cidr": f"{CLOSED}/32", "ports": [25]},
        {"name": "silent", "role": "cluster", "cidr": "10.30.9.9/32", "ports": [6379]},
        {"name": "hidden", "role": "webhook", "cidr": f"{HIDDEN}/32", "ports": [443]},
        {"name": "nameless", "role": "object-storage", "host": "nothing.corp.example", "ports": [443]},
        {"name": "impostor", "role": "database", "cidr": f"{PROVIDER}/32", "ports": [80]},
    ]
    with Wiretap(ready.far) as tap:
        audit = preflight(ready, policy=policy(*entries, canaries=CANARY))
        assert tap.tried() == sorted([(DATABASE, 5432), (CLOSED, 25), ("10.30.9.9", 6379), (PROVIDER, 80)])
    ready.near.ip(f"route del prohibit {HIDDEN}/32")
    assert audit.exit_code == 1, audit.summary()
    found = {
        finding["record"]["entry"]: finding["record"]["outcome"] for finding in audit.findings("endpoint.unreachable")
    }
    assert found == {"closed": "refused", "silent": "timeout", "hidden": "unreachable", "nameless": "unresolved"}
    # our own attempts, which had no route or no answer, are nobody's violation
    assert about_the_gap(audit) <= {"endpoint.unreachable", "resolution.unresolvable"}, audit.summary()


def test_a_canary_that_answers_or_has_a_route_opens_the_gap(lab: Lab) -> None:
    lab.serve(DATABASE, 5432)
    lab.serve(PUBLIC, 443)
    refusing = lab.assign("93.184.216.35")
    start(lab)
    canaries = {"names": [], "addresses": [PUBLIC, refusing, SILENT]}
    with Wiretap(lab.far) as tap:
        audit = preflight(lab, policy=policy(canaries=canaries))
        tried = tap.tried()
    outside = {(address, 443) for address in (PUBLIC, refusing, SILENT)}
    assert sorted(place for place in tried if place in outside) == sorted(outside)
    assert audit.exit_code == 1, audit.summary()
    opened = {finding["record"]["remote"]["address"] for finding in audit.findings("endpoint.canary-open")}
    assert opened == {PUBLIC, refusing}
    routed = {finding["record"]["subject"] for finding in audit.findings("endpoint.public-route")}
    assert routed == {PUBLIC, refusing, SILENT}
    assert not about_the_gap(audit) & {"connection.public-destination", "connection.unattributed-attempts"}, (
        audit.summary()
    )


def test_a_firewall_that_says_no_in_its_own_name_keeps_the_gap_closed(lab: Lab) -> None:
    lab.serve(PUBLIC, 443)
    start(lab)
    rules = (
        "table inet gap { chain out { type filter hook output priority 0; "
        f"ip daddr {PUBLIC} reject with icmp type port-unreachable; }}; }}"
    )
    lab.near.check(["nft", "-f", "-"], stdin=rules)
    audit = preflight(lab, policy=policy(canaries=CANARY))
    assert not audit.findings("endpoint.canary-open")
    assert audit.findings("endpoint.public-route")


def test_a_canary_name_that_the_internal_resolver_knows_is_a_way_out(ready: Lab) -> None:
    serve_dnsmasq(ready, {"www.vendor.com": PUBLIC}, "10.20.0.54")
    canaries = {"names": ["www.vendor.com"], "addresses": []}
    closed = preflight(ready, policy=policy(IDP, canaries=canaries))
    assert closed.exit_code == 0, closed.summary()
    ready.near.write("/etc/resolv.conf", "nameserver 10.20.0.54\n")
    server = {"name": "other server", "role": "dns", "cidr": "10.20.0.54/32", "ports": [53], "protocol": "any"}
    opened = preflight(ready, policy=policy(IDP, server, canaries=canaries))
    ready.near.write("/etc/resolv.conf", f"nameserver {RESOLVER}\n")
    assert opened.exit_code == 1, opened.summary()
    assert opened.finding("endpoint.canary-resolved")["record"]["subject"] == "www.vendor.com"
    assert about_the_gap(opened) == {"endpoint.canary-resolved"}, opened.summary()


def test_without_a_canary_nobody_can_tell(ready: Lab) -> None:
    audit = preflight(ready, policy=policy(IDP))
    assert audit.exit_code == 4, audit.summary()
    assert any("no canary is named" in reason for reason in audit.report["reasons"])
    assert "green until" not in audit.stderr


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "10.1.1.1", "127.0.0.1", "240.0.0.1", "2001:db8::1", "169.254.169.254", "224.0.0.1"]
)
def test_canaries_that_prove_nothing_are_refused(ready: Lab, address: str) -> None:
    audit = preflight(ready, policy=policy(canaries={"names": [], "addresses": [address]}))
    assert audit.exit_code == 2, audit.summary()
    assert address in audit.stderr


def test_probes_are_sent_from_the_container_and_see_its_own_names(lab: Lab) -> None:
    lab.serve(DATABASE, 5432)
    _install(lab)
    entry = {
        "name": "core", "role": "monitoring", "host": "db.corp.example", "ports": [5432], "for": {"unit": UNIT},
    }  # fmt: skip
    settings = {"OS_ARTIFACT_FILE": ARTIFACT, "OS_BUSINESS_DB_URL": "postgres://x:y@db.corp.example:5432/x"}
    runtime_ = lab.near.plant(
        "namespace", DATABASE, 5432, name="node", cgroup=UNIT, cwd="/run/lab/objectos", env=settings, until="unwired"
    )
    lab.wire_container(runtime_.pid)
    runtime_.go_on()
    runtime_.expect("ready")
    lab.near.write("/etc/hosts", f"127.0.0.1 localhost\n{DATABASE} db.corp.example\n")
    with Wiretap(lab.far) as tap:
        audit = preflight(
            lab, "--record", "/run/lab/evidence.jsonl", policy=policy(entry, canaries={"addresses": [SILENT]})
        )  # fmt: skip
        sources = {packet.source[0] for packet in tap.heard() if packet.target == (DATABASE, 5432)}
    assert sources == {CONTAINER}
    needed = [probe for probe in probes(audit, lab) if probe["purpose"] == "needed"]
    assert {probe["workload"]["name"] for probe in needed} == {UNIT}
    inode = int(lab.near.path(f"/proc/{runtime_.pid}/ns/net").readlink().name[5:-1])
    assert {probe["netns"] for probe in needed} == {inode}
    # packets have no process, and the entry is for the unit alone: ours would leave the rule undecided
    assert audit.outcome("connection.not-allowlisted") == "pass", audit.summary()
    assert audit.coverage("traffic")["counts"]["own_probes"]


def test_where_no_runtime_is_only_this_host_was_seen(ready: Lab) -> None:
    audit = preflight(ready, "--no-resolve", policy=policy(IDP, canaries={"names": ["www.vendor.com"]}))
    assert audit.exit_code == 4, audit.summary()
    assert "--no-resolve" in audit.coverage("probes")["reason"]
    with Lab() as empty:
        lonely = preflight(empty, policy=policy(canaries=CANARY, runtime={"expected": False}))
        assert "no runtime was found" in lonely.coverage("probes")["reason"]
        assert lonely.coverage("probes")["status"] == "partial"
