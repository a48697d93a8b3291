"""``rehearse`` as people run it: its worlds, its doors, what it refuses, and what it says where it may not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.lab_host import CHECKOUT, PATIENCE
from tests.live.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL = [sys.executable, "-m", "airgap_check", "rehearse"]
POLICY = """
version: 1
allow:
  - {name: core database, role: database, host: [db.bank.example], ports: [5432]}
  - {name: mail, role: smtp, host: [mail.bank.example], ports: [25]}
"""
DIAL = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).status)"
# What an ordinary user has: no capability, another uid.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def rehearse(*arguments: str, before: tuple[str, ...] = ()) -> tuple[int, dict[str, Any], str]:
    """Rehearse; return the exit code, the JSON report and what stood on standard error."""
    environ = dict(os.environ)
    if before:  # somebody else may not write where coverage is kept
        environ = {name: value for name, value in environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [*before, *TOOL, "--format", "json", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=4 * PATIENCE, check=False, env=environ,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def python(script: str, *arguments: str) -> list[str]:
    return ["--", sys.executable, "-c", script, *arguments]


def reached(report: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what was reached for by name, or address, and port."""
    return {
        (one["remote"]["name"] or one["remote"]["address"], one["remote"]["port"]): one for one in report["reached"]
    }


@pytest.mark.parametrize(
    ("world", "ended"),
    [("accept", "by the client"), ("drop", "dropped"), ("reject", "rejected")],
)
def test_in_each_world_the_same_is_reached_for_and_it_ends_as_that_world_says(
    world: str, ended: str, policy: str
) -> None:
    command = python(DIAL, "mail.bank.example", "25")
    code, report, errors = rehearse("--policy", policy, "--world", world, "--quiet", *command)
    (one,) = [one for place, one in reached(report).items() if place == ("mail.bank.example", 25)]
    assert (one["allowed"], one["by"]) == ("yes", "mail")
    assert any(ended in line for line in one["ended"]), one["ended"]
    assert code == (0 if world == "accept" else 4), report["reasons"]  # there, the command has failed
    assert errors == ""


def test_where_no_name_exists_the_name_is_what_it_reached_for(policy: str) -> None:
    code, report, _ = rehearse("--policy", policy, "--world", "nxdomain", *python(DIAL, "cdn.example.net", "443"))
    assert {name for name, _ in reached(report)} == {"cdn.example.net"}
    assert code == 1
    assert "resolution.public-name-asked" in {one["rule"] for one in report["results"] if one["findings"]}


def test_who_asks_for_a_name_is_named_also_where_several_do_and_all_have_gone(policy: str) -> None:
    program = """
import os, socket, sys
for name in sys.argv[1:]:
    try: socket.getaddrinfo(name, 443)
    except OSError: pass
if os.fork(): os.wait()
else: os.execvp("getent", ["getent", "hosts", sys.argv[1]])
"""
    command = python(program, "both.example.net", "one.example.net")
    _, report, _ = rehearse("--policy", policy, "--world", "nxdomain", *command)
    who = {name: set(one["who"]) for (name, _), one in reached(report).items()}
    (interpreter,) = who["one.example.net"]
    assert interpreter.startswith("python")
    assert who == {"both.example.net": {interpreter, "getent"}, "one.example.net": {interpreter}}


def test_what_a_command_says_without_end_is_heard_to_the_end_of_the_rehearsal(policy: str) -> None:
    program = """
import socket, threading, time
def talk():
    with socket.create_connection(("db.bank.example", 5432)) as line:
        while True:
            line.send(b"more" * 100)
            time.sleep(0.005)
threading.Thread(target=talk).start()
talk()
"""
    _, report, _ = rehearse("--policy", policy, "--for", "3s", "--quiet", *python(program))
    (world,) = [item for item in report["coverage"] if item["collector"] == "world"]
    assert (world["status"], world["reason"]) == ("complete", "")
    assert reached(report)["db.bank.example", 5432]["ended"] == ["open when the rehearsal ended"]


def test_a_suggested_policy_allows_what_was_reached_and_nothing_runs_where_it_cannot_be_written(tmp_path: Path) -> None:
    mark, draft, given = tmp_path / "ran", tmp_path / "draft.yaml", tmp_path / "given.yaml"
    given.write_text(POLICY.replace("allow:", "networks: {domains: [bank.example]}\nallow:"))
    command = python(f"open({str(mark)!r}, 'w'); {DIAL}", "db.bank.example", "5433")
    for place, why in ((given, "this run reads that file"), (tmp_path / "none" / "draft.yaml", "No such file")):
        code, _, errors = rehearse("--policy", str(given), "--suggest-policy", str(place), *command)
        assert code == 2
        assert why in errors
        assert not mark.exists()
    code, _, _ = rehearse("--policy", str(given), "--suggest-policy", str(draft), *command)
    assert (code, mark.exists()) == (1, True)
    code, report, _ = rehearse("--policy", str(draft), *command)
    assert [one["by"] for one in report["reached"]] == ["other db.bank.example"]


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_a_literal_address_needs_no_name(address: str, policy: str) -> None:
    code, report, _ = rehearse("--policy", policy, "--quiet", *python(DIAL, address, "8443"))
    assert (address, 8443) in reached(report)
    assert code == 1


@contextmanager
def postgresql() -> Iterator[int]:
    """Run Debian's PostgreSQL on loopback as an ordinary user, which it insists on; yield its port."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    port = str(free_port())
    with tempfile.TemporaryDirectory() as data:
        os.chown(data, 65534, 65534)
        make = [*NOBODY, f"{programs}/initdb", "--no-sync", "--auth=trust", "-U", "objectos", "-D", data]
        subprocess.run(make, check=True, capture_output=True, cwd="/")
        serve = [*NOBODY, f"{programs}/postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", data, "-F"]
        with subprocess.Popen(serve, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            deadline = time.monotonic() + PATIENCE
            ready = [f"{programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", port]
            while subprocess.run(ready, check=False).returncode:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield int(port)
            server.send_signal(signal.SIGINT)  # end the sessions, too


def test_an_allowed_name_leads_to_a_real_database_on_this_machine(policy: str, tmp_path: Path) -> None:
    out = tmp_path / "answer"
    query = ["psql", "-h", "db.bank.example", "-U", "objectos", "postgres", "-Atc", "SELECT 6 * 7", "-o", str(out)]
    with postgresql() as port:
        through = f"db.bank.example:5432=127.0.0.1:{port}"
        code, report, errors = rehearse("--policy", policy, "--allow-through", through, "--", *query)
    assert out.read_text() == "42\n", errors
    one = reached(report)["db.bank.example", 5432]
    assert (one["allowed"], one["by"], code) == ("yes", "core database", 0), report["reasons"]
    assert any("passed through" in line for line in one["ended"])


@pytest.mark.parametrize(
    ("through", "why"),
    [
        ("api.example.net=127.0.0.1:5432", "no entry of the policy allows that name"),
        ("db.bank.example=203.0.113.7:5432", "203.0.113.7 is not this machine, and nothing may leave it"),
        ("db.bank.example=other.host:5432", "other.host is no address; a real service must be on this machine"),
        ("db.bank.example=127.0.0.1", "write NAME=HOST:PORT"),
        ("=127.0.0.1:1", "write NAME=HOST:PORT"),
        ("db.bank.example=127.0.0.1:0", "write NAME=HOST:PORT"),
    ],
)
def test_nothing_else_is_let_through(through: str, why: str, policy: str) -> None:
    code, _, errors = rehearse("--policy", policy, "--allow-through", through, "--", "true")
    assert (code, errors) == (2, f"airgap-check: --allow-through {through}: {why}\n")


@pytest.mark.parametrize("world", ["drop", "reject"])
def test_nothing_is_let_through_where_nobody_answers(world: str, policy: str) -> None:
    through = ("--allow-through", "db.bank.example=127.0.0.1:5432", "--world", world)
    code, _, errors = rehearse("--policy", policy, *through, "--", "true")
    assert (code, errors) == (
        2, "airgap-check: --allow-through needs --world accept or nxdomain: in the others nobody answers\n",
    )  # fmt: skip


def test_nothing_is_let_through_without_a_policy() -> None:
    code, _, errors = rehearse("--allow-through", "db.bank.example=127.0.0.1:5432", "--", "true")
    assert (code, errors) == (
        2, "airgap-check: --allow-through is for names that a policy approves: add --policy FILE\n",
    )  # fmt: skip


def test_a_published_port_leads_this_machine_inside(policy: str) -> None:
    port = str(free_port())
    command = [*TOOL, "--policy", policy, "--quiet", "--for", "60s", "--publish", port, "--format", "json"]
    serve = [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"]
    with subprocess.Popen([*command, "--", *serve], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as tool:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        tool.send_signal(signal.SIGINT)
        report = json.loads(tool.communicate(timeout=PATIENCE)[0])
    assert "pyproject.toml" in page
    assert report["reached"] == []
    assert any(line.startswith("rehearsed ") for line in report["relaxed_by"])
    assert tool.returncode == 0, report["reasons"]


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, errors = rehearse("--publish", port, "--", "true")
    assert (code, errors) == (2, f"airgap-check: --publish {port}: Address already in use\n")


def test_the_command_gets_its_environment_and_files_of_its_own_and_its_output_is_shown(tmp_path: Path) -> None:
    policy = tmp_path / "empty.yaml"
    policy.write_text("version: 1\nallow: [{name: none, role: other, host: [a.bank.example], ports: [1]}]\n")
    show = "echo $HELLO-$GONE-$NODE_EXTRA_CA_CERTS; cat /etc/resolv.conf; grep hosts: /etc/nsswitch.conf; ls -A /run"
    code, _, errors = rehearse(
        "--policy", str(policy), "--env", "HELLO=x=y", "--env", "GONE", "--env", "OS_X=", "--", "sh", "-c", show,
        before=("env", "GONE=here"),
    )  # fmt: skip
    assert code == 0, errors
    assert errors.splitlines() == [
        "x=y--/run/airgap-check/authority.pem", "nameserver 127.0.0.53", "options timeout:2 attempts:2",
        "hosts: files dns", "airgap-check",
    ]  # fmt: skip


def test_the_worlds_certificates_are_trusted_unless_that_is_not_wanted(policy: str) -> None:
    command = python(ASK, "https://mail.bank.example/")
    _, report, errors = rehearse("--policy", policy, *command)
    assert errors == "200\n"
    _, report, errors = rehearse("--policy", policy, "--no-trust", *command)
    assert "CERTIFICATE_VERIFY_FAILED" in errors
    assert any("TLS refused by the client" in line for line in reached(report)["mail.bank.example", 443]["ended"])


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ([], "there is no command to rehearse: write it after --"),
        (["--", "/nonexistent/program"], "cannot run /nonexistent/program: No such file or directory"),
        (["--", "/etc/passwd"], "cannot run /etc/passwd: Permission denied"),
        (["--env", "=x", "--", "true"], "--env =x: write NAME=VALUE"),
        (["--as", "pod:x", "--", "true"], "--as pod:x: write unit:NAME or container:NAME"),
        (["--drive", "/nonexistent", "--", "true"], "/nonexistent"),
        (["--drive", "http:/nonexistent", "--", "true"], "/nonexistent"),
    ],
)
def test_what_cannot_be_rehearsed_is_said_and_nothing_else(command: list[str], why: str) -> None:
    code, report, errors = rehearse(*command)
    assert (code, report) == (2, {})
    assert why in errors
    assert "Traceback" not in errors


def test_a_command_that_fails_is_not_cleared(policy: str) -> None:
    code, report, _ = rehearse("--policy", policy, "--", "sh", "-c", "exit 7")
    assert code == 4
    ended = re.compile(r"the command ended by itself after \d+ s, with exit code 7")
    assert any(map(ended.search, report["reasons"]))


def test_who_may_not_make_user_namespaces_is_told_what_is_missing(policy: str) -> None:
    # In a user namespace of its own the limit is one's own to set, and holds for whatever comes below.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    before = (
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        script,
        "sh",
    )
    code, report, _ = rehearse("--policy", policy, "--quiet", "--", "true", before=before)
    assert code == 4
    (world,) = [item for item in report["coverage"] if item["collector"] == "world"]
    assert world["status"] == "unavailable"
    assert world["reason"] == (
        "the kernel makes us no user namespace (No space left on device): "
        "user namespaces are switched off (sysctl user.max_user_namespaces=0)"
    )


def test_a_driver_that_was_not_done_when_time_was_up_clears_nobody(policy: str, tmp_path: Path) -> None:
    requests = tmp_path / "requests.http"
    requests.write_text("# @wait 60s\nGET /\n")
    port = str(free_port())
    drive = ["--drive", f"http:{requests}", "--env", f"PORT={port}", "--for", "10s"]
    serve = ["--", sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"]
    code, report, _ = rehearse("--policy", policy, "--quiet", *drive, *serve)
    (driven,) = [item for item in report["coverage"] if item["collector"] == "drive"]
    assert (code, driven["status"]) == (4, "partial")
    assert "the driver had not done all when time was up" in driven["reason"]


def test_what_a_drivers_own_program_reaches_for_is_told_by_its_own_name(policy: str, tmp_path: Path) -> None:
    driver = tmp_path / "drive.sh"
    driver.write_text("#!/bin/sh\necho ::visit knocking\nread line\n/bin/bash -c 'exec 3<>/dev/tcp/192.0.2.44/443'\n")
    driver.chmod(0o755)
    port = str(free_port())
    serve = ["--", sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"]
    _, report, _ = rehearse("--policy", policy, "--quiet", "--drive", str(driver), "--env", f"PORT={port}", *serve)
    one = reached(report)["192.0.2.44", 443]
    assert one["who"] == ["bash"]
    assert [occasion["trigger"] for occasion in one["occasions"]] == ["knocking"]
