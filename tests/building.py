"""Evidence and policies for tests, built in one line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from airgap_check import rulebook
from airgap_check.address import Scope, parse
from airgap_check.evidence import AnyRecord, Connection, Evidence, Runtime, Status
from airgap_check.evidence.fact import Endpoint, Process, endpoint
from airgap_check.evidence.inspection import Clock, Inspection, PolicyReference, Run, Subject, Tool
from airgap_check.evidence.rehearsed import Encounter
from airgap_check.policy import file as policyfile
from airgap_check.recording import collector_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airgap_check.policy import Policy
    from airgap_check.rule import RuleSet

STARTED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
COLLECTORS = ("environment", "sockets", "resolution", "listeners")
RUNTIME = Runtime(
    product="ObjectOS", version="4.2.0", cloud_url="unset", unset_means="offline", process=Process(pid=10, name="node")
)


def remote(address: str, port: int | None = None, scope: Scope | None = None) -> Endpoint:
    parsed = parse(address)
    assert parsed is not None
    return endpoint(parsed, port, scope=scope)


def connection(address: str, port: int | None = 443, **changes: Any) -> Connection:
    scope = changes.pop("scope", None)
    facts: dict[str, Any] = {
        "netns": 1,
        "protocol": "tcp",
        "state": "ESTAB",
        "direction": "outbound",
        "local": remote("10.0.0.2"),
        "remote": remote(address, port, scope),
    }
    return Connection(**{**facts, **changes})


def inspection(
    *records: AnyRecord,
    status: Mapping[str, Status] | None = None,
    runtime: bool = True,
    extra: Sequence[Evidence] = (),
) -> Inspection:
    """Put records under their collectors, all of which saw everything unless told otherwise."""
    everything = (*records, RUNTIME) if runtime else records
    evidence = [
        Evidence(
            kind=collector,
            status=(status or {}).get(collector, "complete"),
            reason="as the test says" if (status or {}).get(collector) else "",
            records=tuple(record for record in everything if collector_of(record) == collector),
        )
        for collector in COLLECTORS
    ]
    return Inspection(
        tool=Tool(name="airgap-check", version="0", sha256="0" * 64),
        subject=Subject(hostname="host", machine_id_hash=None, boot_id=None, kernel="Linux", scope="host"),
        run=Run(uid=0, login_uid=None, sudo_user=None, capabilities=(), argv=("audit",)),
        clock=Clock(synchronized=True, source="adjtimex"),
        started=STARTED,
        finished=STARTED,
        policy=PolicyReference(path="policy.yaml", sha256="0" * 64, derived=False),
        evidence=(*evidence, Evidence(kind="policy", status="complete"), *extra),
    )


def encounter(name: str | None = None, port: int = 443, **changes: Any) -> Encounter:
    """Reach for a name in a sealed world, public unless told otherwise; without a name, for an address."""
    address, scope = changes.pop("address", "198.18.3.4"), changes.pop("scope", "public" if name else None)
    facts: dict[str, Any] = {
        "protocol": "tcp",
        "remote": msgspec.structs.replace(remote(address, port, scope), name=name),
        "process": Process(pid=12, name="node"),
    }
    return Encounter(**{**facts, **changes})


def rehearsal(*records: AnyRecord, extra: Sequence[Evidence] = (), **options: Any) -> Inspection:
    """Put records under their collectors, and beside each encounter of a process the attempt that it was."""
    attempts = [
        connection(
            one.remote.address or "", one.remote.port, state="attempt", seen="attempts", protocol=one.protocol,
            process=one.process, scope=one.remote.scope,
        )
        for one in records
        if isinstance(one, Encounter) and one.seen == "world"
    ]  # fmt: skip
    encounters = [one for one in records if isinstance(one, Encounter) and one.seen == "world"]
    named = [msgspec.structs.replace(made, remote=one.remote) for made, one in zip(attempts, encounters, strict=True)]
    beyond: dict[str, list[AnyRecord]] = {"attempts": list(named), "world": []}
    for record in records:
        if (collector := collector_of(record)) not in COLLECTORS:
            beyond.setdefault(collector, []).append(record)
    status = options.get("status") or {}
    seen = [
        Evidence(
            kind=kind,
            status=status.get(kind, "complete"),
            reason="as the test says" if kind in status else "",
            records=tuple(found),
        )
        for kind, found in beyond.items()
    ]
    made = inspection(*records, extra=(*seen, *extra), runtime=options.pop("runtime", False), **options)
    return msgspec.structs.replace(made, source="rehearsal", claim="observed")


def policy(*allow: Mapping[str, Any], **sections: Any) -> Policy:
    """Check a policy as if it stood in a file; without entries it allows one database that no test uses."""
    entries = [{"name": f"entry {number}", "role": "other", **entry} for number, entry in enumerate(allow)]
    spare = [{"name": "spare", "role": "database", "cidr": "10.255.255.255/32", "ports": [1]}]
    text = msgspec.json.encode({"version": 1, "allow": entries or spare, **sections})
    kinds = {rule.id: rule.kind for rule in RULES.rules} if "waivers" in sections else {}
    return policyfile.load("policy.yaml", text, kinds)


class _Rules:
    """The shipped rules, loaded when a test first needs them."""

    _loaded: RuleSet | None = None

    def __getattr__(self, name: str) -> Any:
        if _Rules._loaded is None:
            _Rules._loaded = rulebook.load()
        return getattr(_Rules._loaded, name)


RULES: Any = _Rules()
