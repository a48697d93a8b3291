"""Tokens: what they look like, and who takes them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.errors import UsageError
from airgap_check.policy import is_host_name
from airgap_check.pseudonyms import Key, load
from airgap_check.pseudonyms.token import TOKEN, seal, seal_label, unseal

if TYPE_CHECKING:
    from pathlib import Path

KEY = Key(bytes(range(32)))
OTHER = Key(bytes(range(1, 33)))


@given(st.text(min_size=1, max_size=300))
def test_the_key_takes_every_token_back_and_no_other_key_does(word: str) -> None:
    token = seal(KEY, word)
    assert TOKEN.fullmatch(token)
    assert unseal(KEY, token) == word
    assert unseal(OTHER, token) is None


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=63))
def test_a_label_stays_a_legal_part_of_a_name(label: str) -> None:
    token = seal_label(KEY, label)
    assert is_host_name(f"{token}.example")
    assert TOKEN.fullmatch(token)
    assert unseal(KEY, token) == label


@given(st.from_regex(TOKEN, fullmatch=True))
def test_what_only_looks_like_a_token_is_nobodys(text: str) -> None:
    assert unseal(KEY, text) is None


@pytest.mark.parametrize(
    "content",
    [bytes(range(32)), bytes(range(32)).hex().encode() + b"\n", b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"],
    ids=["raw", "hexadecimal", "base64"],
)
def test_a_key_is_read_as_bytes_digits_or_base64(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    assert load(str(file)).id == KEY.id


@pytest.mark.parametrize(
    "content",
    [b"", b"a passphrase".ljust(31, b"!") + b"\n", b"short", b"-----BEGIN PRIVATE KEY-----", bytes(33), b"0" * 63],
)
def test_what_is_no_key_is_refused_with_the_command_that_makes_one(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UsageError, match="airgap-check keygen --pseudonyms "):
        load(str(file))


def test_a_missing_key_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such key.*airgap-check keygen --pseudonyms "):
        load(str(tmp_path / "none"))


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(bytes(32))
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        load(str(file))


def test_a_fingerprint_is_the_same_under_one_key_only() -> None:
    assert KEY.fingerprint("ab" * 16) == Key(bytes(range(32))).fingerprint("ab" * 16)
    assert KEY.fingerprint("ab" * 16) not in {"ab" * 16, OTHER.fingerprint("ab" * 16)}
