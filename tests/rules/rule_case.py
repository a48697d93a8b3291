"""Knows the case files of the rules: a policy fragment, some records, and what one rule must say of them.

A case is written in a few words: an endpoint is ``10.0.0.1:5432`` (its scope is found as the product finds it) or
a mapping with a scope of its own, a process is its name, and what a record must have but a case does not care for has
a default.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from airgap_check import address, recording, rulebook, yamlfile
from airgap_check.engine import Terms, judge
from airgap_check.evidence import AnyRecord, Evidence, PolicyTrust, Status
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.evidence.inspection import Clock, Inspection, PolicyReference, Run, Source, Subject, Tool
from airgap_check.policy import file as policyfile

if TYPE_CHECKING:
    from airgap_check.finding import Report
    from airgap_check.policy import Policy
    from airgap_check.rule import RuleSet

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "rules"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COLLECTORS = ("environment", "sockets", "resolution", "listeners", "policy")  # of every snapshot

_POLICY: dict[str, Any] = {
    "version": 1,
    "allow": [{"name": "core database", "role": "database", "cidr": "10.20.0.0/28", "ports": [5432]}],
    "runtime": {"expected": False},
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "connection": {
        "netns": 4026531840, "protocol": "tcp", "state": "ESTAB", "direction": "outbound", "local": "10.20.9.5:40001",
        "process": "node",
    },
    "setting": {"place": {"kind": "process", "pid": 4711}, "process": "node"},
    "runtime": {"product": "ObjectOS", "version": "4.2.0", "process": "node"},
    "question": {
        "netns": 4026531840, "type": "A", "protocol": "dns", "server": "10.20.0.53:53", "process": "node",
    },
    "request": {"netns": 4026531840, "source": "tls", "protocol": "tcp", "process": "node"},
    "counter": {"netns": 4026531840, "name": "OutNoRoutes"},
    "use": {"entry": "core database", "count": 1},
    "resolver": {"netns": 4026531840, "source": "/etc/resolv.conf"},
    "answer": {"netns": 4026531840, "source": "dns", "status": "ok"},
    "listener": {"netns": 4026531840, "protocol": "tcp", "process": "nginx"},
    "artifact": {"path": "/srv/app/objectstack.json"},
    "reference": {
        "path": "/srv/app/objectstack.json", "pointer": "$.webhooks[0].url", "text": "", "dialer": "server-event",
        "seen": "artifact",
    },
    "check": {"subject": "objectstack.json"},
    "package": {"id": "com.acme.crm", "path": "/srv/app/.objectstack/installed-packages/com.acme.crm.json"},
    "image": {"seen": "deployment"},
    "opening": {"subject": "Deployment objectos", "path": "/srv/deploy/network-policy.yaml"},
    "probe": {"purpose": "needed", "protocol": "postgresql", "process": "node"},
    "interruption": {},
    "encounter": {"protocol": "tcp", "process": "node"},
    "visit": {},
    "policy-file": {"path": "/etc/airgap-check/policy.yaml"},
}  # fmt: skip


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case. ``coverage`` gives a collector another status than complete; ``because`` names leaves that held.

    Collectors beyond those of a snapshot took part where ``coverage`` names them, or a record is theirs.
    """

    name: str
    outcome: str
    findings: int = 0
    policy: dict[str, Any] = {}
    records: tuple[dict[str, Any], ...] = ()
    coverage: dict[str, Status] = {}
    because: dict[str, Any] = {}
    message: str | None = None
    source: Source = "host"


@cache
def rules() -> RuleSet:
    """Load the shipped rules."""
    return rulebook.load()


@cache
def cases(rule_id: str) -> tuple[Case, ...]:
    """Read the cases of one rule."""
    path = FOLDER / f"{rule_id}.yaml"
    return msgspec.convert(yamlfile.parse(path.name, path.read_bytes()).value, tuple[Case, ...])


def case_ids() -> list[str]:
    """List the rules that have a case file."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def policy_of(fragment: dict[str, Any]) -> Policy:
    """Check a policy made of a fragment laid over a minimal one."""
    text = yaml.safe_dump({**_POLICY, **fragment}, allow_unicode=True)
    return policyfile.load("policy.yaml", text.encode(), {rule.id: rule.kind for rule in rules().rules})


def inspection_of(case: Case) -> Inspection:
    """Build what a run would have seen."""
    standing = COLLECTORS if case.source in {"host", "rehearsal"} else (case.source, "policy")
    seen: dict[str, list[AnyRecord]] = {collector: [] for collector in (*standing, *case.coverage)}
    for raw in case.records:
        record = record_of(raw)
        collector = "policy" if isinstance(record, PolicyTrust) else recording.collector_of(record)
        seen.setdefault(collector, []).append(record)
    return Inspection(
        tool=Tool(name="airgap-check", version="0", sha256="0" * 64),
        subject=Subject(hostname="host", machine_id_hash=None, boot_id=None, kernel="6.1", scope="host"),
        run=Run(uid=0, login_uid=None, sudo_user=None, capabilities=(), argv=("airgap-check", "audit")),
        clock=Clock(synchronized=True, source="test"),
        started=NOW,
        finished=NOW,
        policy=PolicyReference(path="policy.yaml", sha256="0" * 64, derived=False),
        source=case.source,
        evidence=tuple(_evidence(kind, tuple(records), case) for kind, records in seen.items()),
    )


def _evidence(kind: str, records: tuple[AnyRecord, ...], case: Case) -> Evidence:
    status = case.coverage.get(kind, "complete")
    return Evidence(
        kind=kind,
        status=status,
        records=() if status == "unavailable" else records,
        reason="" if status == "complete" else "the case says so",
    )


def record_of(raw: dict[str, Any]) -> AnyRecord:
    """Fill a record's defaults and decode it. Raises `msgspec.ValidationError` for what is no record."""
    filled = {**_DEFAULTS[raw["kind"]], **raw}
    for key in ("local", "remote", "server", "endpoint"):
        if key in filled and not (key == "server" and raw["kind"] == "answer"):
            filled[key] = _endpoint(filled[key])
    for key in ("endpoints", "addresses"):
        if key in filled:
            filled[key] = [_endpoint(item) for item in filled[key]]
    if isinstance(filled.get("process"), str):
        filled["process"] = {"pid": 4711, "name": filled["process"], "executable": f"/usr/bin/{filled['process']}"}
    record: AnyRecord = msgspec.convert(msgspec.to_builtins(filled), AnyRecord)
    return record


def _endpoint(written: Any) -> Endpoint:
    if not isinstance(written, str):
        return msgspec.convert(written, Endpoint)
    host, colon, port = written.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = written, ""
    number = int(port) if port else None
    parsed = address.parse(host)
    return endpoint(parsed, number) if parsed else Endpoint(name=host, port=number)


def judged(case: Case) -> Report:
    """Judge a case by every shipped rule."""
    return judge(inspection_of(case), rules(), policy_of(case.policy), Terms())
