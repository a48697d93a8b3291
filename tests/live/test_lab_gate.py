"""The whole way to green: the real runtime in a network of its own, real servers of every kind; then each broken."""

from __future__ import annotations

import json
import pwd
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import runtime, servers
from tests.live.lab import DATABASE, FAR, FAR6, PUBLIC, PUBLIC6, RESOLVER, Audit, Lab
from tests.live.lab_host import PATH, PYTHON, LabError
from tests.live.names import serve_dnsmasq
from tests.live.site import policy
from tests.live.test_lab_preflight import about_the_gap, close_the_gap, preflight, probes, start
from tests.live.wiretap import Wiretap
from tests.unit.probes.minting import ISSUERS, OCSP, REVOKED, mint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab_host import Host
    from tests.unit.probes.minting import Pair

pytestmark = pytest.mark.live

PROVIDER, MAIL, STORE, CLUSTER, LEDGER, HOOK, DRAGGING = (f"10.30.0.{last}" for last in (20, 30, 40, 50, 60, 70, 71))
STATE = "/run/lab/state"
PATIENCE = 120.0
ENTRIES = [
    {"name": "identity", "role": "idp", "cidr": f"{PROVIDER}/32", "ports": [80]},
    {"name": "mail", "role": "smtp", "host": "mail.corp.example", "ports": [587]},
    {"name": "store", "role": "object-storage", "cidr": f"{STORE}/32", "ports": [9000]},
    {"name": "cluster", "role": "cluster", "cidr": f"{CLUSTER}/32", "ports": [6379]},
    {"name": "ledger", "role": "database", "cidr": f"{LEDGER}/32", "ports": [3306]},
    {"name": "hook", "role": "webhook", "cidr": f"{HOOK}/32", "ports": [443]},
]
PLACES = {
    (DATABASE, 5432), (PROVIDER, 80), (MAIL, 587), (STORE, 9000), (CLUSTER, 6379), (LEDGER, 3306), (HOOK, 443),
}  # fmt: skip
SETTINGS = {
    "OS_CLOUD_URL": "off", "OS_DATABASE_URL": runtime.DATABASE_URL, "OS_EMAIL_PROVIDER": "smtp",
    "OS_EMAIL_SMTP_HOST": "mail.corp.example", "OS_EMAIL_SMTP_PORT": "587",
    "OS_STORAGE_S3_ENDPOINT": f"http://{STORE}:9000", "OS_STORAGE_S3_BUCKET": "backups",
    "OS_REDIS_URL": f"redis://{CLUSTER}:6379",
}  # fmt: skip
_HTTPS = """
import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2] + "/server.crt", sys.argv[2] + "/server.key")
server = http.server.ThreadingHTTPServer((sys.argv[1], 443), http.server.BaseHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
_CHANGE = """
import sys
from datetime import datetime
from airgap_check.history.store import Store
with Store(sys.argv[1]) as memory:
    memory.keep_preflight(memory.preflight()._replace(**{sys.argv[2]: datetime.fromisoformat(sys.argv[3])}))
"""
_REMEMBERED = """
import json, sqlite3, sys
print(json.dumps(list(sqlite3.connect(sys.argv[1]).execute("SELECT made FROM preflight"))))
"""
_REFUSE = (
    "table inet broken { chain in { type filter hook input priority 0; tcp dport { %s } reject with tcp reset; }; }"
)


def _approved(*more: dict[str, Any], **rest: Any) -> dict[str, Any]:
    canaries = {"names": ["www.vendor.com"], "addresses": [PUBLIC]}
    return policy(*ENTRIES, *more, canaries=canaries, runtime={"cloud_url": "must-be-off"}, **rest)


def _serve(lab: Lab, folder: Path) -> None:
    """Start everything that the site needs, in the far host."""
    for address in (DATABASE, PROVIDER, MAIL, STORE, CLUSTER, LEDGER, HOOK, DRAGGING):
        lab.assign(address)
    authority = mint("Bank Root", authority=True)
    runtime.serve_postgresql(lab.far)
    module = [sys.executable, "-m"]
    mail = _written(lab.far, mint("mail", authority, hosts=["mail.corp.example"]), "mail")
    for argv in (
        [*module, "oidc_provider_mock", "--host", PROVIDER, "--port", "80"],
        [*module, "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", f"{MAIL}:587", "--no-requiretls",
         "--tlscert", f"{mail}/server.crt", "--tlskey", f"{mail}/server.key"],
        [*module, "moto.server", "-H", STORE, "-p", "9000"],
        ["redis-server", "--bind", CLUSTER, "--protected-mode", "no", "--save", "", "--dir", "/run/lab"],
        [PYTHON, "-c", _HTTPS, HOOK, _written(lab.far, mint("hook", authority, hosts=[HOOK]), "hook")],
        [PYTHON, "-c", _HTTPS, DRAGGING,
         _written(lab.far, mint("dragging", authority, hosts=[DRAGGING], services=True), "dragging")],
    ):  # fmt: skip
        _background(lab.far, argv)
    owner = pwd.getpwnam("mysql")
    lab.far.run(servers.mariadb_command(folder, LEDGER, 3306), user=(owner.pw_uid, owner.pw_gid))
    for address, port in (*PLACES, (DRAGGING, 443)):
        servers.connected_in(lab.near, address, port).close()


def _written(far: Host, pair: Pair, name: str) -> str:
    """Put a certificate and its key where a server of the far host reads them."""
    folder = far.path(f"/run/lab/{name}")
    folder.mkdir()
    pair.write(folder)
    return f"/run/lab/{name}"


def _background(host: Host, argv: list[str], **how: Any) -> int:
    with Path("/dev/null").open("r+b") as nothing:
        return host.start(argv, files=(nothing.fileno(),) * 3, **how)


def _boot(lab: Lab) -> None:
    """Start the real runtime in a network namespace of its own, which knows no way but to the site's networks."""
    near = lab.near
    near.write("/run/lab/objectos/artifact.json", (runtime.SOURCE / "artifact.json").read_text())
    modules = runtime.installed()
    waiting = ["unshare", "--net", "sh", "-c", 'echo unwired; read -r _; exec "$@" > log 2>&1 < /dev/null', "sh"]
    started = near.run(
        [*waiting, str(modules / ".bin" / "os"), "start"],
        env={
            "PATH": f"{modules}/node/bin:{PATH}", "HOME": "/run/lab/objectos", "NODE_ENV": "production",
            "OS_PORT": "8080", "OS_ARTIFACT_PATH": "/run/lab/objectos/artifact.json", **SETTINGS,
        },
        cgroup="objectos.service", cwd="/run/lab/objectos",
    )  # fmt: skip
    started.expect("unwired")
    lab.wire_container(started.pid)
    enter = ["nsenter", "--target", str(started.pid), "--net"]
    ways = "\n".join(f"route add 10.{net}.0.0/16 via 172.17.0.1" for net in (20, 30))
    near.check([*enter, "ip", "-batch", "-"], stdin=f"route del default\n{ways}\n")
    started.go_on()
    ask = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2).read()"
    deadline = time.monotonic() + PATIENCE
    while near.output([*enter, PYTHON, "-I", "-c", ask, runtime.HEALTH])[0]:
        if time.monotonic() > deadline:
            raise LabError(near.path("/run/lab/objectos/log").read_text()[-4000:])
        time.sleep(0.2)


@pytest.fixture(scope="module")
def gate() -> Iterator[Lab]:
    """A laboratory with all that a site has: slow to set up, and left as it was by every test."""
    with servers.folder_of("mysql") as folder, Lab() as lab:
        serve_dnsmasq(lab, {"mail.corp.example": MAIL})
        _serve(lab, folder)
        close_the_gap(lab)
        _boot(lab)
        yield lab


def _run(lab: Lab, *options: str, policy: dict[str, Any], state: str = STATE) -> Audit:
    return preflight(lab, "--record", "/run/lab/gate.jsonl", "--state", state, *options, policy=policy)


def test_with_everything_in_its_place_the_gate_is_green(gate: Lab) -> None:
    listed = _run(gate, "--dry-run", policy=_approved())
    with Wiretap(gate.far) as tap:
        audit = _run(gate, policy=_approved())
        heard = tap.heard()
    assert audit.exit_code == 0, audit.summary()
    assert "green until" in audit.stderr
    spoken = {probe["protocol"]: probe for probe in probes(audit, gate, "/run/lab/gate.jsonl")}
    needed = [probe for probe in probes(audit, gate, "/run/lab/gate.jsonl") if probe["purpose"] != "canary"]
    assert {probe["outcome"] for probe in needed} == {"reached"}
    assert {probe["protocol"] for probe in needed} == {
        "postgresql", "oidc", "smtp", "s3", "redis", "mysql", "tcp", "runtime",
    }  # fmt: skip
    assert spoken["s3"]["detail"] == "HTTP 404, there is no such bucket"
    assert spoken["smtp"]["tls"].startswith("TLSv1.3")
    assert audit.outcome("runtime.control-plane-mounted") == "pass"
    assert audit.outcome("identity.no-login-path") == "pass"
    # nothing has left but what was listed: the runtime itself talks to its database, and to nobody else
    assert {packet.target for packet in heard if packet.protocol == "tcp"} == PLACES
    assert {packet.target for packet in heard if packet.protocol != "tcp"} == {(RESOLVER, 53)}
    lines = [line.split() for line in listed.stdout.splitlines() if line.startswith("needed")]
    assert {words[2] for words in lines} == {
        f"{'mail.corp.example' if host == MAIL else host}:{port}" for host, port in PLACES
    }


def test_what_was_green_is_outdated_by_another_policy_another_artifact_or_a_day(gate: Lab) -> None:
    assert _run(gate, policy=_approved()).exit_code == 0

    def outdated(approved: dict[str, Any]) -> str:
        audit = gate.audit("--state", STATE, policy=approved)
        found = audit.findings("upgrade.preflight-outdated")
        return str(found[0]["message"]) if found else audit.outcome("upgrade.preflight-outdated")

    assert outdated(_approved()) == "pass"
    other = _approved({"name": "more", "role": "other", "cidr": "10.20.0.99/32", "ports": [1]})
    assert "the policy" in outdated(other)
    artifact = gate.near.path("/run/lab/objectos/artifact.json")
    before = artifact.read_text()
    gate.near.write("/run/lab/objectos/artifact.json", before + "\n")
    assert "an artifact" in outdated(_approved())
    gate.near.write("/run/lab/objectos/artifact.json", before)
    assert outdated(_approved()) == "pass"
    _remembered(gate, "until", "2020-01-01T00:00:00+00:00")
    assert "it held until 2020-01-01" in outdated(_approved())
    _remembered(gate, "made", "2099-01-01T00:00:00+00:00")
    assert "set back" in outdated(_approved())


def _remembered(lab: Lab, column: str, value: str) -> None:
    """Change what is remembered of the last green preflight, as the passing of time would."""
    lab.near.check([sys.executable, "-c", _CHANGE, STATE, column, value])


def test_each_that_is_broken_is_a_finding_of_its_own_and_nothing_stays_green(gate: Lab) -> None:
    state = "/run/lab/another-state"
    assert _run(gate, policy=_approved(), state=state).exit_code == 0
    assert len(_cleared(gate, state)) == 1
    ports = ", ".join(str(port) for _, port in sorted(PLACES))
    gate.far.check(["nft", "-f", "-"], stdin=_REFUSE % ports)
    audit = _run(gate, policy=_approved(), state=state)
    gate.far.check(["nft", "delete", "table", "inet", "broken"])
    assert audit.exit_code == 1, audit.summary()
    records = [finding["record"] for finding in audit.findings("endpoint.unreachable")]
    needed = ("core database", "mail", "store", "cluster", "ledger", "hook")
    assert {record["entry"]: record["outcome"] for record in records} == dict.fromkeys(needed, "refused")
    assert audit.finding("identity.unreachable")["record"]["entry"] == "identity"
    assert about_the_gap(audit) == {"endpoint.unreachable", "identity.unreachable"}, audit.summary()
    assert _cleared(gate, state) == []  # the green one of before is forgotten
    gone = {"name": "gone", "role": "smtp", "cidr": f"{FAR}/32", "ports": [25]}
    mild = _run(gate, "--fail-on", "critical", policy=_approved(gone), state=state)
    assert mild.exit_code == 0, mild.summary()
    assert mild.findings("endpoint.unreachable")
    assert "green until" not in mild.stderr
    assert _cleared(gate, state) == []


def _cleared(lab: Lab, state: str) -> list[Any]:
    """Return what is remembered of green preflights."""
    found: list[Any] = json.loads(lab.near.check([PYTHON, "-I", "-c", _REMEMBERED, f"{state}/history.sqlite"]))
    return found


def test_a_certificate_that_names_hosts_is_egress_that_waits(gate: Lab) -> None:
    """No entry is for port 80: else a name that nobody may ask for could be that of an approved address."""
    entry = {"name": "dragging", "role": "webhook", "cidr": f"{DRAGGING}/32", "ports": [443]}
    audit = _run(gate, policy=policy(entry, canaries={"addresses": [PUBLIC]}, runtime={"cloud_url": "must-be-off"}))
    records = [finding["record"] for finding in audit.findings("endpoint.certificate-host")]
    assert {record["text"] for record in records} == {OCSP, ISSUERS, REVOKED}
    assert {record["path"] for record in records} == {f"{DRAGGING}:443"}


def test_a_second_runtime_with_its_control_plane_mounted_does_not_hide_behind_the_first(gate: Lab) -> None:
    modules = runtime.installed()
    gate.near.write("/run/lab/second/artifact.json", (runtime.SOURCE / "artifact.json").read_text())
    pid = _background(
        gate.near, [str(modules / ".bin" / "os"), "start"],
        env={
            "PATH": f"{modules}/node/bin:{PATH}", "HOME": "/run/lab/second", "NODE_ENV": "production",
            "OS_PORT": "8081", "OS_ARTIFACT_PATH": "/run/lab/second/artifact.json",
            "OS_DATABASE_URL": "file:/run/lab/second/data.db",
        },
        cgroup="second.service", cwd="/run/lab/second",
    )  # fmt: skip
    servers.connected_in(gate.near, "127.0.0.1", 8081).close()
    audit = _run(gate, policy=_approved())
    gate.near.ask({"signal": 15, "pid": pid})
    gate.near.exit_code(pid)
    assert audit.exit_code == 1, audit.summary()
    mounted = audit.findings("runtime.control-plane-mounted")
    assert {finding["record"]["subject"] for finding in mounted} == {"127.0.0.1:8081"}


def test_nothing_leaves_by_ipv6_but_what_was_listed(lab: Lab) -> None:
    database = lab.assign("fd20::5")
    lab.serve(database, 5432)
    lab.assign(PUBLIC6)
    lab.near.ip(f"route del default via {FAR6}", f"route add fd20::/16 via {FAR6}", f"route del default via {FAR}")
    start(lab)
    entry = {"name": "six", "role": "monitoring", "cidr": f"{database}/128", "ports": [5432]}
    given = {"version": 1, "allow": [entry], "canaries": {"names": [], "addresses": [PUBLIC6]}}
    with Wiretap(lab.far) as tap:
        audit = preflight(lab, "--record", "/run/lab/evidence.jsonl", "--no-resolve", policy=given)
        heard = tap.heard()
    outcomes = {(probe["purpose"], probe["outcome"]) for probe in probes(audit, lab)}
    assert outcomes == {("needed", "reached"), ("canary", "unreachable")}, audit.summary()
    assert [packet.target for packet in heard] == [(database, 5432)]
    assert audit.outcome("endpoint.public-route") == "pass"


@pytest.mark.parametrize("who", ["a router of the internet", "a router of the site"])
def test_a_router_beyond_the_gap_that_refuses_a_canary_has_been_reached(lab: Lab, who: str) -> None:
    """The answer is an ICMP message in the router's own name: whose router it is makes the difference."""
    lab.serve(DATABASE, 5432)
    start(lab)
    router = lab.assign("93.184.216.1")
    # the far host refuses what it does not own, and signs with a public address
    lab.far.sysctl("net/ipv4/ip_forward", 1)
    lab.far.ip(f"address del {FAR}/30 dev eth0", f"route add 10.99.0.0/30 dev eth0 src {router}")
    lab.far.ip("route add prohibit 93.184.216.0/24", f"address add {FAR}/32 dev lo")
    networks = {"internal": [f"{router}/32"]} if who.endswith("site") else {}
    canaries = {"names": [], "addresses": ["93.184.216.77"]}
    audit = preflight(lab, policy=policy(canaries=canaries, networks=networks))
    found = audit.findings("endpoint.canary-open")
    assert [router in finding["message"] for finding in found] == ([] if networks else [True]), audit.summary()
