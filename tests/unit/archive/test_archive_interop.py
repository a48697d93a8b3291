"""What we sign is what others verify: DSSE by securesystemslib, in-toto by its own types, all of it by hand."""

from __future__ import annotations

import base64
import subprocess
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from airgap_check.archive import Link, form, writing
from airgap_check.release import seal
from tests.unit.archive import archived

if TYPE_CHECKING:
    from pathlib import Path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    writing.write(str(tmp_path / "a.zip"), archived.case(archived.VIOLATION), Link(), KEY)
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:
        zipped.extractall(tmp_path)
    return tmp_path


def test_securesystemslib_verifies_the_envelope(unpacked: Path) -> None:
    envelope = Envelope.from_dict(msgspec.json.decode((unpacked / form.ENVELOPE).read_bytes()))
    raw = KEY.public_key().public_bytes_raw().hex()
    fingerprint = seal.fingerprint(KEY.public_key())
    key = SSlibKey(fingerprint, "ed25519", "ed25519", {"public": raw})
    assert list(envelope.verify([key], 1)) == [fingerprint]
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)


def test_the_statement_and_the_result_are_those_of_in_toto(unpacked: Path) -> None:
    envelope = msgspec.json.decode((unpacked / form.ENVELOPE).read_bytes())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"])
    statement = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    assert statement.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = msgspec.json.encode(msgspec.json.decode(payload)["predicate"])
    result = json_format.Parse(predicate, test_result_pb2.TestResult())
    assert result.result == "FAILED"
    assert "connection.not-allowlisted" in result.failed_tests
    for subject in statement.subject:
        content = (unpacked / subject.name).read_bytes()
        assert subject.digest["sha256"] == sha256(content).hexdigest(), subject.name
    assert {"policy.yaml", "judgement.json"} < {one.name for one in result.configuration}


def test_openssl_verifies_the_signature_by_hand(unpacked: Path) -> None:
    envelope = msgspec.json.decode((unpacked / form.ENVELOPE).read_bytes())
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    (unpacked / "pae").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
    (unpacked / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    from cryptography.hazmat.primitives import serialization

    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (unpacked / "pub").write_bytes(pem)
    command = "openssl pkeyutl -verify -pubin -inkey pub -rawin -in pae -sigfile sig"
    subprocess.run(command.split(), cwd=unpacked, check=True, capture_output=True)


@pytest.mark.parametrize(("ending", "command"), [("zip", ["unzip", "-q"]), ("tar.zst", ["tar", "--zstd", "-xf"])])
def test_the_ordinary_tools_unpack_what_the_manifest_lists(tmp_path: Path, ending: str, command: list[str]) -> None:
    archived.archive(tmp_path / f"a.{ending}")
    subprocess.run([*command, f"a.{ending}"], cwd=tmp_path, check=True)
    listed = msgspec.json.decode((tmp_path / form.MANIFEST).read_bytes())["members"]
    sums = "".join(f"{one['sha256']}  {one['name']}\n" for one in listed)
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c"], input=sums, text=True, cwd=tmp_path, check=True)
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {f"a.{ending}", form.MANIFEST, form.STATEMENT, *(one["name"] for one in listed)}
    assert (tmp_path / form.EVIDENCE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("records", "expected"), [((archived.VIOLATION,), "FAILED"), ((archived.APPROVED,), "PASSED|WARNED")]
)
def test_only_what_is_compliant_passes(tmp_path: Path, records: tuple[object, ...], expected: str) -> None:
    case = archived.case(*records)  # type: ignore[arg-type]
    writing.write(str(tmp_path / "a.zip"), case, Link(), None)
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:
        predicate = msgspec.json.decode(zipped.read(form.STATEMENT))["predicate"]
    assert predicate["result"] in (expected.split("|") if case.report.verdict == "compliant" else ["FAILED"])
    assert not set(predicate["passedTests"]) & set(predicate["failedTests"])
