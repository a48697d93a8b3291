"""What the collector of environments says of running products: identity, posture, artifact, and the way to more."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors import client_files, environment, process_environment, runtimes
from airgap_check.evidence import Runtime, Setting
from airgap_check.kernel import procfs
from tests.unit.collectors.planted_process import planted, script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airgap_check.collectors.environment import Examined


def _examine(*pids: int, root: Path | None = None) -> Examined:
    return environment.examine(None, pids=pids, units_root=str(root) if root else "/nonexistent")


def _open_runtime(folder: Path, version: str = "17.4.0") -> str:
    package = folder / "node_modules" / "@objectstack" / "cli"
    run = script(package / "bin" / "run.js")
    (package / "package.json").write_text(json.dumps({"name": "@objectstack/cli", "version": version}))
    return run


def _objectos(folder: Path, version: str = "4.2.0") -> None:
    (folder / "package.json").write_text(json.dumps({"name": "@bank/objectos", "version": version}))


def _one(examined: Examined) -> Runtime:
    (runtime,) = examined.evidence.of(Runtime)
    return runtime


def _settings(examined: Examined) -> dict[str, Setting]:
    return {one.name: one for one in examined.evidence.of(Setting) if one.place.kind != "own"}


@pytest.mark.parametrize(
    ("environ", "dotenv", "posture"),
    [
        ({}, "", "unset"),
        ({"OS_CLOUD_URL": ""}, "", "blank"),
        ({"OS_CLOUD_URL": "off"}, "", "disabled"),
        ({"OS_CLOUD_URL": '"off"'}, "", "lookalike"),
        ({}, "OS_CLOUD_URL=off\n", "disabled"),
        ({"OS_CLOUD_URL": "https://h"}, "OS_CLOUD_URL=off\n", "url"),
    ],
)
def test_a_runtime_states_the_posture_in_force(
    tmp_path: Path, environ: Mapping[str, str], dotenv: str, posture: str
) -> None:
    (tmp_path / ".env").write_text(dotenv)
    with planted(environ, ["node", _open_runtime(tmp_path), "start"], tmp_path) as pid:
        runtime = _one(_examine(pid))
    assert (runtime.product, runtime.version, runtime.unset_means) == ("@objectstack/cli", "17.4.0", "public")
    assert runtime.cloud_url == posture


def test_an_open_runtime_in_a_folder_that_says_objectos_is_objectos(tmp_path: Path) -> None:
    run = _open_runtime(tmp_path)
    _objectos(tmp_path)
    with planted({}, ["node", run, "start"], tmp_path) as pid:
        named_only = _one(_examine(pid))
        (tmp_path / "objectstack.config.mjs").write_text("// the wrapper")
        runtime = _one(_examine(pid))
    assert (runtime.product, runtime.version, runtime.unset_means) == ("ObjectOS", "4.2.0", "offline")
    # `npm init` in a folder called objectos says as much, and the runtime there is the open one all the same.
    assert (named_only.product, named_only.version, named_only.unset_means) == ("@objectstack/cli", "17.4.0", "public")


@pytest.mark.parametrize("link", ["bin/os", "bin/objectstack"])
def test_a_runtime_is_known_behind_links_of_any_package_manager(tmp_path: Path, link: str) -> None:
    run = _open_runtime(tmp_path / "store")
    (tmp_path / "bin").mkdir()
    (tmp_path / "hop").symlink_to(run)
    (tmp_path / link).symlink_to("../hop")
    with planted({}, ["node", str(tmp_path / link), "start"], tmp_path) as pid:
        runtime = _one(_examine(pid))
    assert (runtime.product, runtime.version) == ("@objectstack/cli", "17.4.0")


def test_what_calls_itself_a_shell_is_none(tmp_path: Path) -> None:
    with planted({"OS_CLOUD_URL": "off"}, ["bash"], tmp_path) as pid:
        assert _one(_examine(pid)).product == "unknown"


def test_who_only_started_a_runtime_is_none_but_who_says_so_without_having_is_one(tmp_path: Path) -> None:
    program = f"""
import os, subprocess, sys
if len(sys.argv) == 2:
    line = ["node", {_open_runtime(tmp_path)!r}, "start"]
    runtime = subprocess.Popen(line, executable=os.path.realpath("/proc/self/exe"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    runtime.stdout.readline()
    open("pid", "w").write(str(runtime.pid))
print(flush=True)
input()
if len(sys.argv) == 2:
    runtime.communicate("\\n")
"""
    told = {"OS_CLOUD_URL": "off"}
    with planted(told, ["npm", "start"], tmp_path, program) as pid:
        child = int((tmp_path / "pid").read_text())
        assert _one(_examine(pid, child)).process.pid == child
        assert {one.product for one in _examine(pid).evidence.of(Runtime)} == {"unknown"}
    with planted(told, ["npm"], tmp_path, program) as pid:
        assert _one(_examine(pid)).product == "unknown"


def test_of_a_process_that_only_has_settings_nothing_is_known(tmp_path: Path) -> None:
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        runtime = _one(_examine(pid))
    assert (runtime.product, runtime.version, runtime.unset_means) == ("unknown", None, "unknown")


def test_a_posture_that_a_file_may_hold_is_unknown_when_the_file_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        assert _one(_examine(pid)).cloud_url is None
    with planted({"OS_CLOUD_URL": "off"}, folder=tmp_path) as pid:
        assert _one(_examine(pid)).cloud_url == "disabled"


def test_what_a_stronger_file_may_override_is_not_in_force_when_that_one_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OS_CLOUD_URL=off\n")
    os.mkfifo(tmp_path / ".env.local")
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        assert _one(_examine(pid)).cloud_url is None


def test_a_parent_has_the_posture_of_its_children_and_of_several_the_most_open(tmp_path: Path) -> None:
    environs: tuple[dict[str, str], ...] = ({"OS_PROJECT_ID": "x"}, {"OS_CLOUD_URL": "off"}, {"OS_CLOUD_URL": ""})
    with (
        planted({}, folder=tmp_path) as parent,
        planted({}, folder=tmp_path) as one,
        planted({}, folder=tmp_path) as two,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(procfs, "parent", {one: parent, two: parent, parent: 1}.__getitem__)
        seen = [
            process_environment.Seen(pid, pid, "node", ("x",), dict(environ), None, ())
            for pid, environ in zip((parent, one, two), environs, strict=True)
        ]
        found = {subject.seen.pid: subject.cloud_url for subject in runtimes.find(seen, (), None).subjects}
        assert found == {parent: "blank", one: "disabled", two: "blank"}
        found = {subject.seen.pid: subject.cloud_url for subject in runtimes.find(seen[:2], (), None).subjects}
        assert found == {parent: "disabled", one: "disabled"}


def test_an_installation_has_the_settings_in_force_with_their_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OS_DATABASE_URL=file:/c\nOS_REDIS_URL=redis://:hunter2@h\nOS_PORT=1\n")
    environ = {"OS_DATABASE_URL": "file:/b", "OS_ARTIFACT_URL": "https://h/x", "HOME": str(tmp_path)}
    line = ["node", _open_runtime(tmp_path), "start", "--artifact", "app.json", "--database=file:/a"]
    with planted(environ, line, tmp_path) as pid:
        examined = _examine(pid)
    (installation,) = examined.installations
    assert installation.settings["OS_DATABASE_URL"] == "file:/a"
    assert installation.settings["OS_REDIS_URL"] == "redis://:hunter2@h"
    assert installation.settings["OS_PORT"] == "1"
    assert "OS_ARTIFACT_URL" not in installation.settings
    assert (installation.artifact, installation.directory) == (f"{tmp_path}/app.json", str(tmp_path))
    assert (installation.home, installation.process.pid) == (str(tmp_path), pid)
    assert _one(examined).artifact == f"{tmp_path}/app.json"
    assert "hunter2" not in repr(examined.evidence)


def test_an_artifact_that_is_fetched_is_stated_without_its_secret(tmp_path: Path) -> None:
    environ = {"OS_ARTIFACT_URL": "https://u:hunter2@h/x.json#sha256=0"}
    with planted(environ, ["node", _open_runtime(tmp_path), "start"], tmp_path) as pid:
        assert _one(_examine(pid)).artifact == "https://<redacted>@h/x.json#sha256=0"


def test_without_a_setting_the_artifact_is_the_one_in_the_default_place(tmp_path: Path) -> None:
    with planted({"HOME": "/nonexistent"}, ["node", _open_runtime(tmp_path), "start"], tmp_path) as pid:
        assert _one(_examine(pid)).artifact is None
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist" / "objectstack.json").write_text("{}")
        assert _one(_examine(pid)).artifact == f"{tmp_path}/dist/objectstack.json"


def test_a_setting_that_the_runtime_does_not_read_says_so(tmp_path: Path) -> None:
    environ = {"OS_ARTIFACT_FILE": "/a", "OS_CLOUD_URL": "off", "OS_X_URL": "https://h", "HTTPS_PROXY": "http://h"}
    with planted(environ, ["node", _open_runtime(tmp_path), "start"], tmp_path) as pid:
        stated = _settings(_examine(pid))
        assert {name: stated[name].read for name in environ} == {
            "OS_ARTIFACT_FILE": "no", "OS_CLOUD_URL": "yes", "OS_X_URL": None, "HTTPS_PROXY": None,
        }  # fmt: skip
        assert (stated["OS_ARTIFACT_FILE"].product, stated["OS_ARTIFACT_FILE"].version) == (
            "@objectstack/cli",
            "17.4.0",
        )
        assert stated["OS_ARTIFACT_PATH"].posture == "unset"
        (tmp_path / "objectstack.config.ts").write_text("// may read anything")
        assert _settings(_examine(pid))["OS_ARTIFACT_FILE"].read == "unknown"


def test_the_image_of_a_runtime_is_that_of_its_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airgap_check.evidence.fact import Workload
    from airgap_check.kernel import cgroup

    identifier = "ab" * 32
    folder = tmp_path / "var/lib/docker/containers" / identifier
    folder.mkdir(parents=True)
    (folder / "config.v2.json").write_text(
        json.dumps({"Image": "sha256:" + "c" * 64, "Config": {"Image": "objectos:4"}})
    )
    contained = Workload(kind="container", id=identifier[:12], name=identifier[:12])
    monkeypatch.setattr(cgroup, "of_process", lambda _: contained)
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        runtime = _one(_examine(pid, root=tmp_path))
    assert (runtime.image, runtime.digest) == ("objectos:4", "sha256:" + "c" * 64)


def test_registries_beside_a_runtime_and_of_the_host_are_stated_with_file_and_line(tmp_path: Path) -> None:
    home, root, folder = tmp_path / "home", tmp_path / "root", tmp_path / "app"
    for path in (home / ".config/pip", root / "etc/docker", root / "etc/containers/registries.conf.d", folder):
        path.mkdir(parents=True)
    (folder / ".npmrc").write_text("registry=https://u:hunter2@npm.example/\n")
    (home / ".npmrc").write_text("\n@a:registry=https://a.example/\n")
    (home / ".config/pip/pip.conf").write_text("[global]\nindex-url=https://pypi.example/\n")
    (root / "etc/docker/daemon.json").write_text('{"registry-mirrors": ["https://mirror.example"]}')
    (root / "etc/containers/registries.conf.d/x.conf").write_text('unqualified-search-registries = ["search.example"]')
    with planted({"OS_CLOUD_URL": "off", "HOME": str(home)}, folder=folder) as pid:
        examined = _examine(pid, root=root)
    found = {
        (one.place.path, one.place.line, one.name, end.name, end.port)
        for one in examined.evidence.of(Setting)
        if one.role == "registry" and one.place.kind == "file"
        for end in one.endpoints
    }
    assert found == {
        (f"{folder}/.npmrc", 1, "registry", "npm.example", 443),
        (f"{home}/.npmrc", 2, "@a:registry", "a.example", 443),
        (f"{home}/.config/pip/pip.conf", 2, "index-url", "pypi.example", 443),
        ("/etc/docker/daemon.json", 1, "registry-mirrors", "mirror.example", 443),
        ("/etc/containers/registries.conf.d/x.conf", 1, "unqualified-search-registries", "search.example", 443),
    }
    assert examined.evidence.counts["client_files"] == 5
    assert "hunter2" not in repr(examined.evidence)


def test_a_client_file_that_cannot_be_read_makes_the_evidence_partial(tmp_path: Path) -> None:
    (tmp_path / "etc/docker").mkdir(parents=True)
    (tmp_path / "etc/docker/daemon.json").write_text("{")
    evidence = _examine(root=tmp_path).evidence
    assert evidence.status == "partial"
    assert "could not read /etc/docker/daemon.json: " in evidence.reason
    with planted({"OS_CLOUD_URL": "off"}, folder=tmp_path) as pid:
        os.mkfifo(tmp_path / ".npmrc")
        assert f"could not read {tmp_path}/.npmrc: " in _examine(pid).evidence.reason


def test_past_the_deadline_the_files_of_runtimes_are_not_said_to_be_empty(tmp_path: Path) -> None:
    with planted({"OS_CLOUD_URL": "off"}, folder=tmp_path) as pid:
        found = runtimes.find(process_environment.sweep([pid], None).seen, (), None)
        assert "time limit" in client_files.read(found.subjects, "/nonexistent", 0.0).failures[0]
