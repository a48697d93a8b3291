"""Runs of a real host that leave archives: one after the other, several at once, killed, on a disk that is full."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.live.lab import checker_environment
from tests.live.lab_host import LabError
from tests.live.site import policy
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.lab import Audit, Lab

BASE = "/run/lab/kept"
STATE, FOLDER, KEY = f"{BASE}/state", f"{BASE}/archives", f"{BASE}/site.key"
DOCUMENT = Path(__file__).parents[2] / "docs" / "evidence.md"
RUN = ("--no-resolve", "--state", STATE, "--record", FOLDER, "--sign", KEY)


class Verdict(NamedTuple):
    """What ``verify`` returned and said."""

    code: int
    text: str


@pytest.fixture
def kept(lab: Lab) -> Lab:
    """A laboratory with keys and a folder for archives."""
    lab.near.check(["install", "-d", "-m", "0700", BASE, FOLDER])
    for name in ("site.key", "other.key"):
        assert lab.check("keygen", "--out", f"{BASE}/{name}").exit_code == 0
    lab.near.write("/etc/airgap-check/policy.yaml", _policy())
    return lab


def _policy() -> str:
    import json

    return json.dumps(policy(runtime={"expected": False}))


def audit(lab: Lab, *more: str) -> Audit:
    done = lab.check("audit", "--quiet", *RUN, *more)
    assert done.exit_code in {0, 1, 4}, done.summary()
    return done


def archives(lab: Lab) -> list[Path]:
    return sorted(lab.near.path(FOLDER).glob("*.zip"))


def verify(lab: Lab, *more: str) -> Verdict:
    done = lab.check("verify", FOLDER, *(more or ("--key", f"{KEY}.pub", "--state", STATE)))
    return Verdict(done.exit_code, done.stdout + done.stderr)


def _remove_the_second(files: list[Path]) -> None:
    files[1].unlink()


def _swap_two(files: list[Path]) -> None:
    contents = [file.read_bytes() for file in files[1:3]]
    for file, content in zip(files[1:3], reversed(contents), strict=True):
        file.write_bytes(content)


def _cut_the_end_off(files: list[Path]) -> None:
    files[-1].unlink()


def _copy_one(files: list[Path]) -> None:
    shutil.copy(files[2], files[2].with_name("copy.zip"))


def _pack_again(files: list[Path]) -> None:
    with zipfile.ZipFile(files[2]) as old:
        held = {name: old.read(name) for name in old.namelist()}
    held["report.json"] = held["report.json"].replace(b"not_compliant", b"compliant").replace(b"inconclusive", b"clean")
    with zipfile.ZipFile(files[2], "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in held.items():
            new.writestr(name, content)


def _strip_the_signature(files: list[Path]) -> None:
    with zipfile.ZipFile(files[2]) as old:
        held = {name: old.read(name) for name in old.namelist() if not name.startswith("attestation")}
    with zipfile.ZipFile(files[2], "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in held.items():
            new.writestr(name, content)


def _flip(place: Callable[[int], int]) -> Callable[[list[Path]], None]:
    def flip(files: list[Path]) -> None:
        whole = bytearray(files[2].read_bytes())
        whole[place(len(whole))] ^= 0x10
        files[2].write_bytes(whole)

    return flip


def _empty_one(files: list[Path]) -> None:
    files[2].write_bytes(b"")


MISCHIEF: dict[str, tuple[Callable[[list[Path]], None], str]] = {
    "removed": (_remove_the_second, "number 2 is missing"),
    "truncated": (_cut_the_end_off, "number 4 .* is not the last"),
    "copied": (_copy_one, "is the same archive as"),
    "packed again": (_pack_again, "structure *FAILED"),
    "stripped": (_strip_the_signature, "structure *FAILED"),
    "first byte": (_flip(lambda _size: 0), "structure *FAILED: no archive"),
    "middle": (_flip(lambda size: size // 2), "structure *FAILED"),
    "envelope": (_flip(lambda size: size - 3000), "FAILED"),
    "last byte": (_flip(lambda size: size - 1), "structure *FAILED"),
    "emptied": (_empty_one, "structure *FAILED: no archive"),
}


def test_a_chain_of_signed_runs_is_proved_and_whatever_is_done_to_it_is_named(kept: Lab) -> None:
    for _ in range(5):
        audit(kept)
    code, text = verify(kept)
    assert code == 0, text
    assert text.endswith("\nVERIFIED (5 archives)\n")
    code, text = verify(kept, "--key", f"{KEY}.pub")
    assert code == 0
    assert "that none are missing at the end is not shown" in text
    folder = kept.near.path(FOLDER)
    whole = {file.name: file.read_bytes() for file in archives(kept)}
    for name, (harm, says) in MISCHIEF.items():
        harm(archives(kept))
        code, text = verify(kept)
        assert code == 1, f"{name}: {text}"
        assert re.search(says, text), f"{name}: {text}"
        assert "DOES NOT VERIFY" in text
        for file in folder.iterdir():
            file.unlink()
        for kept_name, content in whole.items():
            (folder / kept_name).write_bytes(content)
    _swap_two(archives(kept))
    assert verify(kept).code == 0, "names are no part of what is proved: the numbers inside are"
    code, text = verify(kept, "--key", f"{BASE}/other.key.pub")
    assert (code, "which is not the key that was given" in text) == (1, True)


def test_a_run_signed_by_another_key_is_no_link(kept: Lab) -> None:
    audit(kept)
    assert kept.check("audit", "--quiet", *RUN[:-1], f"{BASE}/other.key").exit_code != 2
    audit(kept)
    code, text = verify(kept)
    assert code == 1
    assert "which is not the key that was given" in text
    assert "number 2 is missing" in text


def test_evidence_is_judged_again_under_another_policy_and_its_own(kept: Lab) -> None:
    kept.serve("10.50.0.9", 9999)
    kept.near.plant("tcp", "10.50.0.9", 9999)
    audit(kept)
    (file,) = archives(kept)
    inside = f"{FOLDER}/{file.name}"
    approved = {"name": "more", "role": "other", "cidr": ["10.50.0.9"], "ports": [9999]}
    import json

    kept.near.write("/run/lab/kept/other.yaml", json.dumps(policy(approved, runtime={"expected": False})))
    rule = "connection.not-allowlisted"
    strict = kept.check("replay", inside, "--archived-policy", "--format", "json")
    milder = kept.check("replay", inside, "--policy", f"{BASE}/other.yaml", "--format", "json")
    assert (strict.outcome(rule), milder.outcome(rule)) == ("fail", "pass")
    assert strict.exit_code == 1
    # The policy of that time is archived again, though its file has gone.
    kept.near.path("/etc/airgap-check/policy.yaml").unlink()
    assert kept.check("replay", inside, "--archived-policy", "--record", f"{BASE}/again.zip").exit_code == 1
    again = kept.check("verify", f"{BASE}/again.zip", "--integrity-only")
    assert again.exit_code == 0, again.stdout
    assert "no part of a chain" in again.stdout


def test_the_commands_of_the_document_verify_an_archive_by_hand(kept: Lab, tmp_path: Path) -> None:
    audit(kept)
    (file,) = archives(kept)
    shutil.copy(file, tmp_path / "run.zip")
    shutil.copy(kept.near.path(f"{KEY}.pub"), tmp_path / "site.key.pub")
    _, _, rest = DOCUMENT.read_text().partition("## By hand")
    commands = rest.partition("```\n")[2].partition("```")[0]
    done = by_hand(commands, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert done.stdout.count("manifest.json: OK") == 1
    assert done.stdout.count("evidence.jsonl: OK") == 2
    with (tmp_path / "run" / "report.json").open("ab") as report:
        report.write(b" ")
    assert by_hand(commands.partition("cd run")[2].partition("\n")[2], tmp_path / "run").returncode != 0


def by_hand(commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, capture_output=True, text=True, check=False
    )


def test_each_round_of_a_watch_is_a_link(kept: Lab) -> None:
    rest = ("--no-traffic", "--no-resolve", "--every", "2s", "--state", STATE, "--record", FOLDER, "--sign", KEY)
    with Vigil(kept, *rest, policy=policy(runtime={"expected": False})) as vigil:
        deadline = time.monotonic() + 60
        while len(archives(kept)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # What is being edited is not in force yet, and keeps no round from being archived.
        kept.near.write("/etc/airgap-check/policy.yaml", "version: 1\n# in the middle of")
        seen = len(archives(kept))
        while len(archives(kept)) < seen + 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        vigil.end()
    count = len(archives(kept))
    code, text = verify(kept)
    assert code == 0, text
    assert text.endswith(f"VERIFIED ({count} archives)\n")


def test_what_could_not_be_written_or_signed_is_refused_before_anybody_looks(kept: Lab) -> None:
    kept.near.check(["cp", KEY, f"{BASE}/open.key"])
    kept.near.check(["chmod", "0640", f"{BASE}/open.key"])
    kept.near.check(["install", "-d", "-m", "0777", f"{BASE}/everybodys"])
    kept.near.check(["install", "-d", f"{BASE}/fixed"])
    kept.near.check(["mount", "-t", "tmpfs", "-o", "ro,mode=0700", "none", f"{BASE}/fixed"])
    for options, says in (
        (("--record", f"{BASE}/x.tar.gz"), r"an archive ends in \.zip or \.tar\.zst, never in \.gz"),
        (("--record", f"{BASE}/x.zip", "--sign", f"{BASE}/no.key"), "no.key: No such file"),
        (("--record", f"{BASE}/x.zip", "--sign", f"{BASE}/open.key"), "others can use this private key; chmod 600"),
        (
            ("--record", f"{BASE}/x.zip", "--sign", f"{KEY}.pub"),
            "a public key, which anybody may have: name the private one",
        ),
        (("--record", f"{BASE}/x.jsonl", "--sign", KEY), "--sign signs an archive"),
        (("--sign", KEY), "--sign signs an archive"),
        (("--record", f"{BASE}/fixed"), "cannot write to"),
        (("--record", f"{BASE}/everybodys"), "others can write to"),
        (("--record", f"{BASE}/nowhere/x.zip"), "No such file or directory"),
    ):
        done = kept.check("audit", "--no-resolve", "--state", STATE, *options)
        assert (done.exit_code, done.stdout) == (2, ""), options
        assert re.search(says, done.stderr), done.stderr
    without = (
        "import sys; sys.modules['zstandard'] = None; from airgap_check.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", without, "audit", "--no-resolve", "--record", f"{BASE}/x.tar.zst", "--state", STATE]
    code, said, errors = kept.near.output(argv, env=checker_environment())
    assert (code, said) == (2, "")
    assert "pip install 'airgap-check[archive]', or write .zip" in errors
    assert not kept.near.path(STATE).exists(), "nobody looked"


@pytest.mark.parametrize("ending", ["zip", "tar.zst"])
def test_on_a_full_disk_no_half_archive_is_left_and_the_chain_is_as_it_was(kept: Lab, ending: str) -> None:
    small = f"{BASE}/small"
    kept.near.check(["install", "-d", "-m", "0700", small])
    kept.near.check(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", small])
    audit(kept)
    done = kept.check("audit", "--quiet", *RUN[:-4], "--record", f"{small}/x.{ending}")
    assert done.exit_code in {1, 2}
    assert "No space left on device" in done.stderr
    assert kept.near.check(["ls", "-A", small]) == ""
    audit(kept)
    code, text = verify(kept)
    assert code == 0, text


def test_runs_at_once_are_links_one_after_the_other(kept: Lab) -> None:
    argv = [sys.executable, "-m", "airgap_check", "audit", "--quiet", *RUN]
    with Path("/dev/null").open("r+b") as null:
        files = (null.fileno(),) * 3
        pids = [kept.near.start(argv, env=checker_environment(), files=files) for _ in range(4)]
        assert {kept.near.exit_code(pid) for pid in pids} <= {0, 1, 4}
    code, text = verify(kept)
    assert code == 0, text
    assert "VERIFIED (4 archives)" in text


def test_after_runs_that_were_killed_the_chain_holds_or_names_the_number_that_is_missing(kept: Lab) -> None:
    draw = random.Random(11)
    argv = [sys.executable, "-m", "airgap_check", "audit", "--quiet", *RUN]
    audit(kept)
    begun = time.monotonic()
    audit(kept)
    lasted = time.monotonic() - begun
    with Path("/dev/null").open("r+b") as null:
        for _ in range(12):
            pid = kept.near.start(argv, env=checker_environment(), files=(null.fileno(),) * 3)
            time.sleep(lasted * draw.uniform(0.5, 1.05))
            with suppress(LabError):  # it may have ended by itself
                kept.near.ask({"signal": signal.SIGKILL, "pid": pid})
            kept.near.exit_code(pid)
    audit(kept)
    code, text = verify(kept)
    assert code == 0 or re.search(r"numbers? \d+ .*missing between", text), text
    assert "is the head that is known from elsewhere" in text
    assert "forks" not in text
    assert "twice" not in text
    assert "structure  FAILED" not in text, "no half archive has a name"
