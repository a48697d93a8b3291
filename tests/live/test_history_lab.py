"""The memory as its users meet it: after real audits, after somebody has been at its files, with several at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POLICY = """\
version: 1
allow: [{name: database, role: database, cidr: 10.1.1.1, ports: [5432]}]
runtime: {expected: false}
"""


class Host:
    """A machine of its own, as far as a mount, a PID and a network namespace make one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        folder.joinpath("policy.yaml").write_text(POLICY)
        folder.chmod(0o700)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        command = ["unshare", "-npmf", "--mount-proc", "--kill-child", sys.executable, "-m", "airgap_check", *argv]
        return subprocess.Popen(
            [*command, "--state", str(self.state)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    def run(self, *argv: str) -> tuple[int, str, str]:
        with self.start(*argv) as process:
            out, err = process.communicate(timeout=120)
            return process.returncode, out, err

    def audit_argv(self, *options: str) -> list[str]:
        policy = str(self.folder / "policy.yaml")
        return ["audit", "--policy", policy, "--no-resolve", "--format", "json", "--every", "1h", *options]

    def audit(self, *options: str) -> tuple[int, dict[str, object]]:
        code, out, err = self.run(*self.audit_argv(*options))
        assert out, err
        return code, json.loads(out)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_clean_host_stays_clean_run_after_run_and_its_table_is_80_columns_wide(host: Host) -> None:
    assert [host.audit()[0] for _ in range(3)] == [0, 0, 0]
    code, text, _ = host.run("history")
    rows = text.splitlines()[:4]
    assert (code, [row.split()[0] for row in rows]) == (0, ["run", "1", "2", "3"])
    assert all(len(row) <= 80 for row in rows)


@pytest.mark.parametrize("damage", ["byte", "gone", "old", "log"])
def test_a_memory_that_somebody_has_been_at_leaves_doubts_once_and_is_told(host: Host, damage: str) -> None:
    host.audit()
    memory = host.state / "history.sqlite"
    before = memory.read_bytes()
    host.audit()
    if damage == "byte":
        content = bytearray(memory.read_bytes())
        content[content.rindex(b"compliant")] ^= 1
        memory.write_bytes(content)
    elif damage == "gone":
        memory.unlink()
    elif damage == "old":
        memory.write_bytes(before)
    else:
        host.state.joinpath("history.sqlite-wal").write_bytes(os.urandom(5000))
    code, judged = host.audit()
    (seen,) = [item for item in judged["coverage"] if item["collector"] == "continuity"]  # type: ignore[attr-defined]
    if damage == "log":  # nothing was in it, and what is no log is none
        assert (code, seen["status"]) == (0, "complete")
    else:
        assert (code, seen["status"]) == (4, "partial")
        assert "earlier runs are forgotten" in seen["reason"]
        assert host.audit()[0] == 0, "it has been told"


def test_three_at_once_are_three_runs(host: Host) -> None:
    begun = [host.start(*host.audit_argv()) for _ in range(3)]
    for process in begun:
        with process:
            process.communicate(timeout=120)
            assert process.returncode == 0
    _, text, _ = host.run("history", "--json")
    runs = json.loads(text)["runs"]
    assert [(run["id"], run["code"]) for run in runs] == [(1, 0), (2, 0), (3, 0)]


def test_a_baseline_excuses_what_it_knows_and_says_so(host: Host) -> None:
    policy = host.folder / "policy.yaml"
    policy.write_text(POLICY + "require: [environment]\n")
    earlier = str(host.folder / "earlier.json")
    assert host.run(*host.audit_argv("--fail-on", "low", "--report", f"json={earlier}"))[0] == 1
    code, judged = host.audit("--fail-on", "low", "--baseline", earlier)
    assert code == 0, judged["reasons"]
    assert any(str(word).startswith("baseline (") for word in judged["relaxed_by"])  # type: ignore[attr-defined]
    policy.write_text(POLICY)
    code, judged = host.audit("--fail-on", "low", "--baseline", earlier)
    assert [one["rule"] for one in judged["baseline"]["vanished"]] == ["policy.weakened"] * 2  # type: ignore[index]
