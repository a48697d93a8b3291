"""Whole reports for the tests of reporters: judged by the real engine under the shipped rules, in one line.

`sample` has something of everything that a report can hold, hostile text included; `of_size` has as many findings as it
is asked for.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from airgap_check.engine import Terms, judge
from airgap_check.evidence import (
    Answer,
    Counter,
    Evidence,
    Interruption,
    Listener,
    PolicyTrust,
    Question,
    Request,
    Resolver,
    Setting,
)
from airgap_check.evidence.asset import Check, Reference
from airgap_check.evidence.fact import Endpoint, Place, Process, Workload
from airgap_check.evidence.inspection import Run, Subject, Tool, Trial
from airgap_check.finding import Finding, JudgedConnection
from airgap_check.policy import file as policyfile
from airgap_check.policy.acceptance import Baseline, known
from tests.building import RULES, STARTED, connection, inspection, remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence import AnyRecord, Connection
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report, RuleResult

HOSTILE = (
    "a\"b'c`d\\e <script>alert(1)</script> & | ; , =cmd() @x +1 -1 % ${x} {{y}} [l](h) *b* _u_ # ]]> "
    "\x00\x07\x1b[31mred\x1b[0m\x7f\x85 \r\n\ttab \u202eltr\u202c \u2028 \ufeff \U0001f480 שלום é <!-- --> </style>"
)
FINISHED = STARTED + timedelta(minutes=10)
UNIT = Workload(kind="unit", id="objectos.service", name="objectos.service")
CONTAINER = Workload(kind="container", id="ab" * 32, name="web", image="registry.bank.example/web:1", pod=None)
NODE = Process(
    pid=10, started=STARTED, name="node", executable="/usr/bin/node", command="node server.js", user="objectos"
)
CURL = Process(pid=977, started=STARTED, name="curl", executable="/usr/bin/curl", command="curl -s", user="root")
EVIL = Process(
    pid=666, started=STARTED, name=HOSTILE, executable=f"/tmp/{HOSTILE}", command=f"x {HOSTILE}", user=HOSTILE
)

POLICY = b"""\
version: 1
approved: {by: J. Doe, on: 2026-11-20}
allow:
  - {name: core database, role: database, host: db.bank.example, cidr: 10.20.0.0/28, ports: [5432], owner: dba}
  - {name: mail, role: smtp, host: mail.bank.example, ports: [587]}
  - {name: old ftp, role: other, cidr: 10.3.3.3/32, ports: [21], expires: 2026-01-01}
  - {name: never used, role: ntp, cidr: 10.4.4.4/32, ports: [123], protocol: udp}
inbound: []
networks: {domains: [bank.example]}
waivers:
  - rule: connection.not-allowlisted
    match: {remote.address: 10.9.9.9}
    reason: the old "mail" relay | until <spring>
    owner: ops@bank.example
    expires: 2027-03-01
  - rule: connection.not-allowlisted
    match: {remote.address: 10.8.8.8}
    reason: forgotten
    owner: ops@bank.example
    expires: 2026-03-01
"""


def sample() -> Report:
    """Return one report with something of everything; it is not compliant, by 1."""
    return _sample()


def compliant() -> Report:
    """Return the report of a host on which all is well."""
    seen = _whole(inspection(connection("10.20.0.5", 5432, process=NODE, workload=UNIT), _ANSWER), "snapshot")
    text = POLICY[: POLICY.index(b"  - {name: mail")] + b"inbound: []\nnetworks: {domains: [bank.example]}\n"
    return _judged(seen, text)


def inconclusive() -> Report:
    """Return the report of a run that found nothing, and did not see enough."""
    seen = inspection(_ANSWER, status={"sockets": "unavailable", "environment": "partial"})
    text = POLICY[: POLICY.index(b"  - {name: mail")]
    return _judged(_whole(seen, "snapshot"), text)


def of_size(number: int) -> Report:
    """Return the sample with that many findings: connections, settings and delivered files, of three rules."""
    report = _sample()
    spread = {"connection.public-destination": 5, "connection.not-allowlisted": 4, "environment.cloud-url-set": 1}
    results, connections = [], list(report.connections)
    begin = 0
    for result in report.results:
        if result.rule not in spread:
            results.append(replace(result, findings=()) if result.findings else result)
            continue
        share = spread.pop(result.rule)
        end = number if not spread else begin + number * share // 10
        findings = []
        for index in range(begin, end):
            record = _setting(index) if result.rule.startswith("environment") else _numbered(index, result.rule)
            findings.append(_finding(result, record, index))
            if not isinstance(record, Setting):
                connections.append(JudgedConnection(record=record, allowed="no", by=None))
        results.append(replace(result, outcome="fail" if findings else "pass", findings=tuple(findings)))
        begin = end
    return replace(report, results=tuple(results), connections=tuple(connections), baseline=None)


def _finding(result: RuleResult, record: AnyRecord, index: int) -> Finding:
    shown: dict[str, Any] = msgspec.to_builtins(record)
    model = next(finding for finding in result.findings if not finding.waived_by)
    return replace(
        model,
        subject=f"{model.subject} {index}",
        message=f"{model.message} {index}",
        record={**model.record, **shown},
        fingerprint=sha256(f"{result.rule} {index}".encode()).hexdigest()[:32],
    )


def _numbered(index: int, rule: str) -> Connection:
    first = 93 if rule.endswith("public-destination") else 10
    address = f"{first}.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
    process = replace(CURL, pid=1000 + index)
    return _attempt(address, 443, index % 600, process=process, workload=CONTAINER)


def _setting(index: int) -> Setting:
    place = Place(kind="unit", path=f"/etc/systemd/system/objectos-{index}.service", line=7, unit="objectos.service")
    return Setting(name="OS_CLOUD_URL", value=f"https://c{index}.example.com", posture="url", place=place)


_ANSWER = Answer(
    name="db.bank.example", netns=1, source="dns", status="ok", addresses=(remote("10.20.0.5"),), ttl=60, server="::1"
)


def _attempt(address: str, port: int | None, second: int, **changes: Any) -> Connection:
    first = STARTED + timedelta(seconds=second)
    facts: dict[str, Any] = {"state": "attempt", "seen": "attempts", "first": first, "last": first, **changes}
    return connection(address, port, **facts)


def _observed() -> tuple[Evidence, ...]:
    """Say what was seen while time passed, and what was not."""
    minutes = [STARTED + timedelta(minutes=minute) for minute in range(11)]
    attempts = (
        _attempt("10.20.0.5", 5432, 5, process=NODE, workload=UNIT, count=40, last=minutes[9]),
        _attempt("93.184.216.34", 443, 90, process=CURL, workload=CONTAINER, count=3, last=minutes[8]),
        _attempt("2606:4700::6810:1", 443, 100, process=EVIL),
        _attempt("10.7.7.7", 8080, 120, process=EVIL, workload=UNIT),
        _attempt("10.0.0.25", 587, 130, process=NODE, workload=UNIT),
    )
    asked = {"netns": 1, "type": "A", "protocol": "dns", "server": remote("10.0.0.53", 53), "seen": "traffic"}
    public = "telemetry.example.com"
    traffic: tuple[AnyRecord, ...] = (
        Question(name=public, status="nxdomain", process=NODE, workload=UNIT, first=minutes[1], last=minutes[4],
                 count=12, **asked),  # type: ignore[arg-type]
        Question(name="db.bank.example", status="ok", process=NODE, workload=UNIT, first=minutes[0], last=minutes[9],
                 **asked),  # type: ignore[arg-type]
        Request(netns=1, source="tls", name=public, protocol="tcp", remote=remote("93.184.216.34", 443), process=CURL,
                workload=CONTAINER, first=minutes[2], last=minutes[2]),
        Answer(name="cdn.bank.example", netns=1, source="observed", status="ok", addresses=(remote("93.184.216.34"),),
               ttl=30, server="10.0.0.53", first=minutes[1], seen="traffic"),
    )  # fmt: skip
    pause = Interruption(cause="suspended", first=minutes[5], last=minutes[6], seconds=60, overdue="no")
    night = Interruption(
        cause="no-run", first=STARTED - timedelta(hours=9), last=STARTED, seconds=9 * 3600, overdue="yes"
    )
    return (
        Evidence(kind="attempts", status="complete", records=attempts, scope="all cgroups", counts={"attempts": 46}),
        Evidence(kind="traffic", status="partial", records=traffic, reason="1 interface of 3 went away", lost=17,
                 counts={"frames": 51234}, blind=("inside tunnels", "loopback | <lo>")),
        Evidence(kind="counters", status="complete", records=(Counter(netns=1, name="OutNoRoutes", increase=4),)),
        Evidence(kind="sockdiag", status="unavailable", reason="CAP_NET_ADMIN is missing", scope="this host"),
        Evidence(kind="continuity", status="complete", records=(pause, night)),
    )  # fmt: skip


def _deployed() -> Evidence:
    """Say what the deployment files ask for."""
    compose = "/srv/objectos/deploy #1/compose é.yaml"
    checks = (
        Check(aspect="network-internal", subject="network front", outcome="failed", detail="is not internal",
              path=compose, line=31, seen="deployment"),
        Check(aspect="builds-on-host", subject="service web", outcome="failed", detail=HOSTILE, path=compose, line=12,
              seen="deployment"),
        Check(aspect="pull-policy", subject="service web", outcome="failed", detail="pulls always", path="relative.yml",
              line=3, seen="deployment"),
    )  # fmt: skip
    return Evidence(kind="deployment", status="complete", records=checks, counts={"files": 2})


def _artifacts() -> Evidence:
    reference = Reference(
        path="/srv/objectos/objectstack.json", pointer="/flows/0/url", line=88, text="https://hooks.example.com/x",
        role="webhook", dialer="server-event", endpoint=Endpoint(name="hooks.example.com", port=443), process=NODE,
        workload=UNIT, seen="artifact",
    )  # fmt: skip
    return Evidence(kind="artifact", status="complete", records=(reference,))


@cache
def _sample() -> Report:
    unit = Place(kind="unit", path="/etc/systemd/system/objectos.service", line=7, unit="objectos.service")
    cloud = Endpoint(name="cloud.objectos.ai", port=443)
    records: tuple[AnyRecord, ...] = (
        Setting(name="OS_CLOUD_URL", value="https://cloud.objectos.ai", posture="url", role="control-plane",
                endpoints=(cloud,), place=unit),
        Setting(name="OS_CLOUD_URL", value=HOSTILE, posture="other", role="control-plane",
                place=Place(kind="process", pid=666), process=EVIL),
        Setting(name="SMTP_URL", value="smtp://10.5.5.5:25", posture="url", role="smtp",
                endpoints=(remote("10.5.5.5", 25),), place=Place(kind="process", pid=10), process=NODE,
                workload=UNIT),
        connection("10.20.0.5", 5432, process=NODE, workload=UNIT, count=8),
        connection("93.184.216.34", process=CURL, workload=CONTAINER, state="SYN-SENT"),
        connection("10.9.9.9", 25, process=NODE, workload=UNIT),
        connection("10.8.8.8", 25, process=NODE, workload=UNIT),
        connection("10.7.7.7", 8080, process=EVIL, workload=UNIT),
        connection("10.6.6.6", 9000, process=CURL),
        connection("10.0.0.25", 587, process=NODE, workload=UNIT),
        connection("224.0.0.251", 5353, protocol="udp", process=CURL),
        connection("255.255.255.255", 67, protocol="udp", process=CURL, local=remote("0.0.0.0", 68)),
        connection("10.1.2.3", 40001, direction="inbound", process=NODE, workload=UNIT, local=remote("10.0.0.2", 8080)),
        connection("93.184.216.35", 443, direction="unknown", ownerless=True, state="TIME-WAIT"),
        Listener(netns=1, protocol="tcp", local=remote("0.0.0.0", 8080), process=NODE, workload=UNIT),
        Resolver(netns=1, address="8.8.8.8", scope="public", source="/etc/resolv.conf"),
        _ANSWER,
    )  # fmt: skip
    earlier = inspection(*records[:-2], connection("239.66.6.6", 6666, protocol="udp", process=EVIL), _ANSWER)
    before = _judged(_whole(earlier, "snapshot"), POLICY)
    seen = inspection(*records, extra=(*_observed(), _deployed(), _artifacts()), status={"environment": "partial"})
    return _judged(_whole(seen, "observed"), POLICY, _baseline(before))


def _baseline(report: Report) -> Baseline:
    """Make an earlier report a baseline, but for one finding that is new since."""
    findings = tuple(one for one in known(report) if "10.6.6.6" not in one[0].message)
    return Baseline(path="last <week>.json", sha256="ab" * 32, hostname="app1.bank.example", machine_id_hash="cd" * 16,
                    finished=STARTED - timedelta(days=7), findings=findings)  # fmt: skip


def _whole(seen: Inspection, claim: str) -> Inspection:
    """Say who looked at which host, when, and which of it was not observed."""
    gap = (STARTED + timedelta(minutes=5), STARTED + timedelta(minutes=6))
    trials: Sequence[Trial] = (
        Trial(mode="refused", observer="attempts", seen="yes", process="right"),
        Trial(mode="refused", observer="traffic", seen="no", note="the interface went away"),
        Trial(mode="no-route", observer="attempts", seen="yes", process="wrong"),
        Trial(mode="prohibit", observer="attempts", seen="skipped", note="no rule could be made <here>"),
    )
    observed = claim == "observed"
    trust = Evidence(
        kind="policy",
        status="complete",
        records=(PolicyTrust(path="policy.yaml", trusted="no" if observed else "yes", reason="others can write it"),),
    )
    return replace(
        seen,
        tool=Tool(name="airgap-check", version="1.2.3", sha256="1" * 64),
        subject=Subject(
            hostname="app1.bank.example",
            machine_id_hash="cd" * 16,
            boot_id="0c1d2e3f-0000-4000-8000-000000000001",
            kernel="Linux 6.1.0",
            scope="host",
        ),
        run=Run(uid=0, login_uid=1000, sudo_user="jdoe", capabilities=("CAP_NET_ADMIN",), argv=("audit", "--observe")),
        finished=FINISHED if observed else STARTED + timedelta(seconds=2),
        claim=claim,
        gaps=(gap,) if observed else (),
        self_test=tuple(trials) if observed else (),
        relaxed=("no-traffic-of lo",) if observed else (),
        evidence=(*(item for item in seen.evidence if item.kind != "policy"), trust),
    )


def _judged(seen: Inspection, policy: bytes, baseline: Baseline | None = None) -> Report:
    kinds = {rule.id: rule.kind for rule in RULES.rules}
    return judge(seen, RULES, policyfile.load("policy.yaml", policy, kinds), Terms(baseline=baseline))
