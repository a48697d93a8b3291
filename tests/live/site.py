"""A compliant site in a laboratory, its policy, and what to say when a planted violation is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.live.lab import DATABASE, RESOLVER, Audit, Lab

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.live.lab_host import Running

UNIT = "objectos.service"
ARTIFACT = "/run/lab/objectos/artifact.json"
PASSWORD = "tr0ub4dor-and-3"
SETTINGS = {
    "OS_ARTIFACT_FILE": ARTIFACT,
    "OS_BUSINESS_DB_URL": f"postgres://objectos:{PASSWORD}@{DATABASE}:5432/objectos",
}
# What a package.json says, and where the tool looks for it; of another product, the settings have other names.
OBJECTOS = ("package.json", '{"name": "objectos", "version": "4.2.0"}')
OPEN_RUNTIME = ("node_modules/@objectstack/cli/package.json", '{"name": "@objectstack/cli", "version": "17.4.0"}')
OPEN_SETTINGS = {"OS_ARTIFACT_PATH": ARTIFACT, "OS_DATABASE_URL": SETTINGS["OS_BUSINESS_DB_URL"]}
CORE_DATABASE = {"name": "core database", "role": "database", "cidr": [f"{DATABASE}/32"], "ports": [5432]}
NAME_SERVER = {"name": "name server", "role": "dns", "cidr": [f"{RESOLVER}/32"], "ports": [53], "protocol": "any"}


def policy(*more: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """Return a policy that approves what the site needs, and more entries, and other sections."""
    return {"version": 1, "allow": [CORE_DATABASE, NAME_SERVER, *more], **rest}


def start_objectos(
    lab: Lab,
    settings: Mapping[str, str] | None = None,
    name: str = "node",
    package: tuple[str, str] | None = OBJECTOS,
) -> Running:
    """Start what looks like a runtime: its package, its environment, its unit, its connection to the database."""
    lab.near.write(ARTIFACT, "{}")
    if package:
        lab.near.write(f"/run/lab/objectos/{package[0]}", package[1])
    lab.serve(DATABASE, 5432)
    environment = SETTINGS if settings is None else settings
    return lab.near.plant("tcp", DATABASE, 5432, name=name, cgroup=UNIT, cwd="/run/lab/objectos", env=environment)


# An entry of the policy that nobody needed, and the artifact on the same file system as all else of the laboratory.
_REMARKS = {"policy.unused-entry", "artifact.mount-writable"}


def serious(audit: Audit) -> set[str]:
    """Name the rules that failed, but for remarks."""
    return audit.failed() - _REMARKS


def assert_compliant(audit: Audit) -> None:
    assert audit.exit_code == 0, audit.summary()
    assert audit.report["verdict"] == "compliant"
    assert not serious(audit), audit.summary()


def assert_violation(
    audit: Audit, rule: str, *, process: str | None = None, workload: str | None = None, **leaves: Any
) -> dict[str, Any]:
    """Assert that this rule alone failed, once, about that process and workload; return the finding's record.

    ``leaves`` are fields of the record, ``__`` for the dot: ``remote__address="10.9.9.9"``.
    """
    assert audit.exit_code == 1, audit.summary()
    assert audit.report["verdict"] == "not_compliant"
    assert serious(audit) == {rule}, audit.summary()
    return assert_finding(audit, rule, process=process, workload=workload, **leaves)


def assert_finding(
    audit: Audit, rule: str, *, process: str | None = None, workload: str | None = None, **leaves: Any
) -> dict[str, Any]:
    """Assert one finding of a rule, whatever else was found."""
    record: dict[str, Any] = audit.finding(rule)["record"]
    if process is not None:
        leaves["process__name"] = process
    if workload is not None:
        leaves["workload__name"] = workload
    for path, expected in leaves.items():
        value: Any = record
        for step in path.split("__"):
            value = value[step]
        assert value == expected, f"{path} is {value!r}\n{audit.summary()}"
    return record
