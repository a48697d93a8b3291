"""The real runtime, the real PostgreSQL. The slow parts stand once: a boot takes some ten seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live import runtime
from tests.live.lab import DATABASE, Lab
from tests.live.site import NAME_SERVER, UNIT, assert_compliant, assert_finding, policy, serious

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SQLITE = "file:/run/lab/objectos/data.db"
PUBLIC_CLOUD = "https://cloud.objectos.ai"
MUST_BE_OFF = {"cloud_url": "must-be-off"}


@pytest.fixture(scope="module")
def modules() -> Path:
    return runtime.installed()


@pytest.fixture(scope="module")
def with_postgresql(modules: Path) -> Iterator[Lab]:
    with Lab() as lab:
        lab.assign(DATABASE)
        runtime.serve_postgresql(lab.far)
        runtime.start(lab, modules, {"OS_CLOUD_URL": "off", "OS_DATABASE_URL": runtime.DATABASE_URL})
        yield lab


def test_a_runtime_with_a_cloud_url_fails_by_process_and_value(lab: Lab, modules: Path) -> None:
    runtime.start(lab, modules, {"OS_CLOUD_URL": PUBLIC_CLOUD, "OS_DATABASE_URL": SQLITE})
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 1, audit.summary()
    findings = audit.findings("environment.cloud-url-set")
    assert {finding["record"]["process"]["name"] for finding in findings} == {"node"}
    assert {finding["record"]["value"] for finding in findings} == {PUBLIC_CLOUD}
    assert {finding["record"]["workload"]["name"] for finding in findings} == {UNIT}


def test_a_runtime_that_is_switched_off_the_cloud_is_compliant(lab: Lab, modules: Path) -> None:
    runtime.start(lab, modules, {"OS_CLOUD_URL": "off", "OS_DATABASE_URL": SQLITE})
    audit = lab.audit(policy=policy(runtime=MUST_BE_OFF))
    assert_compliant(audit)
    assert {running["process"]["name"] for running in audit.report["subject"]["runtimes"]} == {"node"}


def test_a_runtime_on_an_allowlisted_postgresql_is_compliant(with_postgresql: Lab) -> None:
    audit = with_postgresql.audit(policy=policy(runtime=MUST_BE_OFF))
    assert_compliant(audit)
    approved = {
        (connection["record"]["remote"]["address"], connection["by"]) for connection in audit.report["connections"]
    }
    assert (DATABASE, "core database") in approved


def test_the_same_runtime_fails_when_the_entry_is_removed(with_postgresql: Lab) -> None:
    audit = with_postgresql.audit(policy={"version": 1, "allow": [NAME_SERVER], "runtime": MUST_BE_OFF})
    assert audit.exit_code == 1, audit.summary()
    assert serious(audit) == {"connection.not-allowlisted", "environment.endpoint-not-allowlisted"}
    assert_finding(
        audit, "connection.not-allowlisted", process="node", workload=UNIT, remote__address=DATABASE,
        remote__port=5432,
    )  # fmt: skip
    assert runtime.PASSWORD not in audit.stdout
