"""The sandbox of a self-test: whose it is, and that it is left to whoever uses it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import sandbox
from airgap_check.kernel.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "airgap-check-selftest-77-0123abcd"


def judged(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return sandbox.is_anothers(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def owned_by(user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a user own every directory."""
    made = os.fstat

    def by_user(descriptor: int) -> os.stat_result:
        found = list(made(descriptor))
        found[4] = user
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", by_user)


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        (NAME, 0o700, True),
        (NAME, 0o755, False),  # whom others may lock
        (NAME, 0o770, False),
        (NAME, 0o702, False),
        (f"{NAME}0", 0o700, False),
        ("objectos.service", 0o700, False),
    ],
)
def test_only_a_sandbox_of_root_that_somebody_uses_is_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: int, *, expected: bool
) -> None:
    owned_by(0, monkeypatch)
    made = tmp_path / name
    made.mkdir()
    made.chmod(mode)
    with locked(made):
        assert judged(made) == expected
    assert not judged(made)


def test_what_a_user_made_below_a_directory_of_his_is_his(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned_by(1000, monkeypatch)
    made = tmp_path / NAME
    made.mkdir(0o700)
    with locked(made):
        assert not judged(made)


def test_what_was_left_behind_is_swept_away_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, foreign = tmp_path / NAME, tmp_path / "objectos.service"
    left.mkdir(0o700)
    foreign.mkdir()
    first = Sandbox(str(tmp_path))
    assert not left.exists()
    monkeypatch.setattr(os, "getpid", lambda: 4_000_000)  # as one who lives in another pid namespace
    second = Sandbox(str(tmp_path))
    assert {each.name for each in tmp_path.iterdir()} == {first.name, second.name, foreign.name}
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == [foreign]


def test_one_that_is_swept_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []
    lock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].rmdir()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    made = Sandbox(str(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == [made.name]
    assert swept[0].name != made.name
    made.close()
