"""What runs, compared with its files, its configuration and its past."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check.collectors.installations import Installation
from airgap_check.collectors.upgrade import collect
from airgap_check.errors import UsageError
from airgap_check.evidence import Evidence, Runtime, Setting
from airgap_check.evidence.asset import Artifact, Check, Image
from airgap_check.evidence.fact import Place, Process, Workload
from airgap_check.history.clearance import Clearance, clearance
from airgap_check.history.memory import Memory
from airgap_check.history.store import Preflight, Store
from airgap_check.kernel import stored_file, stored_image
from airgap_check.redact import REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
UNIT = Workload(kind="unit", id="objectos.service", name="objectos.service")
FORGETFUL = Memory(None, "no state folder")


class Site:
    """A runtime of ours: this very process, with an artifact in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, time.time() + 3600
        self.path = folder / "v1" / "objectstack.json"
        self.settings: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.given: list[Setting] = []
        self.images: list[Image] = []
        self.also: Path | None = None
        self.workload = UNIT
        self.cleared = Clearance(boot_id="boot", policy="p" * 64, images=("sha256:a",), artifacts=("b",))
        self.put("{}")

    def put(self, content: str, version: str = "v1") -> None:
        self.path = self.folder / version / "objectstack.json"
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(content)

    def checks(self, memory: Memory = FORGETFUL, now: datetime = NOW) -> dict[str, Check]:
        return {check.aspect: check for check in self.evidence(memory, now).of(Check)}

    def evidence(self, memory: Memory = FORGETFUL, now: datetime = NOW) -> Evidence:
        process = Process(pid=os.getpid(), name="node")
        artifact = Artifact(
            path=str(self.path), sha256=hashlib.sha256(self.path.read_bytes()).hexdigest(), process=process
        )
        runtime = Runtime(
            product="ObjectOS",
            version="4.2.0",
            process=process,
            workload=self.workload,
            artifact=str(self.path),
            **self.facts,
        )
        seen = [
            Evidence(kind="environment", status="complete", records=(runtime, *self.given)),
            Evidence(kind="artifact", status="complete", records=(artifact,)),
            Evidence(kind="deployment", status="complete", records=tuple(self.images)),
        ]
        installation = Installation(
            thread=os.getpid(), process=process, workload=self.workload, product="ObjectOS", version="4.2.0",
            directory=str(self.folder), home=str(self.folder), settings=self.settings, netns=None,
        )  # fmt: skip
        installations = [installation]
        if self.also:
            other = replace(process, pid=os.getppid())
            installations.append(installation._replace(thread=other.pid, process=other, artifact=str(self.also)))
            seen[0] = replace(seen[0], records=(*seen[0].records, replace(runtime, process=other)))
        return collect(installations, seen, memory, self.cleared, now=now, deadline=None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setattr(stored_file, "started", lambda _: made.started)
    return made


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Store(str(tmp_path / "state")) as store:
        yield Memory(store)


def outcome(checks: Mapping[str, Check], aspect: str) -> str:
    return checks[aspect].outcome if aspect in checks else "not stated"


def test_the_same_path_with_new_content_has_been_changed_in_place_and_stays_so(site: Site, memory: Memory) -> None:
    assert outcome(site.checks(memory), "artifact-changed") == "passed"
    site.put('{"changed": true}')
    for hours in (1, 2):
        changed = site.checks(memory, NOW + timedelta(hours=hours))["artifact-changed"]
        assert changed.outcome == "failed"
        assert "until 2026-11-23 12:00" in changed.detail


def test_a_new_path_for_a_new_release_is_no_change(site: Site, memory: Memory) -> None:
    site.checks(memory)
    site.put('{"version": 2}', "v2")
    checks = site.checks(memory, NOW + timedelta(hours=1))
    assert (outcome(checks, "artifact-changed"), outcome(checks, "rollback")) == ("passed", "passed")
    assert "v1/objectstack.json with sha256:44136fa355b3678a... is there" in checks["rollback"].detail


def test_the_first_release_has_nothing_to_go_back_to(site: Site, memory: Memory) -> None:
    assert "nothing earlier" in site.checks(memory)["rollback"].detail


@pytest.mark.parametrize(("damage", "said"), [("gone", "is gone"), ("other", "has another content now")])
def test_a_release_that_vanished_or_was_changed_is_no_way_back(
    site: Site, memory: Memory, damage: str, said: str
) -> None:
    site.checks(memory)
    old = site.path
    site.put('{"version": 2}', "v2")
    old.unlink() if damage == "gone" else old.write_text("[]")
    back = site.checks(memory, NOW + timedelta(hours=1))["rollback"]
    assert back.outcome == "failed"
    assert said in back.detail


def test_a_folder_that_was_made_anew_is_no_new_path(site: Site, memory: Memory) -> None:
    site.checks(memory)
    shutil.rmtree(site.path.parent)
    site.put('{"changed": true}')
    assert outcome(site.checks(memory, NOW + timedelta(hours=1)), "artifact-changed") == "failed"


def test_a_link_that_leads_to_the_next_release_is_no_change_and_leaves_a_way_back(site: Site, memory: Memory) -> None:
    link = site.folder / "current"
    link.symlink_to("v1")
    site.put("{}")
    site.path = link / "objectstack.json"
    site.checks(memory)
    site.put('{"version": 2}', "v2")
    link.unlink()
    link.symlink_to("v2")
    site.path = link / "objectstack.json"
    checks = site.checks(memory, NOW + timedelta(hours=1))
    assert (outcome(checks, "artifact-changed"), outcome(checks, "rollback")) == ("passed", "passed")
    (site.folder / "v1" / "objectstack.json").unlink()
    assert "is gone" in site.checks(memory, NOW + timedelta(hours=2))["rollback"].detail


def test_a_link_that_was_changed_after_the_start_waits_for_a_restart(site: Site) -> None:
    site.put('{"version": 2}', "v2")
    site.started = time.time()
    time.sleep(0.05)
    link = site.folder / "current"
    link.symlink_to("v2")
    assert outcome(site.checks(), "restart") == "passed"
    site.path = link / "objectstack.json"
    assert "objectstack.json was changed after it started" in site.checks()["restart"].detail


def test_another_copy_of_what_runs_is_no_way_back(site: Site, memory: Memory) -> None:
    site.checks(memory)
    site.put('{"version": 2}', "v2")
    site.checks(memory, NOW + timedelta(hours=1))
    (site.folder / "v1" / "objectstack.json").unlink()
    site.put('{"version": 2}', "v3")
    back = site.checks(memory, NOW + timedelta(hours=2))["rollback"]
    assert (back.outcome, back.detail.count("is gone")) == ("failed", 1)


def test_a_clock_that_was_set_back_makes_nobody_forget(site: Site, memory: Memory) -> None:
    site.checks(memory)
    site.path.unlink()
    site.put('{"version": 2}', "v2")
    assert outcome(site.checks(memory, NOW - timedelta(days=1)), "rollback") == "failed"


def test_each_runtime_of_one_artifact_is_judged(site: Site) -> None:
    site.also = site.path
    evidence = site.evidence()
    judged = [check.process for check in evidence.of(Check) if check.aspect == "artifact-mount"]
    assert [process.pid for process in judged if process] == [os.getpid(), os.getppid()]


def test_the_image_that_ran_before_must_be_in_a_store(
    site: Site, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b'{"architecture": "amd64"}'
    name = hashlib.sha256(content).hexdigest()
    encoded = base64.b64encode(f"sha256:{name}".encode()).decode()
    podman = tmp_path / "overlay-images" / name / f"={encoded}"
    docker = tmp_path / "imagedb" / name
    monkeypatch.setattr(stored_image, "_STORES", (str(tmp_path / "imagedb"), str(tmp_path / "*-images")))
    site.facts = {"image": "objectos:4.1", "digest": f"sha256:{name}"}
    site.checks(memory)
    site.facts = {"image": "objectos:4.2", "digest": "sha256:" + "b" * 64}
    later = NOW + timedelta(hours=1)
    assert "no store of a container engine" in site.checks(memory, later)["rollback"].detail
    for path in (podman, docker):
        path.parent.mkdir(parents=True)
        assert "is gone" in site.checks(memory, later)["rollback"].detail
        path.write_bytes(content)
        assert outcome(site.checks(memory, later), "rollback") == "passed"
        path.write_bytes(b"{}")
        assert "has another content now" in site.checks(memory, later)["rollback"].detail
        path.unlink()


def test_an_artifact_that_came_with_an_image_is_not_lost_while_the_image_may_be_there(
    site: Site, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_file, "_volume", lambda mount, _: f"overlay {mount.device}")
    monkeypatch.setattr(stored_image, "_STORES", ())
    site.workload = Workload(kind="container", id="c" * 64, name="objectos")
    site.checks(memory)
    site.path.unlink()
    site.put('{"version": 2}', "v2")
    assert outcome(site.checks(memory, NOW + timedelta(hours=1)), "rollback") == "unknown"
    site.workload = UNIT
    site.checks(memory)
    site.put('{"version": 3}', "v3")
    (site.folder / "v2" / "objectstack.json").unlink()
    assert outcome(site.checks(memory, NOW + timedelta(hours=1)), "rollback") == "failed"


@pytest.mark.parametrize(
    ("image", "stored"),
    [
        ("objectos:4.2", {"Repositories": {"objectos": {"objectos:4.2": "sha256:" + "b" * 64}}}),
        ("docker.io/library/objectos", {"Repositories": {"objectos": {"objectos:latest": "sha256:" + "b" * 64}}}),
        ("r.bank.example:5000/objectos", [{"id": "b" * 64, "names": ["r.bank.example:5000/objectos:latest"]}]),
        ("docker.io/library/objectos:4.2", [{"id": "b" * 64, "names": ["docker.io/library/objectos:4.2"]}]),
    ],
)
def test_a_tag_that_another_image_has_now_waits_for_a_restart(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, stored: object
) -> None:
    names = tmp_path / "names.json"
    monkeypatch.setattr(stored_image, "_DOCKER_NAMES" if isinstance(stored, dict) else "_STORAGE_NAMES", str(names))
    names.write_text(json.dumps(stored))
    site.facts = {"image": image, "digest": "sha256:" + "b" * 64}
    assert outcome(site.checks(), "restart") == "passed"
    site.facts = {"image": image, "digest": "sha256:" + "a" * 64}
    assert "is another image on this host now" in site.checks()["restart"].detail
    for hostile in ("[", "[[1]]", '{"Repositories": [1]}', '{"Repositories": {"a": 3}}', '[{"names": 3}]'):
        names.write_text(hostile)
        assert outcome(site.checks(), "restart") == "passed"


def test_without_a_memory_nothing_is_said_of_the_past_unless_it_was_wanted(site: Site) -> None:
    evidence = site.evidence()
    assert not {"artifact-changed", "rollback"} & {check.aspect for check in evidence.of(Check)}
    assert evidence.blind == ("what ran here before is not known: no state folder",)
    wanted = site.evidence(Memory(None, "the disk is full", wanted=True))
    assert wanted.status == "partial"
    assert {check.outcome for check in wanted.of(Check) if check.aspect in {"artifact-changed", "rollback"}} == {
        "unknown"
    }


def test_a_file_that_changed_after_the_start_waits_for_a_restart(site: Site) -> None:
    assert outcome(site.checks(), "restart") == "passed"
    site.started = time.time() - 3600
    restart = site.checks()["restart"]
    assert restart.outcome == "failed"
    assert "objectstack.json was changed after it started" in restart.detail


def test_a_settings_file_that_changed_after_the_start_waits_for_a_restart(site: Site, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OS_CLOUD_URL=off\n")
    os.utime(site.path, (1, 1))
    site.given.append(
        Setting(
            name="OS_CLOUD_URL",
            value="off",
            posture="disabled",
            place=Place(kind="file", pid=os.getpid(), path=str(path)),
        )
    )
    assert outcome(site.checks(), "restart") == "passed"
    site.started = time.time() - 3600
    assert f"{path} was changed after it started" in site.checks()["restart"].detail


def test_a_process_that_has_gone_leaves_no_doubts(site: Site, memory: Memory) -> None:
    site.started = None  # type: ignore[assignment]
    assert site.checks(memory) == {}


def in_unit(name: str, value: str, role: str | None = None, unit: str = "objectos.service") -> Setting:
    place = Place(kind="unit", unit=unit, path="/etc/systemd/system/objectos.service", line=4)
    return Setting(name=name, value=value, posture="other", role=role, place=place)


def test_a_unit_that_says_something_else_than_the_process_was_given_waits_for_a_restart(site: Site) -> None:
    site.settings = {"OS_CLOUD_URL": "off", "OS_EMAIL_API_KEY": "k"}
    site.given = [in_unit("OS_CLOUD_URL", "off"), in_unit("OS_EMAIL_API_KEY", REDACTED)]
    assert outcome(site.checks(), "restart") == "passed"
    site.given.append(in_unit("OS_CLOUD_URL", "https://cloud.example", unit="other.service"))
    assert outcome(site.checks(), "restart") == "passed"
    site.given.append(in_unit("OS_STATE", "%S/objectos"))
    site.settings["OS_STATE"] = "/var/lib/objectos"
    site.given.append(in_unit("OS_DATABASE_URL", "file:100%%.db"))
    site.settings["OS_DATABASE_URL"] = "file:100%.db"
    assert outcome(site.checks(), "restart") == "passed"
    site.given.append(in_unit("OS_CLOUD_URL", "https://cloud.example"))
    assert "gives OS_CLOUD_URL another value" in site.checks()["restart"].detail
    site.given[-1] = in_unit("OS_SSO_ENABLED", "true")
    assert "gives OS_SSO_ENABLED, which it was not started with" in site.checks()["restart"].detail


def test_an_image_that_a_deployment_file_asks_for_in_another_version_waits_for_a_restart(site: Site) -> None:
    site.facts = {"image": "registry.bank.example:5000/objectos:4.1"}
    site.images = [Image(reference="registry.bank.example:5000/objectos:4.1", path="compose.yaml", seen="deployment")]
    assert outcome(site.checks(), "restart") == "passed"
    site.images = [Image(reference="registry.bank.example:5000/objectos:4.2", path="compose.yaml", seen="deployment")]
    assert "asks for registry.bank.example:5000/objectos:4.2" in site.checks()["restart"].detail


def test_a_program_that_was_replaced_on_disk_waits_for_a_restart(tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as child:
        program.unlink()
        from airgap_check.collectors import succession

        installation = Installation(
            thread=child.pid, process=Process(pid=child.pid), workload=None, product="ObjectOS", version=None,
            directory="/", home=None, settings={}, netns=None,
        )  # fmt: skip
        assert succession._program_replaced(installation)
        child.kill()


def test_the_artifact_that_runs_must_be_the_configured_one(site: Site) -> None:
    site.given = [in_unit("OS_ARTIFACT_FILE", str(site.path), "artifact")]
    assert outcome(site.checks(), "artifact-running") == "passed"
    site.given = [in_unit("OS_ARTIFACT_FILE", "/srv/releases/v9/objectstack.json", "artifact")]
    differs = site.checks()["artifact-running"]
    assert differs.outcome == "failed"
    assert "names /srv/releases/v9/objectstack.json" in differs.detail


def test_a_deployment_file_speaks_for_the_image_that_it_asks_for_only(site: Site) -> None:
    place = Place(kind="compose", path="compose.yaml", line=7, unit="objectos")
    site.given = [
        Setting(name="OS_ARTIFACT_FILE", value="/artifacts/v9.json", posture="other", role="artifact", place=place)
    ]
    site.images = [Image(reference="objectos:4.2", path="compose.yaml", seen="deployment")]
    assert outcome(site.checks(), "artifact-running") == "not stated"
    site.facts = {"image": "objectos:4.2"}
    assert outcome(site.checks(), "artifact-running") == "failed"


def test_an_artifact_that_its_pin_does_not_name_is_another_one(site: Site) -> None:
    digest = hashlib.sha256(site.path.read_bytes()).hexdigest()
    site.settings = {"OS_ARTIFACT_URL": f"https://u:secret@files.bank.example/a.json#sha256={digest}"}
    checks = site.checks()
    assert (outcome(checks, "artifact-pin"), outcome(checks, "artifact-running")) == ("passed", "not stated")
    site.settings = {"OS_ARTIFACT_URL": "https://u:secret@files.bank.example/a.json#sha256=" + "0" * 64}
    checks = site.checks()
    assert outcome(checks, "artifact-running") == "failed"
    assert not any("secret" in str(check) for check in checks.values())
    for unpinned in ("https://f.bank.example/a.json", "https://f.bank.example/a.json#sha256=", "file:///a#sha256=12"):
        site.settings = {"OS_ARTIFACT_URL": unpinned}
        assert outcome(site.checks(), "artifact-pin") == "failed"
    site.settings = {"OS_ARTIFACT_PATH": f"https://f.bank.example/a.json#sha256={digest}"}
    assert "OS_ARTIFACT_PATH knows no pin" in site.checks()["artifact-pin"].detail
    site.settings = {"OS_ARTIFACT_PATH": "/srv/a.json"}
    assert outcome(site.checks(), "artifact-pin") == "not stated"


@pytest.mark.parametrize(
    ("image", "expected"),
    [("objectos:4.2", "failed"), ("r:5000/objectos", "failed"), (f"objectos@sha256:{'a' * 64}", "passed")],
)
def test_an_image_is_pinned_by_digest_only(site: Site, image: str, expected: str) -> None:
    site.facts = {"image": image}
    assert outcome(site.checks(), "image-pin") == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:data/objectstack.db", "passed"),
        ("file:///var/tmp/objectstack.db?mode=ro", "passed"),
        ("data/objectstack.db", "passed"),
        ("postgres://db:5432/crm", "not stated"),
        ("memory:", "not stated"),
        ("file::memory:", "not stated"),
    ],
)
def test_a_database_that_is_a_file_lies_on_a_disk_of_this_host(site: Site, url: str, expected: str) -> None:
    site.settings = {"OS_DATABASE_URL": url}
    assert outcome(site.checks(), "database-disk") == expected


def test_a_database_on_a_network_file_system_is_told_by_its_mount(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from airgap_check.kernel import foreign_path

    monkeypatch.setattr(foreign_path, "_REMOTE", frozenset({mount.type for mount in foreign_path.mounts(os.getpid())}))
    site.settings = {"OS_DATABASE_URL": "file:data/objectstack.db"}
    checks = site.checks()
    assert outcome(checks, "database-disk") == "failed"
    assert outcome(checks, "artifact-writable") == "unknown"
    for settings in ({"OS_HOME": "/srv"}, {"OS_DATABASE_URL": "/srv/crm"}, {"OS_DATABASE_URL": "sqlite:///srv/crm"}):
        site.settings = settings
        assert outcome(site.checks(), "database-disk") == "failed"


def test_a_memory_that_cannot_be_written_leaves_the_evidence_partial(
    site: Site, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UsageError("history.sqlite: database or disk is full")

    assert memory.store
    monkeypatch.setattr(memory.store, "keep", full)
    evidence = site.evidence(memory)
    assert (evidence.status, evidence.reason) == ("partial", "history.sqlite: database or disk is full")


def test_a_green_preflight_holds_for_what_it_was_made_for_and_for_a_day(site: Site, memory: Memory) -> None:
    assert memory.store
    assert outcome(site.checks(memory), "clearance") == "not stated"
    until = NOW + timedelta(hours=24)
    memory.store.keep_preflight(Preflight(NOW, until, site.cleared.text()))
    assert outcome(site.checks(memory, NOW + timedelta(hours=23)), "clearance") == "passed"
    late = site.checks(memory, NOW + timedelta(hours=25))["clearance"]
    assert (late.outcome, late.detail) == ("failed", "it held until 2026-11-24 12:00Z only")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"boot_id": "another"}, "the boot"),
        ({"policy": "q" * 64}, "the policy"),
        ({"images": ()}, "an image"),
        ({"artifacts": ("b", "c")}, "an artifact"),
    ],
)
def test_a_green_preflight_does_not_hold_for_anything_else(
    site: Site, memory: Memory, change: dict[str, Any], said: str
) -> None:
    assert memory.store
    memory.store.keep_preflight(Preflight(NOW, NOW + timedelta(hours=24), site.cleared.text()))
    site.cleared = replace(site.cleared, **change)
    cleared = site.checks(memory)["clearance"]
    assert (cleared.outcome, cleared.detail) == ("failed", said)


def test_a_preflight_that_cannot_be_read_any_more_cleared_nothing(site: Site, memory: Memory) -> None:
    assert memory.store
    memory.store.keep_preflight(Preflight(NOW, NOW + timedelta(hours=24), "{}"))
    assert outcome(site.checks(memory), "clearance") == "failed"


def test_what_is_cleared_is_gathered_from_what_was_seen() -> None:
    process = Process(pid=1)
    seen = [
        Evidence(
            kind="environment", status="complete",
            records=(
                Runtime(product="ObjectOS", digest="sha256:b", image="objectos:1", process=process),
                Runtime(product="ObjectOS", image="objectos:2", process=process),
                Runtime(product="ObjectOS", process=process),
            ),
        ),
        Evidence(kind="artifact", status="complete", records=(Artifact(path="/a", sha256="d"), Artifact(path="/b"))),
    ]  # fmt: skip
    gathered = clearance("boot", "policy", seen)
    assert (gathered.images, gathered.artifacts) == (("objectos:2", "sha256:b"), ("d",))
