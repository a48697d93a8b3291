"""Signatures are plain Ed25519, with keys as openssl writes them; a key that others can read is refused."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest

from airgap_check.errors import UsageError
from airgap_check.release import seal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return generate(tmp_path / "key.pem", "ed25519")


def generate(path: Path, algorithm: str, *options: str) -> Path:
    command = ["openssl", "genpkey", "-algorithm", algorithm, *options, "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o600)
    return path


def public(key: Path) -> Path:
    path = key.with_suffix(".pub")
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(path)], check=True)
    return path


def test_openssl_verifies_what_was_signed(key: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "signature").write_bytes(seal.sign(seal.private_key(str(key)), b"text"))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public(key)), "-rawin", "-in", "text"]
    subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, check=True)


def test_a_signature_holds_for_these_bytes_and_this_key_only(key: Path, tmp_path: Path) -> None:
    mine, other = seal.public_key(str(public(key))), seal.public_key(str(public(generate(tmp_path / "b", "ed25519"))))
    signature = seal.sign(seal.private_key(str(key)), b"text")
    assert seal.is_signed(mine, b"text", signature)
    assert not seal.is_signed(mine, b"texT", signature)
    assert not seal.is_signed(other, b"text", signature)
    assert not seal.is_signed(mine, b"text", b"")
    assert not seal.is_signed(mine, b"text", signature + b"\n")


def test_the_same_key_is_read_from_every_form(key: Path, tmp_path: Path) -> None:
    private = seal.private_key(str(key))
    raw = private.public_key().public_bytes_raw()
    forms = [public(key).read_bytes(), raw, raw.hex().encode(), base64.b64encode(raw) + b"\n", key.read_bytes()]
    found = set()
    for number, content in enumerate(forms):
        path = tmp_path / f"{number}"
        path.write_bytes(content)
        path.chmod(0o600)
        found.add(seal.fingerprint(seal.public_key(str(path))))
    assert len(found) == 1
    (tmp_path / "raw").write_bytes(private.private_bytes_raw())
    (tmp_path / "raw").chmod(0o600)
    assert seal.fingerprint(seal.private_key(str(tmp_path / "raw")).public_key()) in found


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_private_key_that_others_can_use_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(UsageError, match="others can use this private key"):
        seal.private_key(str(key))


def test_what_is_no_such_key_is_said(key: Path, tmp_path: Path) -> None:
    wrong = generate(tmp_path / "rsa", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    with pytest.raises(UsageError, match="not an Ed25519"):
        seal.private_key(str(wrong))
    with pytest.raises(UsageError, match="not an Ed25519"):
        seal.public_key(str(public(wrong)))
    sealed = generate(tmp_path / "sealed", "ed25519", "-aes256", "-pass", "pass:x")
    with pytest.raises(UsageError, match="encrypted"):
        seal.private_key(str(sealed))
    for content in (b"", b"text", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", bytes(70_000)):
        (tmp_path / "text").write_bytes(content)
        (tmp_path / "text").chmod(0o600)
        with pytest.raises(UsageError):
            seal.public_key(str(tmp_path / "text"))
    (tmp_path / "text").write_bytes(public(key).read_bytes())
    with pytest.raises(UsageError, match=r"a public key.* name the private one"):
        seal.private_key(str(tmp_path / "text"))
    with pytest.raises(UsageError, match="No such file"):
        seal.private_key(str(tmp_path / "nothing"))
