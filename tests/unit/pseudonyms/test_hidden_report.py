"""What becomes of a whole report: the verdict stays, its formats agree, and evidence can be judged again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec
import pytest

from airgap_check import baseline, pseudonyms, recording, reporters
from airgap_check.cli import main
from airgap_check.engine import Terms, judge
from airgap_check.errors import UsageError
from airgap_check.evidence.fact import Process, Workload
from airgap_check.finding import Report
from airgap_check.pseudonyms.text import Masking
from airgap_check.pseudonyms.token import unseal
from tests import building, reports

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence.inspection import Inspection

SECRET = bytes(range(32))
KEY = pseudonyms.Key(SECRET)
REPORT = reports.sample()
HIDDEN = pseudonyms.pseudonymize(REPORT, KEY)


def seen() -> Inspection:
    process = Process(pid=7, name="ledgerd", executable="/srv/zanzibar/ledgerd", command="ledgerd --bank", user="alice")
    workload = Workload(kind="unit", id="ledger.service", name="ledger.service")
    return building.inspection(
        building.connection("93.184.216.34", process=process, workload=workload),
        building.connection("10.9.9.9", 5432, process=process),
        building.connection("fd77:beef::9", 636),
        building.connection("169.254.169.254", 80),
    )


def test_the_verdict_and_every_outcome_stay() -> None:
    assert (HIDDEN.verdict, HIDDEN.exit_code) == (REPORT.verdict, REPORT.exit_code)
    assert [(one.rule, one.outcome, len(one.findings)) for one in HIDDEN.results] == [
        (one.rule, one.outcome, len(one.findings)) for one in REPORT.results
    ]


def test_a_report_says_that_it_is_hidden_and_by_which_key() -> None:
    (note,) = [one for one in HIDDEN.limitations if one.id == "pseudonyms"]
    assert note.text == (f"Addresses, names and users are pseudonyms; the key's holder can reveal them (key {KEY.id}).")


def test_what_is_ours_stays_readable() -> None:
    for before, after in zip(REPORT.results, HIDDEN.results, strict=True):
        assert (after.title, after.rationale, after.remediation) == (before.title, before.rationale, before.remediation)
        assert after.controls == before.controls
    assert HIDDEN.limitations[:-1] == REPORT.limitations


def test_the_same_report_is_hidden_the_same_way_twice_and_otherwise_under_another_key() -> None:
    assert msgspec.json.encode(pseudonyms.pseudonymize(REPORT, KEY)) == msgspec.json.encode(HIDDEN)
    other = pseudonyms.pseudonymize(REPORT, pseudonyms.Key(bytes(32)))
    assert other.subject.hostname != HIDDEN.subject.hostname


def test_fingerprints_are_as_many_as_before_and_none_is_one_of_those() -> None:
    before = [finding.fingerprint for result in REPORT.results for finding in result.findings]
    after = [finding.fingerprint for result in HIDDEN.results for finding in result.findings]
    assert len(set(before)) == len(set(after))
    assert set(before).isdisjoint(after)


def test_a_connection_has_one_pseudonym_in_report_and_recording() -> None:
    inspection = seen()
    hidden = b"".join(recording.write(pseudonyms.pseudonymize_inspection(inspection, KEY))).decode()
    report = judge(inspection, building.RULES, building.policy(), Terms())
    shown = reporters.render("json", pseudonyms.pseudonymize(report, KEY))
    for address in ("93.184.216.34", "10.9.9.9", "fd77:beef::9"):
        pseudonym = Masking(KEY).foreign(address)
        assert f'"{pseudonym}"' in hidden
        assert f'"{pseudonym}"' in shown


def test_hidden_evidence_is_judged_as_before_by_rules_that_need_scopes() -> None:
    policy = building.policy({"cidr": "192.168.7.0/24", "ports": [1]})
    before = judge(seen(), building.RULES, policy, Terms())
    lines = list(recording.write(pseudonyms.pseudonymize_inspection(seen(), KEY)))
    after = judge(recording.parse("hidden.jsonl", lines), building.RULES, policy, Terms())
    by_scope = {"connection.public-destination", "connection.not-allowlisted", "connection.multicast"}
    assert {one.rule: (one.outcome, len(one.findings)) for one in after.results if one.rule in by_scope} == {
        one.rule: (one.outcome, len(one.findings)) for one in before.results if one.rule in by_scope
    }
    assert after.verdict == before.verdict


def test_names_made_of_words_of_ours_are_hidden_wherever_they_are_spoken_of() -> None:
    process = Process(
        pid=7, name="archive", executable="/srv/core/reader", command="archive --for core backup", user="clerk"
    )
    workload = Workload(kind="container", id="ab" * 32, name="core-archive")
    inspection = building.inspection(
        building.connection("10.9.9.9", 5432, process=process, workload=workload),
        building.connection("93.184.216.34", process=process, workload=workload),
    )
    entry = {"name": "the core database", "cidr": "10.9.9.9/32", "ports": [5432], "owner": "the reader"}
    report = judge(inspection, building.RULES, building.policy(entry), Terms())
    hidden = pseudonyms.pseudonymize(report, KEY)
    recorded = b"".join(recording.write(pseudonyms.pseudonymize_inspection(inspection, KEY))).decode()
    for name in reporters.FORMATS:
        assert "archive[7]" in reporters.render("json", report)
        shown = reporters.render(name, hidden) + recorded
        for told in ("archive[7]", "archive ->", "core-archive", "the core database", "core backup", "/core", "clerk"):
            assert told not in shown, f"{told} in {name}"


def key_file(folder: Path, secret: bytes = SECRET) -> str:
    file = folder / f"key-{secret[:4].hex()}"
    file.write_text(secret.hex())
    file.chmod(0o600)
    return str(file)


def test_reveal_says_what_a_pseudonym_stands_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masking = Masking(KEY)
    for original in ("db1.bank.quux", "10.9.9.9", "fd77:beef::9", "10.20.0.0/28", "/home/alice/x.yaml", "a café"):
        hidden = masking.foreign(original) if " " not in original else masking.label(original)
        assert main(["reveal", hidden, "--key", key_file(tmp_path)]) == 0
        assert capsys.readouterr().out == original + "\n"


def test_reveal_takes_a_whole_report_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hidden.txt"
    file.write_text(reporters.render("json", pseudonyms.pseudonymize(judge_seen(), KEY)))
    with file.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["reveal", "-", "--key", key_file(tmp_path)]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out, type=Report)
    assert [one.record for one in shown.connections] == [one.record for one in judge_seen().connections]
    assert shown.subject == judge_seen().subject


def judge_seen() -> Report:
    return judge(seen(), building.RULES, building.policy(), Terms())


def test_reveal_says_that_a_key_is_the_wrong_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = key_file(tmp_path, bytes(32))
    assert main(["reveal", Masking(KEY).foreign("zanzibar"), "--key", other]) == 2
    assert "not the key of these pseudonyms" in capsys.readouterr().err
    assert main(["reveal", HIDDEN.limitations[-1].text, "--key", other]) == 2
    assert f"made with the key {KEY.id}" in capsys.readouterr().err


def test_what_is_revealed_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reveal", Masking(KEY).label("a \x1b[31mred b"), "--key", key_file(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_every_token_of_a_hidden_report_opens_with_its_key() -> None:
    text = json.dumps(msgspec.to_builtins(HIDDEN))
    tokens = set(re.findall(r"\bx[a-z2-7]{26,}", text))
    assert len(tokens) > 20
    assert not [token for token in tokens if unseal(KEY, token) is None]


def test_no_digest_of_what_the_owner_wrote_lets_anybody_try_it_out() -> None:
    assert HIDDEN.policy.sha256 != REPORT.policy.sha256
    assert HIDDEN.baseline is not None
    assert HIDDEN.baseline.sha256 != "ab" * 32
    assert HIDDEN.policy.sha256 == pseudonyms.pseudonymize(REPORT, KEY).policy.sha256
    assert re.fullmatch("[0-9a-f]{64}", HIDDEN.policy.sha256)
    assert HIDDEN.rules_sha256 == REPORT.rules_sha256, "that of the shipped rules is everybody's"
    assert HIDDEN.tool == REPORT.tool


def test_hidden_evidence_says_that_it_is_wherever_it_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = pseudonyms.pseudonymize_inspection(seen(), KEY)
    report = judge(hidden, building.RULES, building.policy(), Terms())
    assert f"pseudonyms (key {KEY.id})" in report.relaxed_by
    assert main(["reveal", "; ".join(report.relaxed_by), "--key", key_file(tmp_path, bytes(32))]) == 2
    assert f"made with the key {KEY.id}" in capsys.readouterr().err


def test_a_hidden_report_is_no_baseline(tmp_path: Path) -> None:
    file = tmp_path / "hidden.json"
    file.write_text(reporters.render("json", HIDDEN))
    with pytest.raises(UsageError, match="no baseline"):
        baseline.load(str(file))


def test_without_the_key_a_failure_says_only_why_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    assert (
        main(["audit", "--policy", "/srv/zanzibar/policy.yaml", "--format", "zanzibar", "--pseudonymize", missing]) == 2
    )
    assert "zanzibar" not in (said := capsys.readouterr().err.lower())
    assert "no such key" in said


def test_reveal_refuses_what_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hidden.txt"
    file.write_bytes(b"\xff\xfe")
    with file.open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["reveal", "-", "--key", key_file(tmp_path)]) == 2
    assert "no text" in capsys.readouterr().err
