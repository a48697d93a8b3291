"""Any byte that is changed, anywhere in an archive, is noticed, and what is told says where."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from airgap_check.archive import verification
from airgap_check.errors import UsageError
from tests.unit.archive.archived import archive

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.release.seal import PublicKey

FORMS = ("zip", "tar.zst")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def is_noticed(path: Path, key: PublicKey | None) -> bool:
    try:
        verified = verification.verify(str(path), key)
    except UsageError:
        return True
    return verified.failed and bool(verified.steps[-1].text) and not verified.authentic


def places(size: int) -> list[int]:
    """Choose one byte in every small region, and every byte of the end, where the envelope and the directory are."""
    draw = random.Random(5)
    step = max(1, size // 800)
    return [*(min(begin + draw.randrange(step), size - 1) for begin in range(0, size, step)), *range(size - 150, size)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signed", [True, False])
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, form: str, *, signed: bool) -> None:
    path = tmp_path / f"a.{form}"
    archive(path, key=KEY if signed else None, rules=1)
    whole = path.read_bytes()
    for key in (KEY.public_key(), None) if signed else (None,):
        assert not is_noticed(path, key)
    draw = random.Random(7)
    for place in places(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        assert is_noticed(path, None), f"byte {place} of {len(whole)}"


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_that_is_cut_off_or_goes_on_is_noticed(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    archive(path, rules=1)
    whole = path.read_bytes()
    for size in (*range(0, len(whole), 101), len(whole) - 1):
        path.write_bytes(whole[:size])
        assert is_noticed(path, None), f"cut off at {size} of {len(whole)}"
    for changed in (whole + b"\0", b"#!/bin/sh\n" + whole, whole + whole, b"\0" + whole):
        path.write_bytes(changed)
        assert is_noticed(path, None)


@pytest.mark.parametrize("form", FORMS)
def test_bytes_that_go_or_come_are_noticed(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form}"
    archive(path, key=KEY, rules=1)
    whole = path.read_bytes()
    for place in range(1, len(whole), 211):
        for changed in (whole[:place] + whole[place + 1 :], whole[:place] + b"\0" + whole[place:]):
            path.write_bytes(changed)
            assert is_noticed(path, None), f"byte {place} of {len(whole)}"
