"""``keygen``, ``verify`` and ``replay`` as they are called, with their exit codes and what they say."""

from __future__ import annotations

import os
import resource
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from airgap_check import cli, host, pseudonyms
from airgap_check.archive import Link, append, form, memory, write
from airgap_check.errors import UsageError
from airgap_check.history.memory import recalled
from airgap_check.release import seal
from tests import building
from tests.unit.archive import archived, forgery

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*argv: object) -> tuple[int, str]:
        code = cli.main([str(one) for one in argv])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


@pytest.fixture
def key(tmp_path: Path, call: Call) -> Path:
    path = tmp_path / "site.key"
    assert call("keygen", "--out", path)[0] == 0
    return path


def test_a_key_is_private_and_openssl_knows_it(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    public = subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout"], check=True, capture_output=True).stdout
    assert key.with_suffix(".key.pub").read_bytes() == public


def test_a_key_is_never_written_over_another(tmp_path: Path, key: Path, call: Call) -> None:
    before = key.read_bytes()
    code, told = call("keygen", "--out", key)
    assert (code, key.read_bytes()) == (2, before)
    assert "is there already" in told
    key.unlink()
    assert call("keygen", "--out", key)[0] == 2
    assert not key.exists()
    assert call("keygen", "--out", tmp_path / "nowhere" / "key")[0] == 2


def test_a_key_for_pseudonyms_is_one_that_pseudonymize_takes(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "pseudonyms.key"
    assert call("keygen", "--pseudonyms", path) == (0, f"{path}\n")
    assert path.stat().st_mode & 0o777 == 0o600
    first = pseudonyms.load(str(path)).id
    assert call("keygen", "--pseudonyms", path)[0] == 2
    assert pseudonyms.load(str(path)).id == first
    path.unlink()
    call("keygen", "--pseudonyms", path)
    assert pseudonyms.load(str(path)).id != first
    assert not list(tmp_path.glob("*.pub"))


def test_the_key_says_its_fingerprint(tmp_path: Path, call: Call) -> None:
    code, told = call("keygen", "--out", tmp_path / "k")
    assert code == 0
    assert told.splitlines()[-1] == seal.fingerprint(seal.public_key(str(tmp_path / "k.pub")))


def test_a_signed_archive_verifies_by_its_public_key(tmp_path: Path, key: Path, call: Call) -> None:
    archived.archive(tmp_path / "a.zip", key=seal.private_key(str(key)))
    code, told = call("verify", tmp_path / "a.zip", "--key", f"{key}.pub")
    assert code == 0
    assert told.endswith("\nVERIFIED (1 archive)\n")
    assert "  5 judgement  ok: judged again, the same report to the last field\n" in told


def test_who_wrote_it_is_not_shown_without_a_key(tmp_path: Path, key: Path, call: Call) -> None:
    for signer in (None, seal.private_key(str(key))):
        archived.archive(tmp_path / "a.zip", key=signer)
        code, told = call("verify", tmp_path / "a.zip")
        assert code == 4
        assert "NOT SHOWN" in told
        code, told = call("verify", tmp_path / "a.zip", "--integrity-only")
        assert code == 0
        assert "WHOLE, BUT NOT AUTHENTICATED" in told


def test_a_changed_archive_does_not_verify(tmp_path: Path, key: Path, call: Call) -> None:
    path = tmp_path / "a.zip"
    archived.archive(path, key=seal.private_key(str(key)))
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    code, told = call("verify", path, "--key", f"{key}.pub")
    assert code == 1
    assert f"DOES NOT VERIFY: {path}" in told
    archived.archive(path)
    assert call("verify", path, "--key", f"{key}.pub")[0] == 1


def test_nothing_verifies_nothing(tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty").mkdir()
    for what in (tmp_path / "empty", tmp_path / "missing.zip"):
        code, told = call("verify", what, "--integrity-only")
        assert code == 2
        assert "VERIFIED" not in told.replace("nothing was verified", "")
    (tmp_path / "empty" / "evidence.jsonl").write_text("{}")
    assert call("verify", tmp_path / "empty", "--integrity-only")[0] == 2
    assert call("verify", tmp_path / "empty" / "evidence.jsonl")[0] == 2


def test_a_folder_has_to_hold_the_whole_chain(tmp_path: Path, call: Call) -> None:
    folder, state = tmp_path / "archives", tmp_path / "state"
    folder.mkdir()
    case = archived.case(archived.VIOLATION, rules=2)
    recall = partial(recalled, str(state))
    digests = [append(str(folder / f"{number}.zip"), case, None, recall).digest for number in range(1, 4)]
    assert call("verify", folder, "--integrity-only")[0] == 0
    assert call("verify", folder)[0] == 4
    code, told = call("verify", folder, "--state", state)
    assert (code, "VERIFIED (3 archives)" in told) == (0, True)
    assert call("verify", folder, "--expect-head", digests[2])[0] == 0
    archived.archive(folder / "alone.zip")  # it says that it is of this host, and the head of the chain covers it not
    assert call("verify", folder, "--expect-head", digests[2])[0] == 4
    (folder / "alone.zip").unlink()
    assert call("verify", folder / "3.zip", "--expect-head", digests[2], "--after", digests[1])[0] == 0
    (folder / "2.zip").rename(tmp_path / "2.zip")
    code, told = call("verify", folder, "--integrity-only")
    assert code == 1
    assert "number 2 is missing" in told
    (tmp_path / "2.zip").rename(folder / "2.zip")
    (folder / "3.zip").unlink()
    assert call("verify", folder, "--integrity-only")[0] == 0
    code, told = call("verify", folder, "--state", state)
    assert code == 1
    assert "is not the last" in told


def test_runs_of_no_chain_may_be_missing_and_the_last_line_says_so(tmp_path: Path, key: Path, call: Call) -> None:
    folder, signer = tmp_path / "archives", seal.private_key(str(key))
    folder.mkdir()
    for name in ("a", "b"):
        archived.archive(folder / f"{name}.zip", key=signer)
    public = ("--key", f"{key}.pub")
    code, told = call("verify", folder, *public)
    assert code == 0
    assert "(2 archives; that none are missing beside the 2 that belong to no chain is not shown)" in told
    head = append(
        str(folder / "c.zip"), archived.case(archived.VIOLATION), signer, partial(recalled, str(tmp_path / "state"))
    ).digest
    told = call("verify", folder, *public)[1]
    assert "missing at the end and beside the 2 that belong to no chain is not shown)" in told
    assert "missing beside the 2 that" in call("verify", folder, *public, "--expect-head", head)[1]
    assert "VERIFIED (1 archive)" in call("verify", folder / "a.zip", *public)[1]


def test_what_lies_beside_the_archives_of_a_folder_is_counted(tmp_path: Path, call: Call) -> None:
    archived.archive(tmp_path / "a.zip")
    (tmp_path / "notes.txt").touch()
    assert "1 other file or folder was not looked at" in call("verify", tmp_path, "--integrity-only")[1]
    (tmp_path / "older").mkdir()
    archived.archive(tmp_path / "older" / "b.zip")
    assert "2 other files or folders were not looked at" in call("verify", tmp_path, "--integrity-only")[1]


def test_what_an_archive_follows_is_not_shown_by_one_that_belongs_to_no_chain(
    tmp_path: Path, key: Path, call: Call
) -> None:
    archived.archive(tmp_path / "a.zip", key=seal.private_key(str(key)))
    code, told = call("verify", tmp_path / "a.zip", "--key", f"{key}.pub", "--after", "0" * 64)
    assert (code, "no archive of a chain" in told) == (1, True)


def test_a_newest_archive_alone_is_verified_by_the_head_that_the_host_remembers(tmp_path: Path, call: Call) -> None:
    recall = partial(recalled, str(tmp_path / "state"))
    for number in (1, 2):
        archived.archive(tmp_path / f"{number}.zip")
        append(str(tmp_path / f"{number}.zip"), archived.case(archived.VIOLATION, rules=2), None, recall)
    assert call("verify", tmp_path / "2.zip", "--state", tmp_path / "state")[0] == 0
    assert call("verify", tmp_path / "1.zip", "--state", tmp_path / "state")[0] == 1


def test_an_empty_folder_of_state_stays_empty(tmp_path: Path, call: Call) -> None:
    archived.archive(tmp_path / "a.zip")
    (tmp_path / "state").mkdir()
    assert call("verify", tmp_path / "a.zip", "--state", tmp_path / "state")[0] == 2
    assert not list((tmp_path / "state").iterdir())


def test_one_file_of_a_folder_that_is_no_archive_any_more_hides_nothing(tmp_path: Path, call: Call) -> None:
    recall = partial(recalled, str(tmp_path / "state"))
    folder = tmp_path / "archives"
    folder.mkdir()
    for number in (1, 2, 3):
        append(str(folder / f"{number}.zip"), archived.case(archived.VIOLATION, rules=2), None, recall)
    (folder / "2.zip").write_bytes(b"")
    code, told = call("verify", folder, "--integrity-only")
    assert code == 1
    assert "structure  FAILED: no archive" in told
    assert "number 2 is missing" in told


def test_nothing_that_an_archive_says_reaches_the_terminal_as_it_is(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "a.zip"
    archived.archive(path)
    held, listed = forgery.contents(path)
    forgery.forge(path, held, listed, previous="\x1b[2J" + "a" * 60, sequence=3)
    code, told = call("verify", path, "--expect-head", "0" * 64, "--after", "1" * 64)
    assert code == 1
    assert "\x1b" not in told
    other = replace(host.tool(), version="\x1b]0;owned\x07")
    case = archived.case(archived.VIOLATION, rules=4)
    write(str(path), case._replace(tool=other), Link(), None)
    assert "\x1b" not in call("verify", path)[1]


def test_rules_that_this_version_does_not_understand_are_no_proof_of_a_change(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "a.zip"
    for tool, expected in ((host.tool(), 1), (replace(host.tool(), version="99"), 4)):
        write(str(path), archived.case(archived.VIOLATION, rules=4)._replace(tool=tool), Link(), None)
        held, listed = forgery.contents(path)
        rule = next(name for name in held if name.startswith("rules/"))
        held[rule] = held[rule].replace(b"severity:", b"gravity:")
        forgery.forge(path, held, listed)
        assert call("verify", path, "--integrity-only")[0] == expected


def test_many_small_members_are_a_bomb_too(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    archived.archive(path)
    held, listed = forgery.contents(path)
    blob = bytes(form.largest("rules/"))
    held |= {f"rules/bomb/{number}.yaml": blob for number in range(20)}
    with pytest.raises(form.BadArchiveError, match="more than 16,777,216 bytes of policy, rules"):
        forgery.forge(path, held, listed)


def test_an_archive_that_takes_more_memory_than_there_is_ends_the_verification_and_no_more(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    archived.archive(path)
    held, listed = forgery.contents(path)
    held[form.REPORT] = b'"' + b"a" * (64 << 20) + b'"'
    forgery.forge(path, held, listed)
    monkeypatch.setattr(memory, "_LEAST", 0)
    monkeypatch.setattr(os, "sysconf", lambda _name: (now_taken() + (32 << 20)) * 2 if _name == "SC_PHYS_PAGES" else 1)
    before = resource.getrlimit(resource.RLIMIT_AS)
    code, told = call("verify", path)
    assert code == 2
    assert "MiB of memory: not verified" in told
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def now_taken() -> int:
    """Return the address space of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


def test_a_head_that_no_archive_has_is_missed(tmp_path: Path, call: Call) -> None:
    archived.archive(tmp_path / "a.zip")
    assert call("verify", tmp_path / "a.zip", "--expect-head", "0" * 64)[0] == 1
    assert call("verify", tmp_path / "a.zip", "--state", tmp_path / "none")[0] == 2
    assert not (tmp_path / "none").exists()


def test_an_archive_is_judged_again_under_this_policy_or_its_own(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "a.zip"
    archived.archive(path, archived.APPROVED, building.connection("10.0.7.7", 5432), link=Link(), rules=None)
    milder = archived.POLICY.decode().replace("10.0.0.0/24", "10.0.0.0/16")
    (tmp_path / "policy.yaml").write_text(milder)
    quiet = ("--format", "json")
    own, text = call("replay", path, "--archived-policy", *quiet)
    assert own == 1
    assert '"sha256": "' in text
    other, text = call("replay", path, "--policy", tmp_path / "policy.yaml", *quiet)
    assert other != own
    assert call("replay", path, "--policy", tmp_path / "policy.yaml", "--archived-policy")[0] == 2
    whole = bytearray(path.read_bytes())
    whole[100] ^= 1
    path.write_bytes(whole)
    code, text = call("replay", path, "--archived-policy")
    assert (code, "does not verify" in text) == (2, True)
    (tmp_path / "lines.jsonl").write_text("{}")
    assert call("replay", tmp_path / "lines.jsonl", "--archived-policy")[0] == 2


@pytest.mark.parametrize(
    ("name", "expected"), [("a.zip", "zip"), ("A.ZIP", "zip"), ("a.tar.zst", "tar.zst"), ("a.jsonl", None), ("a", None)]
)
def test_the_name_chooses_the_form(name: str, expected: str | None) -> None:
    assert form.of(name) == expected


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.zst", "a.7z", "a.jsonl.gz", "a.TAR.XZ"])
def test_a_name_of_another_archive_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.zip or \.tar\.zst, never in .*\.jsonl"):
        form.of(name)
