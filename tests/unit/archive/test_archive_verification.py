"""A verification shows structure, digests, signature, agreement and judgement, in this order, and stops at a fault."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from airgap_check import archive, recording
from airgap_check.archive import Link, form, manifest, statement, verification, writing
from airgap_check.archive.form import BadArchiveError
from airgap_check.engine import Terms
from airgap_check.errors import UsageError
from airgap_check.finding import Report
from airgap_check.release import seal
from airgap_check.rule import RuleSet
from tests.unit.archive import archived, forgery

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.archive.verification import Verified
    from airgap_check.release.seal import PublicKey

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
STEPS = ("structure", "digests", "signature", "agreement", "judgement")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def verify(path: Path, key: PublicKey | None = None) -> Verified:
    return verification.verify(str(path), key)


def fault(path: Path, step: str, key: PublicKey | None = None) -> str:
    """Verify what has to fail at a step, and return what is said of it."""
    verified = verify(path, key)
    assert verified.failed
    assert not verified.authentic
    assert verified.steps[-1].name == step, verified.steps
    return verified.steps[-1].text


def is_whole(path: Path) -> bool:
    verified = verify(path)
    assert tuple(step.name for step in verified.steps) == STEPS, verified.steps
    return not verified.failed and verified.reproduced


@pytest.mark.parametrize("ending", ["zip", "tar.zst"])
def test_what_was_written_verifies_under_its_key_and_comes_back_as_it_was(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    case = archived.case(archived.VIOLATION, archived.APPROVED)
    writing.write(str(path), case, Link(), KEY)
    verified = verify(path, KEY.public_key())
    assert [step.status for step in verified.steps] == ["shown"] * 5
    assert verified.authentic
    assert archive.read_report(str(path)) == case.report
    assert list(recording.write(archive.evidence(str(path))))[1:] == list(recording.write(case.inspection))[1:]
    assert archive.policy(str(path))[0].sha256 == case.report.policy.sha256
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("ending", ["zip", "tar.zst"])
def test_the_same_run_makes_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        archived.archive(tmp_path / f"{name}.{ending}", key=KEY)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_without_a_key_nothing_is_authentic(path: Path) -> None:
    for key, says in ((None, "nobody has signed it"), (KEY, "give its public key with --key")):
        archived.archive(path, key=key)
        verified = verify(path)
        assert [step.status for step in verified.steps] == ["shown", "shown", "open", "shown", "shown"]
        assert says in verified.steps[2].text
        assert not verified.authentic


def test_with_a_key_it_has_to_be_signed_and_by_that_key(path: Path) -> None:
    archived.archive(path)
    assert "nobody has signed it, and a key was given" in fault(path, "signature", KEY.public_key())
    archived.archive(path, key=OTHER)
    text = fault(path, "signature", KEY.public_key())
    assert seal.fingerprint(OTHER.public_key()) in text
    assert seal.fingerprint(KEY.public_key()) in text


@pytest.mark.parametrize(
    "terms", [Terms(), Terms(fail_on="low"), Terms(fail_on="critical", accept_derived=True)], ids=str
)
def test_it_is_judged_again_on_the_terms_of_that_time(path: Path, terms: Terms) -> None:
    writing.write(str(path), archived.case(archived.VIOLATION, terms=terms), Link(), None)
    assert is_whole(path)


def test_a_derived_policy_is_archived_as_text_and_comes_back(path: Path) -> None:
    case = archived.derived(archived.VIOLATION, archived.SETTING)
    writing.write(str(path), case, Link(), None)
    assert case.report.policy.derived
    assert is_whole(path)
    assert archive.policy(str(path))[0].sources == case.grounds.policy.sources


# --- what a forger changes, all digests put right ------------------------------------------------------------------


def test_a_report_that_does_not_follow_from_the_evidence_is_found_out(path: Path) -> None:
    archived.archive(path, rules=None)
    held, listed = forgery.contents(path)
    report = msgspec.json.decode(held[form.REPORT], type=Report)
    clean = replace(
        report, verdict="compliant", exit_code=0, reasons=(),
        results=tuple(replace(one, findings=(), outcome="pass") for one in report.results),
    )  # fmt: skip
    held[form.REPORT] = msgspec.json.encode(clean)
    passed = tuple(sorted(one.rule for one in report.results))
    forgery.forge(path, held, listed, verdict="compliant", passed=passed, failed=(), warned=())
    text = fault(path, "judgement")
    assert "the evidence says otherwise" in text
    assert "not compliant" in text


def test_evidence_without_what_was_found_is_found_out(path: Path) -> None:
    archived.archive(path, rules=None)
    held, listed = forgery.contents(path)
    kept = [line for line in held[form.EVIDENCE].splitlines(keepends=True) if b"203.0.113.9" not in line]
    held[form.EVIDENCE] = b"".join(kept)
    forgery.forge(path, held, listed)
    assert "the evidence says otherwise: " in fault(path, "judgement")


def test_a_verdict_that_only_the_manifest_has_is_found_out(path: Path) -> None:
    archived.archive(path)
    held, listed = forgery.contents(path)
    forgery.forge(path, held, listed, verdict="compliant")
    assert fault(path, "agreement") == "the members do not agree on: verdict"


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"claim": "observed"}, "claim"),
        ({"host": {"hostname": "other", "machine_id_hash": None}}, "host"),
        ({"policy_sha256": "0" * 64}, "policy"),
        ({"rules_sha256": "0" * 64}, "rules"),
        ({"passed": ("made.up",)}, "rules that passed and failed"),
        ({"tool": {"name": "airgap-check", "version": "0", "sha256": "0" * 64}}, "tool"),
    ],
)
def test_what_the_manifest_alone_says_is_named(path: Path, changes: dict[str, Any], facts: str) -> None:
    archived.archive(path)
    held, listed = forgery.contents(path)
    forged = msgspec.convert(msgspec.to_builtins(listed) | changes, type(listed))
    forgery.forge(path, held, forged)
    assert fault(path, "agreement") == f"the members do not agree on: {facts}"


@pytest.mark.parametrize(("member", "facts"), [(form.COVERAGE, "coverage"), (form.SELF_TEST, "self-test")])
def test_members_that_contradict_the_report_are_named(path: Path, member: str, facts: str) -> None:
    archived.archive(path)
    held, listed = forgery.contents(path)
    trial = b'[{"mode":"m","observer":"o","seen":"yes"}]'
    held[member] = trial if member == form.SELF_TEST else b"[]"
    forgery.forge(path, held, listed)
    assert fault(path, "agreement") == f"the members do not agree on: {facts}"


def test_members_that_are_missing_or_more_or_other_are_named(path: Path) -> None:
    archived.archive(path)
    held, listed = forgery.contents(path)
    rule = next(name for name in held if name.startswith("rules/"))
    forgery.forge(path, {name: held[name] for name in held if name != form.TOOL}, listed)
    assert fault(path, "digests") == "tool.json is missing"
    forgery.forge(path, {name: held[name] for name in held if name != rule}, listed, members=listed.members)
    assert f"{rule} is missing" in fault(path, "digests")
    forgery.forge(path, {**held, "rules/more.yaml": b""}, listed, unlisted=frozenset({"rules/more.yaml"}))
    assert fault(path, "digests") == "rules/more.yaml is not in the manifest"
    forgery.forge(path, {**held, rule: held[rule] + b"\n"}, listed, members=listed.members)
    assert f"{rule} is not what the manifest says" in fault(path, "digests")
    forgery.forge(path, held, listed, members=(*listed.members, listed.members[0]))
    assert "lists a member twice" in fault(path, "digests")


def test_a_rule_that_was_left_out_is_found_out(path: Path) -> None:
    archived.archive(path)
    held, listed = forgery.contents(path)
    rule = next(name for name in held if name.startswith("rules/"))
    forgery.forge(path, {name: held[name] for name in held if name != rule}, listed)
    assert fault(path, "judgement") == "judgement.json names other rule files than there are"


def test_a_policy_that_approves_more_is_found_out(path: Path) -> None:
    archived.archive(path, rules=None)
    held, listed = forgery.contents(path)
    held[form.POLICY] = held[form.POLICY].replace(b"10.0.0.0/24", b"10.0.0.0/16")
    forgery.forge(path, held, listed)
    assert "the evidence says otherwise: policy" in fault(path, "judgement")


def test_another_version_may_judge_otherwise_which_proves_nothing(path: Path) -> None:
    case = archived.case(archived.VIOLATION)
    other = replace(case.tool, version="99", sha256="f" * 64)
    writing.write(str(path), case._replace(tool=other), Link(), None)
    verified = verify(path)
    assert verified.reproduced
    assert "it was judged by version 99" in verified.steps[-1].text
    changed = replace(case.report, limitations=())
    writing.write(str(path), case._replace(tool=other, report=changed), Link(), None)
    verified = verify(path)
    assert not verified.failed
    assert not verified.reproduced
    assert verified.steps[-1].status == "open"
    writing.write(str(path), case._replace(report=changed), Link(), None)
    assert "limitations" in fault(path, "judgement")


def test_a_report_of_a_version_to_come_is_not_called_forged(path: Path) -> None:
    case = archived.case(archived.VIOLATION, rules=2)
    writing.write(str(path), case._replace(tool=replace(case.tool, version="99", sha256="f" * 64)), Link(), None)
    held, listed = forgery.contents(path)
    held[form.REPORT] = held[form.REPORT].replace(b'"schema"', b'"news": 1, "schema"', 1)
    forgery.forge(path, held, listed)
    verified = verify(path)
    assert not verified.failed
    assert not verified.reproduced
    forgery.forge(path, held, replace(listed, tool=case.tool))
    assert "report.json" in fault(path, "agreement")


# --- signatures ------------------------------------------------------------------------------------------------------


def test_a_signature_that_was_taken_away_is_missed(path: Path) -> None:
    archived.archive(path, key=KEY)
    held, listed = forgery.contents(path)
    forgery.forge(path, held, listed)
    assert "the signature is missing" in fault(path, "signature")


def test_a_signature_of_another_key_is_named(path: Path) -> None:
    archived.archive(path, key=KEY)
    held, listed = forgery.contents(path)
    forgery.forge(path, held, listed, key=OTHER)
    assert "did not sign this" in fault(path, "signature", KEY.public_key())


def test_a_second_signature_is_named(path: Path) -> None:
    archived.archive(path, key=KEY)
    held, listed = forgery.contents(path)
    payload = statement.of(listed, listed.encoded())
    envelope = msgspec.json.decode(statement.sign(KEY, payload))
    envelope["signatures"].append({"keyid": "somebody", "sig": base64.b64encode(bytes(64)).decode()})
    forgery.forge(path, held, listed, told=(form.ENVELOPE, msgspec.json.encode(envelope)))
    assert fault(path, "signature") == "the envelope has 2 signatures instead of one; those of somebody do not verify"
    forgery.forge(path, held, listed, told=(form.ENVELOPE, msgspec.json.encode(envelope | {"signatures": []})))
    assert "0 signatures" in fault(path, "signature")


def test_a_signature_over_another_statement_is_named(path: Path) -> None:
    archived.archive(path, key=KEY)
    held, listed = forgery.contents(path)
    other = statement.sign(KEY, statement.of(replace(listed, verdict="compliant"), listed.encoded()))
    forgery.forge(path, held, listed, told=(form.ENVELOPE, other))
    assert "holds another statement" in fault(path, "signature")


def test_a_key_under_the_name_of_another_is_found_out(path: Path) -> None:
    archived.archive(path, key=OTHER)
    held, listed = forgery.contents(path)
    assert listed.signer is not None
    signer = replace(listed.signer, fingerprint=seal.fingerprint(KEY.public_key()))
    forgery.forge(path, held, listed, key=OTHER, signer=signer)
    assert "the fingerprint of another one" in fault(path, "signature", KEY.public_key())


# --- what is read for replay -----------------------------------------------------------------------------------------


def test_a_broken_archive_is_not_judged_again(path: Path) -> None:
    archived.archive(path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 1
    path.write_bytes(whole)
    for read in (archive.evidence, archive.read_report, archive.policy):
        with pytest.raises(UsageError, match="does not verify"):
            read(str(path))


def test_what_is_too_long_for_a_member_is_refused_before_it_is_written(path: Path) -> None:
    case = archived.case(archived.VIOLATION, rules=2)
    rules = case.grounds.rules
    rules = RuleSet(rules.rules, rules.sha256, (("x" * 120 + "/y.yaml", b""), *rules.files))
    with pytest.raises(UsageError, match="too long"):
        writing.write(str(path), case._replace(grounds=case.grounds._replace(rules=rules)), Link(), None)
    assert not path.exists()
    assert not list(path.parent.iterdir())


def test_members_that_were_packed_again_are_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived.archive(path)
    held, listed = forgery.contents(path)
    pack = zlib.compressobj
    monkeypatch.setattr(zlib, "compressobj", lambda _level, *rest: pack(1, *rest))
    forgery.forge(path, held, listed, body=listed.body)
    assert "packed otherwise" in fault(path, "digests")


@pytest.mark.parametrize(
    "change",
    [{"networks": {"internal": ["nowhere"]}}, {"allow": [{"name": "a", "role": "other", "cidr": "nowhere"}]}], ids=str,
)  # fmt: skip
def test_a_derived_policy_with_networks_that_are_none_does_not_verify(path: Path, change: dict[str, object]) -> None:
    writing.write(str(path), archived.derived(archived.VIOLATION, archived.SETTING), Link(), None)
    held, listed = forgery.contents(path)
    held[form.POLICY] = msgspec.json.encode({**msgspec.json.decode(held[form.POLICY]), **change})
    forgery.forge(path, held, listed)
    assert "no derived policy" in fault(path, "judgement")


def test_a_manifest_whose_time_has_no_zone_is_none(path: Path) -> None:
    archived.archive(path, rules=None)
    _, listed = forgery.contents(path)
    naive = replace(listed, finished=listed.finished.replace(tzinfo=None))
    with pytest.raises(BadArchiveError, match="finished"):
        manifest.parse(naive.encoded())
