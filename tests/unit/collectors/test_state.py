"""The state folders of a runtime are read as the runtime reads them, and what is not there is said too."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.collectors import state
from airgap_check.collectors.installations import Installation
from airgap_check.evidence.asset import Check, Package, Reference
from airgap_check.evidence.fact import Process

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence import Evidence

ENTRY: dict[str, Any] = {
    "packageId": "com.acme.crm",
    "manifestId": "com.acme.crm",
    "version": "1.2.0",
    "manifest": {
        "id": "com.acme.crm", "version": "1.2.0",
        "webhooks": [{"name": "partner", "object": "demo_note", "url": "https://hooks.partner.example/in"}],
    },
}  # fmt: skip


def installation(folder: Path, **settings: str) -> Installation:
    process = Process(pid=os.getpid(), name="node")
    return Installation(
        os.getpid(), process, None, "@objectstack/cli", "17.4.0", str(folder), str(folder / "home"), settings, 1
    )


def put(folder: Path, name: str, content: object) -> Path:
    path = folder / ".objectstack" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def outcomes(evidence: Evidence, aspect: str) -> dict[str, str]:
    return {one.path.rpartition("/")[2]: one.outcome for one in evidence.of(Check) if one.aspect == aspect and one.path}


def detail(evidence: Evidence, aspect: str, outcome: str = "failed") -> str:
    return next(one.detail for one in evidence.of(Check) if (one.aspect, one.outcome) == (aspect, outcome))


def test_a_runtime_without_state_is_said_to_have_none(tmp_path: Path) -> None:
    evidence = state.collect([installation(tmp_path)], None)
    assert evidence.status == "complete"
    assert {one.outcome for one in evidence.of(Check)} == {"passed"}
    assert {"cloud-bound", "cloud-credentials", "artifact-cache"} <= {one.aspect for one in evidence.of(Check)}


def test_an_installed_package_is_told_with_its_digests_and_where_it_leads(tmp_path: Path) -> None:
    path = put(tmp_path, "installed-packages/com.acme.crm.json", ENTRY)
    evidence = state.collect([installation(tmp_path)], None)
    (package,) = evidence.of(Package)
    canonical = json.dumps(ENTRY["manifest"], sort_keys=True, separators=(",", ":")).encode()
    assert (package.id, package.version, package.path) == ("com.acme.crm", "1.2.0", str(path))
    assert package.sha256 == hashlib.sha256(canonical).hexdigest()
    assert package.file_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    (reference,) = evidence.of(Reference)
    assert reference.endpoint
    assert (reference.pointer, reference.endpoint.name) == ("$.manifest.webhooks[0].url", "hooks.partner.example")
    assert evidence.status == "complete", evidence.reason


def test_the_digest_of_a_manifest_does_not_depend_on_who_installed_it_and_when(tmp_path: Path) -> None:
    digests = set()
    for name, more in (("a", {"installedAt": "2026-01-01", "installedBy": "x"}), ("b", {"withSampleData": True})):
        reordered = {**more, **ENTRY, "manifest": dict(reversed(ENTRY["manifest"].items()))}
        put(tmp_path / name, "installed-packages/com.acme.crm.json", reordered)
        digests |= {one.sha256 for one in state.collect([installation(tmp_path / name)], None).of(Package)}
    assert len(digests) == 1


def test_a_malformed_package_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    put(tmp_path, "installed-packages/x.json", b'{"manifest":\n  {"id": }}')
    (found,) = [one for one in state.collect([installation(tmp_path)], None).of(Check) if one.outcome == "failed"]
    assert (found.aspect, found.line) == ("package-malformed", 2)
    assert "column" in found.detail


@pytest.mark.parametrize("content", [[], {"manifest": 1}, "text", {}])
def test_a_file_that_is_no_package_is_one_that_cannot_be_read(tmp_path: Path, content: object) -> None:
    put(tmp_path, "installed-packages/x.json", content)
    assert outcomes(state.collect([installation(tmp_path)], None), "package-malformed")["x.json"] == "failed"


def test_a_package_under_another_name_is_misnamed(tmp_path: Path) -> None:
    put(tmp_path, "installed-packages/other.json", ENTRY)
    put(tmp_path, "installed-packages/com.acme.crm.json", {**ENTRY, "manifestId": "com.acme.other"})
    evidence = state.collect([installation(tmp_path)], None)
    assert outcomes(evidence, "package-identity") == {"other.json": "failed", "com.acme.crm.json": "failed"}


def test_a_module_that_did_not_travel_is_told(tmp_path: Path) -> None:
    manifest = {**ENTRY["manifest"], "runtimeModule": "objectstack-runtime.0123456789abcdef.mjs"}
    put(tmp_path, "installed-packages/com.acme.crm.json", {**ENTRY, "manifest": manifest})
    assert "did not travel" in detail(state.collect([installation(tmp_path)], None), "package-module")


def test_a_bound_runtime_is_told_with_its_cloud_and_without_its_credential(tmp_path: Path) -> None:
    connection = {"runtimeToken": "oscc_swordfish", "controlPlaneUrl": "https://cloud.objectos.ai"}
    put(tmp_path, "cloud-connection.json", connection)
    evidence = state.collect([installation(tmp_path)], None)
    assert detail(evidence, "cloud-bound") == "binds the runtime to https://cloud.objectos.ai"
    assert "swordfish" not in repr(evidence)


@pytest.mark.parametrize("content", [b"{", b"{}", b"", {"runtimeToken": "", "runtimeId": "r"}])
def test_whatever_stands_in_it_the_file_means_a_binding(tmp_path: Path, content: object) -> None:
    put(tmp_path, "cloud-connection.json", content)
    assert outcomes(state.collect([installation(tmp_path)], None), "cloud-bound")["cloud-connection.json"] == "failed"


@pytest.mark.parametrize("name", ["cloud.json", "credentials.json"])
def test_credentials_in_the_home_folder_are_told_without_them(tmp_path: Path, name: str) -> None:
    put(tmp_path / "home", name, {"url": "https://cloud.objectos.ai", "token": "swordfish"})
    evidence = state.collect([installation(tmp_path)], None)
    assert outcomes(evidence, "cloud-credentials")[name] == "failed"
    assert "cloud.objectos.ai" in detail(evidence, "cloud-credentials")
    assert "swordfish" not in repr(evidence)


def test_a_cached_artifact_is_compared_with_the_digest_in_its_name(tmp_path: Path) -> None:
    content = b'{"manifest": {}}'
    right, wrong = hashlib.sha256(content).hexdigest(), "0" * 64
    put(tmp_path, f"artifacts/sha256-{right}.json", content)
    evidence = state.collect([installation(tmp_path)], None)
    assert "failed" not in outcomes(evidence, "artifact-cache").values()
    put(tmp_path, f"artifacts/sha256-{wrong}.json", content)
    pinned = installation(tmp_path, OS_ARTIFACT_URL=f"https://artifacts.bank.example/a.json#sha256={wrong}")
    evidence = state.collect([pinned], None)
    assert outcomes(evidence, "artifact-cache")[f"sha256-{wrong}.json"] == "failed"
    assert "which OS_ARTIFACT_URL pins" in detail(evidence, "artifact-cache")


def test_the_folder_of_two_processes_is_told_once(tmp_path: Path) -> None:
    put(tmp_path, "installed-packages/com.acme.crm.json", ENTRY)
    assert len(list(state.collect([installation(tmp_path)] * 2, None).of(Package))) == 1


def test_the_folder_that_os_home_names_is_read_too(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "cloud.json", {"url": "https://cloud.example"})
    there = installation(tmp_path, OS_HOME=str(tmp_path / "elsewhere" / ".objectstack"))
    assert outcomes(state.collect([there], None), "cloud-credentials")["cloud.json"] == "failed"


def test_a_file_that_may_not_be_read_leaves_the_evidence_partial(tmp_path: Path) -> None:
    os.mkfifo(put(tmp_path, "x", b"").parent / "cloud-connection.json")
    evidence = state.collect([installation(tmp_path)], None)
    assert evidence.status == "partial"
    assert "not a regular file" in evidence.reason
    assert outcomes(evidence, "cloud-bound")["cloud-connection.json"] == "unknown"


def test_the_time_limit_leaves_the_evidence_partial(tmp_path: Path) -> None:
    put(tmp_path, "installed-packages/com.acme.crm.json", ENTRY)
    evidence = state.collect([installation(tmp_path)], 0.0)
    assert evidence.status == "partial"
    assert "time limit" in evidence.reason
