"""The real runtime in every posture at once: each unit has exactly its own findings, before any packet."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.live import runtime
from tests.live.lab import Audit, Lab
from tests.live.lab_host import PATH, LabError
from tests.live.site import NAME_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = "17.4.0"
MUST_BE_OFF = {"cloud_url": "must-be-off"}
POLICY = {"version": 1, "allow": [NAME_SERVER], "runtime": MUST_BE_OFF}
OPEN = {"runtime.unset-means-public", "environment.cloud-url-set"}
WANDERING = "environment.endpoint-not-allowlisted"
_PATIENCE = 60.0  # seconds; a bound for a broken test
_LOG = "/run/lab/postures.log"


class Case(NamedTuple):
    """What a unit is told, what stands in its folder, the rules that must fail for it, and where it would go."""

    told: Mapping[str, str]
    finds: set[str]
    targets: tuple[str, ...] = ()
    dotenv: str = ""
    seeded: bool = True


OFF = {"OS_CLOUD_URL": "off"}
SEED = {"OS_ARTIFACT_FILE": "artifact.json", "OS_BUSINESS_DB_URL": "file:data.db", "OS_PROJECT_ID": "proj_local"}
CASES = {
    "unset": Case({}, OPEN),
    "empty": Case({"OS_CLOUD_URL": ""}, OPEN),
    "off": Case(OFF, set()),
    "quoted": Case({"OS_CLOUD_URL": '"off"'}, {"environment.cloud-url-set"}),
    "dotenv": Case({}, set(), dotenv="OS_CLOUD_URL=off\n"),
    "seed": Case(
        SEED,
        OPEN
        | {"runtime.setting-ignored", "environment.artifact-missing"},  # it makes up a database, and tells its child
        seeded=False,
    ),
    "otlp": Case(
        OFF | {"OS_OBS_EXPORTER": "otlp", "OS_OTLP_ENDPOINT": "http://otlp.partner.example:4318"},
        {WANDERING},
        ("otlp.partner.example:4318",),
    ),
    "smtp": Case(
        OFF | {"OS_EMAIL_PROVIDER": "smtp", "OS_EMAIL_SMTP_HOST": "mail.corp.example"},
        {WANDERING},
        ("mail.corp.example:587",),
    ),
    "resend": Case(
        OFF | {"OS_EMAIL_PROVIDER": "resend", "OS_EMAIL_API_KEY": "re_hunter2hunter2"},
        {WANDERING},
        ("api.resend.com:443",),
    ),
    "google": Case(
        OFF | {"GOOGLE_CLIENT_ID": "42.apps.example", "GOOGLE_CLIENT_SECRET": "hunter2hunter2"},
        {WANDERING},
        ("accounts.google.com:443", "oauth2.googleapis.com:443"),
    ),
}


@pytest.fixture(scope="module")
def audited() -> Iterator[tuple[Lab, Audit]]:
    """Start every unit, wait until each serves as a process, and audit them once."""
    modules = runtime.installed()
    with Lab() as lab:
        started = {name: _start(lab, modules, name, case) for name, case in CASES.items()}
        _until_children(lab, set(started.values()))
        yield lab, lab.audit("--fail-on", "medium", "--no-resolve", policy=POLICY)


def _start(lab: Lab, modules: Path, name: str, case: Case) -> int:
    folder = f"/run/lab/{name}"
    lab.near.write(f"{folder}/artifact.json", (runtime.SOURCE / "artifact.json").read_text())
    if case.dotenv:
        lab.near.write(f"{folder}/.env", case.dotenv)
    told = {"OS_ARTIFACT_PATH": f"{folder}/artifact.json", "OS_DATABASE_URL": f"file:{folder}/data.db"}
    lab.near.write(_LOG, "")
    with lab.near.path(_LOG).open("r+") as log, Path(os.devnull).open() as nothing:
        return lab.near.start(
            [str(modules / ".bin" / "os"), "start"],
            env={
                "PATH": f"{modules}/node/bin:{PATH}",
                "HOME": folder,
                "NODE_ENV": "production",
                "OS_PORT": str(8080 + list(CASES).index(name)),
                **(told if case.seeded else {}),
                **case.told,
            },
            cgroup=f"{name}.service",
            cwd=folder,
            files=(nothing.fileno(), log.fileno(), log.fileno()),
        )


def _until_children(lab: Lab, pids: set[int]) -> None:
    """Wait until every `os start` has started its `os serve`: some know their .env file only then."""
    deadline = time.monotonic() + _PATIENCE
    while missing := {pid for pid in pids if not _children(lab, pid)}:
        if time.monotonic() > deadline:
            raise LabError(f"no server of {missing}:\n{lab.near.path(_LOG).read_text()[-4000:]}")
        time.sleep(0.1)


def _children(lab: Lab, pid: int) -> str:
    return lab.near.path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


def _findings(audit: Audit, name: str) -> list[tuple[str, dict[str, object]]]:
    """Return what the settings and the runtime of one unit were found guilty of: the rule, and the finding."""
    return [
        (result["rule"], finding)
        for result in audit.report["results"]
        if result["rule"].startswith(("environment.", "runtime.", "connection."))
        for finding in result["findings"]
        if ((finding["record"].get("workload") or {}).get("name")) == f"{name}.service"
    ]


@pytest.mark.parametrize("name", CASES)
def test_each_unit_has_exactly_its_own_findings(audited: tuple[Lab, Audit], name: str) -> None:
    _, audit = audited
    found = _findings(audit, name)
    assert {rule for rule, _ in found} == CASES[name].finds, audit.summary()
    for target in CASES[name].targets:
        assert sum(target in str(finding["message"]) for _, finding in found) == 1, audit.summary()
    assert "hunter2" not in audit.stdout


def test_each_runtime_is_known_by_product_version_and_posture(audited: tuple[Lab, Audit]) -> None:
    _, audit = audited
    running = {one["workload"]["name"].removesuffix(".service"): one for one in audit.report["subject"]["runtimes"]}
    assert running.keys() == CASES.keys()
    assert {(one["product"], one["version"]) for one in running.values()} == {("@objectstack/cli", VERSION)}


def test_nobody_is_unknown_and_nothing_had_to_be_sent(audited: tuple[Lab, Audit]) -> None:
    _, audit = audited
    assert audit.exit_code == 1, audit.summary()
    for rule in ("runtime.unset-means-public", "runtime.setting-ignored", "environment.cloud-url-set"):
        assert audit.outcome(rule) == "fail"
    assert audit.coverage("environment")["status"] == "complete", audit.summary()
    assert not any(rule.startswith("connection.") for name in CASES for rule, _ in _findings(audit, name))


def test_init_asks_for_the_word_and_says_whom_it_saw(audited: tuple[Lab, Audit]) -> None:
    lab, _ = audited
    written = lab.check("init").stdout
    assert "runtime: {cloud_url: must-be-off, expected: true}" in written
    assert f"unset.service: @objectstack/cli {VERSION}; an OS_CLOUD_URL that is unset means the public" in written
