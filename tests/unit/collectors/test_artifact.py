"""The artifact of each runtime is found where its settings say, read once, and never silently left out."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.collectors import artifact
from airgap_check.collectors.installations import Installation
from airgap_check.evidence.asset import Artifact, Check, Reference
from airgap_check.evidence.fact import Process
from airgap_check.objectos import product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence import Evidence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "objectstack.json").write_text('{"webhooks": [{"url": "https://hooks.bank.example/x"}]}')
    return tmp_path


def _installation(settings: Mapping[str, str], folder: Path | None = None, **more: Any) -> Installation:
    facts: dict[str, Any] = {
        "thread": os.getpid(),
        "process": Process(pid=os.getpid(), name="node"),
        "workload": None,
        "product": product.OBJECTSTACK,
        "version": "17.4.0",
        "directory": str(folder) if folder else None,
        "home": None,
        "settings": settings,
        "netns": None,
        **more,
    }
    return Installation(**facts)


def _collect(*installations: Installation, deadline: float | None = None) -> Evidence:
    return artifact.collect(installations, deadline)


def _checks(evidence: Evidence, aspect: str) -> list[Check]:
    return [one for one in evidence.of(Check) if one.aspect == aspect]


@pytest.mark.parametrize(
    "told", ["objectstack.json", "./objectstack.json", "{0}/objectstack.json", "file://{0}/objectstack.json#sha256=1"]
)
@pytest.mark.parametrize("name", ["OS_ARTIFACT_PATH", "OS_ARTIFACT_URL", "OS_INTERNAL_ARTIFACT_PATH"])
def test_an_artifact_is_read_where_a_setting_says(folder: Path, name: str, told: str) -> None:
    evidence = _collect(_installation({name: told.format(folder)}, folder))
    assert (evidence.status, evidence.reason) == ("complete", "")
    (one,) = evidence.of(Artifact)
    assert one.path == str(folder / "objectstack.json")
    assert one.sha256 == hashlib.sha256((folder / "objectstack.json").read_bytes()).hexdigest()
    (reference,) = evidence.of(Reference)
    assert (reference.pointer, reference.seen, reference.process) == ("$.webhooks[0].url", "artifact", one.process)
    assert {one.aspect: one.outcome for one in evidence.of(Check)} == {
        "secret-inside": "passed", "build-path": "passed", "plugin-state": "passed",
    }  # fmt: skip


def test_the_strongest_setting_wins(folder: Path) -> None:
    (folder / "other.json").write_text("{}")
    settings = {"OS_ARTIFACT_PATH": "objectstack.json", "OS_INTERNAL_ARTIFACT_PATH": "other.json"}
    (one,) = _collect(_installation(settings, folder)).of(Artifact)
    assert one.path.endswith("other.json")


def test_the_variable_of_the_wrapper_counts_for_the_wrapper_alone(folder: Path) -> None:
    settings = {"OS_ARTIFACT_FILE": "objectstack.json"}
    assert list(_collect(_installation(settings, folder)).of(Artifact)) == []
    assert len(list(_collect(_installation(settings, folder, product=product.OBJECTOS)).of(Artifact))) == 1


def test_the_usual_place_is_looked_at_and_nothing_there_is_no_failure(tmp_path: Path) -> None:
    assert _collect(_installation({}, tmp_path)).status == "complete"
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "objectstack.json").write_text("{}")
    assert len(list(_collect(_installation({}, tmp_path)).of(Artifact))) == 1
    home = tmp_path / "home" / ".objectstack" / "dist"
    home.mkdir(parents=True)
    (home / "objectstack.json").write_text("{}")
    other = _installation({}, tmp_path / "home", home=str(tmp_path / "home"))
    assert [one.path for one in _collect(other).of(Artifact)] == [str(home / "objectstack.json")]


def test_a_file_of_several_runtimes_is_read_once(folder: Path) -> None:
    os.link(folder / "objectstack.json", folder / "same.json")
    two = [_installation({"OS_ARTIFACT_PATH": name}, folder) for name in ("objectstack.json", "same.json")]
    evidence = _collect(*two)
    assert evidence.counts == {"artifacts": 1, "destinations": 1}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"OS_ARTIFACT_URL": "https://u:geheim1x@cdn.bank.example/app.json"}, "over the network"),
        ({"OS_ARTIFACT_PATH": "/dev/null"}, "not a regular file"),
        ({"OS_ARTIFACT_PATH": "/"}, "not a regular file"),
    ],
)
def test_what_cannot_be_read_leaves_the_evidence_partial(folder: Path, settings: dict[str, str], why: str) -> None:
    evidence = _collect(_installation(settings, folder))
    assert evidence.status == "partial"
    assert why in evidence.reason
    assert [one.outcome for one in _checks(evidence, "artifact-read")] == ["unknown"]
    assert {one.state for one in evidence.of(Artifact)} <= {"unreadable"}
    assert "geheim" not in repr(evidence)


@pytest.mark.parametrize("told", ["missing.json", "objectstack.json/below", "dangling.json"])
def test_an_artifact_that_is_not_there_is_a_fact_and_not_blindness(folder: Path, told: str) -> None:
    (folder / "dangling.json").symlink_to("nowhere.json")
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": told}, folder))
    (check,) = evidence.of(Check)
    assert (check.aspect, check.outcome, check.path) == ("artifact-there", "failed", str(folder / told))
    assert "OS_ARTIFACT_PATH" in check.detail
    assert (evidence.status, list(evidence.of(Artifact))) == ("complete", [])


def test_a_link_to_an_artifact_is_followed(folder: Path) -> None:
    (folder / "current").symlink_to(".")
    (folder / "link.json").symlink_to("current/objectstack.json")
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": "link.json"}, folder))
    assert (evidence.status, len(list(evidence.of(Reference)))) == ("complete", 1)


def test_of_an_unknown_product_every_artifact_that_one_of_them_would_follow_is_read(folder: Path) -> None:
    (folder / "other.json").write_text("{}")
    settings = {"OS_ARTIFACT_FILE": "other.json", "OS_ARTIFACT_PATH": "objectstack.json"}
    evidence = _collect(_installation(settings, folder, product=product.UNKNOWN, version=None))
    assert len(list(evidence.of(Artifact))) == 2
    assert len(list(_collect(_installation(settings, folder, product=product.OBJECTOS)).of(Artifact))) == 1


def test_a_reference_wins_over_what_a_parent_has_found(folder: Path) -> None:
    settings = {"OS_ARTIFACT_URL": "https://cdn.bank.example/a.json", "OS_INTERNAL_ARTIFACT_PATH": "objectstack.json"}
    assert "over the network" in _collect(_installation(settings, folder)).reason


def test_a_relative_path_of_an_unknown_folder_is_said() -> None:
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": "app.json"}))
    assert (evidence.status, "working directory" in evidence.reason) == ("partial", True)


def test_a_runtime_that_has_gone_is_no_failure() -> None:
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": "/app.json"}, thread=2**22 + 1))
    assert (evidence.status, evidence.records) == ("complete", ())


def test_a_time_limit_is_said(folder: Path) -> None:
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": "objectstack.json"}, folder), deadline=0.0)
    assert (evidence.status, evidence.reason) == ("partial", "stopped at the time limit")


def test_a_malformed_artifact_passes_no_check(folder: Path) -> None:
    (folder / "objectstack.json").write_text('{"webhooks": [\n')
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": "objectstack.json"}, folder))
    (one,) = evidence.of(Artifact)
    assert (one.state, one.line, one.column) == ("malformed", 2, 1)
    assert evidence.status == "partial"
    assert {check.outcome for check in evidence.of(Check)} == {"unknown"}


def test_no_more_artifacts_are_read_than_are_good_for_a_host(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.json").write_text("{}")
    evidence = _collect(*(_installation({"OS_ARTIFACT_PATH": f"{n}.json"}, tmp_path) for n in range(70)))
    assert (evidence.status, evidence.counts["artifacts"]) == ("partial", 64)


# --- the runtime module ----------------------------------------------------------------------------------------------

_SOURCE = b"""
// see https://comments.example/ and http://www.w3.org/2000/svg
import x from "node:fs";
export const run = () => fetch("https://api.partner.example/v1", {ns: 'http://www.w3.org/2000/svg'});
export const other = (host) => fetch(`https://${host}/x`);
"""


def _with_module(folder: Path, name: str) -> Evidence:
    (folder / "objectstack.json").write_text(json.dumps({"runtimeModule": name}))
    return _collect(_installation({"OS_ARTIFACT_PATH": "objectstack.json"}, folder))


def test_a_module_that_is_what_its_name_says_passes_and_its_literals_are_destinations(folder: Path) -> None:
    name = f"objectstack-runtime.{hashlib.sha256(_SOURCE).hexdigest()[:16]}.mjs"
    (folder / name).write_bytes(_SOURCE)
    evidence = _with_module(folder, name)
    assert [one.outcome for one in _checks(evidence, "runtime-module")] == ["passed"]
    found = [(one.line, one.text, one.templated, one.dialer) for one in evidence.of(Reference)]
    assert found == [
        (4, "https://api.partner.example/v1", False, "server-event"),
        (5, "https://${host}/x", True, "server-event"),
    ]


def test_configuration_that_the_compiler_repeats_in_the_module_is_judged_where_it_stands_in_the_artifact(
    folder: Path,
) -> None:
    source = b"""const a = {target: "https://wiki.bank.example/x"}; const b = {url: "https://hooks.bank.example/y"};
    export const c = () => fetch("https://hooks.bank.example/y");"""
    name = f"objectstack-runtime.{hashlib.sha256(source).hexdigest()[:16]}.mjs"
    (folder / name).write_bytes(source)
    links = [{"target": "https://wiki.bank.example/x"}]
    hooks = [{"url": "https://hooks.bank.example/y"}]
    artifact_text = json.dumps({"actions": links, "webhooks": hooks, "runtimeModule": f"./{name}"})
    (folder / "objectstack.json").write_text(artifact_text)
    evidence = _collect(_installation({"OS_ARTIFACT_PATH": "objectstack.json"}, folder))
    found = [(Path(one.path).suffix, one.endpoint and one.endpoint.name) for one in evidence.of(Reference)]
    assert found == [(".json", "wiki.bank.example"), (".json", "hooks.bank.example"), (".mjs", "hooks.bank.example")]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("objectstack-runtime.0123456789abcdef.mjs", "not that of its name"),
        ("objectstack-runtime.fedcba9876543210.mjs", "is not there"),
        ("helper.mjs", "not named after its content"),
        ("../objectstack-runtime.0123456789abcdef.mjs", "out of the artifact's folder"),
        ("/etc/passwd", "out of the artifact's folder"),
        ("https://cdn.example/x.mjs", "out of the artifact's folder"),
    ],
)
def test_a_module_that_is_not_what_was_built_fails(folder: Path, name: str, why: str) -> None:
    (folder / "objectstack-runtime.0123456789abcdef.mjs").write_bytes(_SOURCE)
    (folder / "helper.mjs").write_bytes(_SOURCE)
    (check,) = _checks(_with_module(folder, name), "runtime-module")
    assert (check.outcome, check.pointer) == ("failed", "$.runtimeModule")
    assert why in check.detail


def test_a_module_that_cannot_be_read_is_unknown(folder: Path) -> None:
    (folder / "objectstack-runtime.0123456789abcdef.mjs").mkdir()
    evidence = _with_module(folder, "objectstack-runtime.0123456789abcdef.mjs")
    assert [one.outcome for one in _checks(evidence, "runtime-module")] == ["unknown"]
    assert evidence.status == "partial"
