"""What the environment collector says of real processes."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors import assigned_files, environment, process_environment, runtimes
from airgap_check.evidence import Evidence, Runtime, Setting
from airgap_check.kernel import procfs
from tests.unit.collectors.planted_process import planted, script

if TYPE_CHECKING:
    from pathlib import Path


NO_UNITS = "/nonexistent"
ME = os.getpid()


def _collect(*pids: int) -> Evidence:
    return environment.collect(None, pids=pids, units_root=NO_UNITS)


def _settings(evidence: Evidence, *, own: bool = False) -> dict[str, Setting]:
    found = [one for one in evidence.records if isinstance(one, Setting) and (one.place.kind == "own") == own]
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_a_setting_of_a_process_is_stated_without_its_secret() -> None:
    environ = {"OS_DATABASE_URL": "postgres://u:hunter2@db.bank.example/x", "OS_TOKEN": "hunter2", "PATH": "/bin"}
    with planted(environ) as pid:
        evidence = _collect(pid)
    assert evidence.status == "complete", evidence.reason
    assert "hunter2" not in repr(evidence)
    stated = _settings(evidence)
    database = stated["OS_DATABASE_URL"]
    assert database.value == "postgres://<redacted>@db.bank.example/x"
    assert (database.role, database.posture, database.place.kind, database.place.pid) == (
        "database",
        "url",
        "process",
        pid,
    )
    (end,) = database.endpoints
    assert (end.name, end.port, end.scope) == ("db.bank.example", 5432, "unknown")
    assert database.process
    assert database.process.pid == pid
    assert stated["OS_TOKEN"].value == "<redacted>"
    assert "PATH" not in stated


def test_our_own_environment_is_stated_as_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD_URL", " Off ")
    evidence = _collect(os.getpid())
    (stated,) = [one for one in _settings(evidence, own=True).values() if one.name == "OS_CLOUD_URL"]
    assert (stated.value, stated.posture, stated.place.kind) == (" Off ", "disabled", "own")
    assert not _settings(evidence)
    assert evidence.counts["processes"] == 0


def test_who_merely_invoked_us_is_no_runtime_but_a_neighbour_with_its_settings_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with planted({"OS_CLOUD_URL": "off"}) as pid:
        assert [one.process.pid for one in _collect(pid).records if isinstance(one, Runtime)] == [pid]
        monkeypatch.setattr(runtimes, "ancestors", lambda _: {pid})
        evidence = _collect(pid)
    assert not [one for one in evidence.records if isinstance(one, Runtime)]
    assert _settings(evidence).keys() == {"OS_CLOUD_URL"}


def test_ancestors_are_everybody_who_started_us_but_not_init() -> None:
    found = runtimes.ancestors(os.getpid())
    assert {os.getpid(), os.getppid()} - {1} <= found
    assert 1 not in found


def test_many_children_of_one_kind_are_one_fact() -> None:
    environ = {"OS_DATABASE_URL": "file:/x", "OS_CLOUD_URL": "off", "OS_ARTIFACT_FILE": "/a"}
    other = environ | {"OS_CLOUD_URL": "https://h"}
    with planted(environ) as first, planted(environ) as second, planted(other) as third:
        evidence = _collect(first, second, third)
    found = sorted(
        (one.name, one.value) for one in evidence.records if isinstance(one, Setting) and one.place.kind != "own"
    )
    assert found == [
        ("OS_ARTIFACT_FILE", "/a"),
        ("OS_CLOUD_URL", "https://h"),
        ("OS_CLOUD_URL", "off"),
        ("OS_DATABASE_URL", "file:/x"),
    ]


def test_a_runtime_states_product_version_and_namespace(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "@objectstack" / "cli"
    run = script(package / "bin" / "run.js")
    (package / "package.json").write_text('{"name": "@objectstack/cli", "version": "17.4.0"}')
    with planted({}, ["node", run, "start"], tmp_path) as pid:
        evidence = _collect(pid)
    (running,) = [one for one in evidence.records if isinstance(one, Runtime)]
    assert (running.product, running.version, running.process.pid) == ("@objectstack/cli", "17.4.0", pid)
    assert running.netns == os.stat("/proc/self/ns/net").st_ino


def test_what_a_runtime_was_not_told_is_stated_as_unset(tmp_path: Path) -> None:
    run = script(tmp_path / "os")
    with planted({"OS_INTERNAL_ARTIFACT_PATH": "/x"}, ["node", run, "serve"], tmp_path) as pid:
        stated = _settings(_collect(pid))
    assert {name: one.role for name, one in stated.items() if one.posture == "unset"} == {
        "OS_CLOUD_URL": "control-plane",
        "OS_DATABASE_URL": "database",
    }
    assert all(
        one.value == "" and one.process and one.place.pid == pid for one in stated.values() if one.posture == "unset"
    )


def test_what_many_runtimes_of_one_kind_were_not_told_is_one_fact(tmp_path: Path) -> None:
    environ = {"OS_CLOUD_URL": "off"}
    with planted(environ, folder=tmp_path) as first, planted(environ, folder=tmp_path) as second:
        evidence = _collect(first, second)
    assert {name for name, one in _settings(evidence).items() if one.posture == "unset"} == {
        "OS_BUSINESS_DB_URL", "OS_ARTIFACT_FILE",
    }  # fmt: skip
    assert evidence.counts["runtimes"] == 1


def test_a_blank_value_is_not_unset(tmp_path: Path) -> None:
    with planted({"OS_CLOUD_URL": ""}, folder=tmp_path) as pid:
        assert _settings(_collect(pid))["OS_CLOUD_URL"].posture == "blank"


def test_a_child_is_told_by_its_parent_and_both_are_one_runtime(tmp_path: Path) -> None:
    """`os start` reads nothing of what it hands to `os serve`: only together they were told everything."""
    child = script(tmp_path / "bin" / "os")
    environ = {"OS_CLOUD_URL": "off", "OS_DATABASE_URL": "file:/x", "OS_ARTIFACT_PATH": "/a"}
    python = os.path.realpath(sys.executable)
    program = (
        "import subprocess\n"
        f"with subprocess.Popen(['node', {child!r}, 'serve'], executable={python!r}, env={environ!r}) as child: pass\n"
    )
    parent = script(tmp_path / "os", program)
    with planted({"PATH": "/bin"}, ["node", parent, "start"], tmp_path) as pid:
        serving = next(one for one in procfs.pids() if procfs.parent(one) == pid)
        assert not [one for one in _settings(_collect(pid, serving)).values() if one.posture == "unset"]
        alone = _settings(_collect(pid))
        assert {name for name, one in alone.items() if one.posture == "unset"} == {
            "OS_CLOUD_URL", "OS_DATABASE_URL", "OS_ARTIFACT_PATH",
        }  # fmt: skip


def test_a_dotenv_file_of_a_runtime_is_read_with_its_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# c\nOS_CLOUD_URL=https://cloud.example\nOS_EMAIL_SMTP_HOST=mail.example\n")
    (tmp_path / ".env.production").write_text("\nOS_CLOUD_URL=off\nOS_EMAIL_SMTP_PORT=25\n")
    (tmp_path / ".env.development").write_text("OS_REDIS_URL=redis://h\n")
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        evidence = _collect(pid)
    stated = _settings(evidence)
    cloud = stated["OS_CLOUD_URL"]
    assert (cloud.value, cloud.posture) == ("off", "disabled")
    assert (cloud.place.kind, cloud.place.path, cloud.place.line) == ("file", f"{tmp_path}/.env.production", 2)
    assert stated["OS_EMAIL_SMTP_HOST"].place.path == f"{tmp_path}/.env"
    assert stated["OS_EMAIL_SMTP_HOST"].endpoints[0].port == 25
    assert "OS_REDIS_URL" not in stated
    assert evidence.counts["env_files"] == 2


def test_a_dotenv_file_does_not_override_what_a_process_was_given(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OS_CLOUD_URL=https://cloud.example\n")
    with planted({"OS_CLOUD_URL": "off"}, folder=tmp_path) as pid:
        assert _settings(_collect(pid))["OS_CLOUD_URL"].place.kind == "process"


def test_a_dotenv_file_of_others_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OS_CLOUD_URL=https://cloud.example\n")
    with planted({"OS_PORT": "1"}, folder=tmp_path) as pid:
        assert not _settings(_collect(pid))


def test_a_dotenv_file_that_cannot_be_read_makes_the_evidence_partial(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        evidence = _collect(pid)
    assert evidence.status == "partial"
    assert f"{tmp_path}/.env" in evidence.reason
    assert not [one for one in _settings(evidence).values() if one.posture == "unset"]


def test_flags_of_a_runtime_are_settings(tmp_path: Path) -> None:
    run = script(tmp_path / "os")
    line = ["node", run, "start", "--database", "postgres://u:hunter2@db.example/x", "-a", "/srv/a.json"]
    with planted({}, line, tmp_path) as pid:
        evidence = _collect(pid)
    stated = _settings(evidence)
    assert "hunter2" not in repr(evidence)
    assert (stated["--database"].role, stated["--database"].endpoints[0].name) == ("database", "db.example")
    assert (stated["-a"].role, stated["-a"].place.kind) == ("artifact", "command-line")
    assert {name for name, one in stated.items() if one.posture == "unset"} == {"OS_CLOUD_URL"}


def test_a_secret_on_a_command_line_is_stated_but_not_repeated() -> None:
    with planted({}, ["tool", "--password", "hunter2", "--db=postgres://u:hunter2@h/x"]) as pid:
        evidence = _collect(pid)
    assert "hunter2" not in repr(evidence)
    stated = _settings(evidence)
    assert stated.keys() == {"--password", "URL"}
    for one in stated.values():
        assert (one.role, one.value, one.place.kind) == ("command-line-secret", "<redacted>", "command-line")


def test_units_are_stated_with_file_and_line(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    (folder / "x.service").write_text(
        "[Service]\nEnvironment=PATH=/bin\nEnvironment=OS_EMAIL_SMTP_HOST=m OS_EMAIL_SMTP_PORT=25\n"
    )
    evidence = environment.collect(None, pids=[], units_root=str(tmp_path))
    (stated,) = _settings(evidence).values()
    assert (stated.name, stated.endpoints[0].port) == ("OS_EMAIL_SMTP_HOST", 25)
    assert (stated.place.unit, stated.place.path, stated.place.line) == (
        "x.service",
        "/etc/systemd/system/x.service",
        3,
    )
    assert evidence.counts["unit_files"] == 1


def test_a_process_that_we_may_not_read_makes_the_evidence_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    with planted({"OS_CLOUD_URL": "off"}, ["tool", "--token", "hunter2"]) as pid:
        real = procfs.read

        def refuse(pid: int, name: str, limit: int = 1 << 20) -> bytes:
            if name == "environ":
                raise PermissionError
            return real(pid, name, limit)

        monkeypatch.setattr(procfs, "read", refuse)
        evidence = _collect(pid)
    assert evidence.status == "partial"
    assert f"1 processes, such as {pid} (" in evidence.reason
    assert evidence.counts["unreadable"] == 1
    assert _settings(evidence).keys() == {"--token"}


def test_nothing_is_called_unset_of_a_runtime_whose_environment_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = script(tmp_path / "os")
    with planted({}, ["node", run, "start"], tmp_path) as pid:
        monkeypatch.setattr(process_environment, "of_interest", _closed)
        evidence = _collect(pid)
    assert evidence.counts["runtimes"] == 1
    assert not _settings(evidence)


def _closed(_: bytes) -> dict[str, str]:
    raise PermissionError


def test_an_environment_that_is_too_long_is_not_taken_for_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_environment, "_LIMIT", 10)
    with planted({"A": "b" * 100}) as pid:
        evidence = _collect(pid)
    assert evidence.status == "partial"
    assert "more than 10 bytes" in evidence.reason


def test_zombies_and_vanished_processes_are_tolerated() -> None:
    with planted({"OS_CLOUD_URL": "off"}) as pid:
        pass
    evidence = _collect(pid, 2**22 + 1)
    assert (evidence.status, evidence.counts["processes"]) == ("complete", 2)
    assert not _settings(evidence)


def test_past_the_deadline_the_evidence_is_partial() -> None:
    evidence = environment.collect(time.monotonic() - 1, pids=[1, 2, 3], units_root=NO_UNITS)
    assert evidence.status == "partial"
    assert "time limit with 3 processes left" in evidence.reason


def test_past_the_deadline_no_runtime_is_called_untold(tmp_path: Path) -> None:
    with planted({"OS_CLOUD_URL": "off"}, folder=tmp_path) as pid:
        seen = process_environment.sweep([pid], None).seen
        found = runtimes.find(seen, (), time.monotonic() - 1)
    assert found.subjects
    assert not found.unset
    assert "time limit" in found.failures[0]


def test_hidden_processes_make_the_evidence_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "hides_processes", lambda: True)
    evidence = _collect()
    assert evidence.status == "partial"
    assert "hidepid" in evidence.reason


def test_without_proc_the_evidence_is_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> list[int]:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(procfs, "pids", missing)
    evidence = environment.collect(None)
    assert evidence.status == "unavailable"
    assert "No such file" in evidence.reason


@pytest.mark.parametrize("us", [None, "1"])
def test_a_proc_of_another_pid_namespace_makes_the_evidence_unavailable(
    us: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def readlink(_: str) -> str:
        if us is None:
            raise FileNotFoundError(2, "No such file or directory")
        return us

    monkeypatch.setattr(os, "readlink", readlink)
    evidence = environment.collect(None)
    assert evidence.status == "unavailable"
    assert "of another PID namespace" in evidence.reason


def test_the_blind_spots_are_said() -> None:
    with planted({"OS_OTLP_ENDPOINT": "https://{host}/", "OS_X_URL": "https://h:${PORT}"}) as pid:
        evidence = _collect(pid)
    assert "setenv" in evidence.blind[0]
    assert "OS_OTLP_ENDPOINT, OS_X_URL" in evidence.blind[1]


def test_hostile_values_become_printable_and_short() -> None:
    with planted({"OS_X_URL": "https://h/\x1b[31m" + "x" * 9999, "OS_\x07_URL": "a"}) as pid:
        stated = _settings(_collect(pid))
    assert stated["OS_X_URL"].value.isprintable()
    assert len(stated["OS_X_URL"].value) == 512
    assert all(one.name.isprintable() for one in stated.values())


def test_a_flood_of_settings_or_destinations_makes_the_evidence_partial() -> None:
    with planted({"OS_X_URL": ",".join(f"h{number}" for number in range(300))}) as pid:
        evidence = _collect(pid)
    assert len(_settings(evidence)["OS_X_URL"].endpoints) == 256
    assert evidence.reason == "OS_X_URL names more than 256 places"
    with planted({f"OS_X{number}_URL": "a" for number in range(2001)}) as pid:
        evidence = _collect(pid)
    assert "more than 2000 settings" in evidence.reason
    assert not _settings(evidence)


def test_a_runtime_whose_folder_is_gone_reads_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with planted({"OS_CLOUD_URL": "off"}, folder=folder) as pid:
        folder.rmdir()
        evidence = _collect(pid)
    assert evidence.status == "complete"
    assert "OS_BUSINESS_DB_URL" in _settings(evidence)


def test_a_file_of_too_many_variables_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"A{number}=1\n" for number in range(2001)))
    with planted({"OS_CLOUD_URL": "off"}, folder=tmp_path) as pid:
        evidence = _collect(pid)
    assert "more than 2000 variables" in evidence.reason


@pytest.mark.parametrize(
    ("root", "cwd", "place"),
    [
        ("/", "/srv/app", "/srv/app"),
        ("/jail", "/jail/srv/app", "/srv/app"),
        ("/jail", "/jail", "/"),
        ("/", "/srv/app (deleted)", None),
    ],
)
def test_a_working_directory_is_named_as_its_process_names_it(
    root: str, cwd: str, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = {f"/proc/{ME}/root": root, f"/proc/{ME}/cwd": cwd}
    real = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path, **more: links.get(path) or real(path, **more))
    assert assigned_files.working_directory(ME) == place


@pytest.mark.parametrize(("root", "cwd"), [("/jail", "/jailed"), ("/", "(unreachable)/srv")])
def test_a_working_directory_that_cannot_be_named_is_an_error(
    root: str, cwd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "readlink", lambda path: {f"/proc/{ME}/root": root, f"/proc/{ME}/cwd": cwd}[path])
    with pytest.raises(OSError, match=r"outside of the root|cannot be reached"):
        assigned_files.working_directory(ME)


def test_a_working_directory_that_is_unknown_makes_the_evidence_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> str:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(assigned_files, "working_directory", unknown)
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as pid:
        evidence = _collect(pid)
    assert evidence.status == "partial"
    assert f"the working directory of {pid} (" in evidence.reason
    assert not [one for one in _settings(evidence).values() if one.posture == "unset"]


def test_a_folder_may_be_called_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "app (deleted)"
    folder.mkdir()
    (folder / ".env").write_text("OS_CLOUD_URL=https://h\n")
    with planted({"OS_PROJECT_ID": "x"}, folder=folder) as pid:
        assert _settings(_collect(pid))["OS_CLOUD_URL"].place.path == f"{folder}/.env"


def test_a_deleted_folder_is_not_mistaken_for_one_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "app (deleted)").mkdir()
    (tmp_path / "app (deleted)" / ".env").write_text("OS_CLOUD_URL=https://h\n")
    (tmp_path / "app").mkdir()
    with planted({"OS_PROJECT_ID": "x"}, folder=tmp_path / "app") as pid:
        (tmp_path / "app").rmdir()
        assert _settings(_collect(pid))["OS_CLOUD_URL"].posture == "unset"


def test_files_that_an_option_of_node_names_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("OS_CLOUD_URL=off\nOS_PROJECT_ID=x\n")
    (tmp_path / "b.env").write_text("\nOS_CLOUD_URL=https://h\n")
    line = ["node", "--env-file=a.env", f"--env-file={tmp_path}/b.env", "--env-file-if-exists=c.env", "x.js"]
    with planted({}, ["tool"], tmp_path) as pid:
        raw = process_environment.Seen(pid, pid, "node", tuple(line), {}, None, ())
        found = runtimes.find([raw], (), None)
    assert [(one.name, one.value, one.path, one.line) for one in found.from_files] == [
        ("OS_CLOUD_URL", "https://h", f"{tmp_path}/b.env", 2),
        ("OS_PROJECT_ID", "x", f"{tmp_path}/a.env", 2),
    ]
    assert (len(found.subjects), found.files, found.failures) == (1, 2, [])


def test_a_file_that_an_option_names_and_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    line = ("node", "--env-file=a.env", "x.js")
    with planted({}, ["tool"], tmp_path) as pid:
        seen = process_environment.Seen(pid, pid, "node", line, {"OS_PROJECT_ID": "x"}, None, ())
        found = runtimes.find([seen], (), None)
    assert found.failures == [f"{tmp_path}/a.env of {pid} (node): No such file or directory"]
    assert not found.unset


def test_a_child_that_was_not_told_is_not_excused_by_its_parent(tmp_path: Path) -> None:
    rest = {"OS_ARTIFACT_FILE": "/a", "OS_DATABASE_URL": "file:/x"}
    with planted({}, folder=tmp_path) as parent, planted({}, folder=tmp_path) as child:
        for given, lacking in (
            (({"OS_CLOUD_URL": "off"}, rest), {child}),
            ((rest, {"OS_CLOUD_URL": "off"}), set()),
            ((rest, rest), {parent, child}),
        ):
            seen = [
                process_environment.Seen(pid, pid, "node", ("x",), dict(environ), None, ())
                for pid, environ in zip((parent, child), given, strict=True)
            ]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(procfs, "parent", {child: parent, parent: 1}.__getitem__)
                found = runtimes.find(seen, (), None)
            assert {(one.seen.pid, one.name) for one in found.unset} == {(pid, "OS_CLOUD_URL") for pid in lacking}


def test_files_of_the_same_name_below_other_roots_are_both_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("OS_CLOUD_URL=off\n")
    monkeypatch.setattr(assigned_files, "_root", lambda pid: (pid, "/"))
    with (
        planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as one,
        planted({"OS_PROJECT_ID": "x"}, folder=tmp_path) as two,
    ):
        seen = process_environment.sweep([one, two], None).seen
        found = runtimes.find(seen, (), None)
    assert {given.seen.pid for given in found.from_files} == {one, two}
