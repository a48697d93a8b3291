from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import procfs, sandbox

if TYPE_CHECKING:
    from pathlib import Path

NAME = "airgap-check-selftest-77-0123abcd"


def status(uids: str) -> bytes:
    return f"Name:\tx\nUid:\t{uids}\nGid:\t0\t0\t0\t0\n".encode()


def judged(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return sandbox.is_anothers(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> dict[int, bytes]:
    """Let root own every directory; return the processes that there are, by pid."""
    known = {77: status("0\t0\t0\t0"), 78: status("0\t1000\t0\t0"), os.getpid(): status("0\t0\t0\t0")}
    made = os.fstat

    def read(pid: int, _: str) -> bytes:
        if pid not in known:
            raise FileNotFoundError
        return known[pid]

    def by_root(descriptor: int) -> os.stat_result:
        found = list(made(descriptor))
        found[4] = 0
        return os.stat_result(found)

    monkeypatch.setattr(procfs, "read", read)
    monkeypatch.setattr(os, "fstat", by_root)
    return known


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        (NAME, 0o700, True),
        (NAME, 0o755, True),
        (NAME, 0o775, False),
        (NAME, 0o757, False),
        (NAME.replace("77", "78"), 0o700, False),
        (NAME.replace("77", "79"), 0o700, False),
        pytest.param(NAME.replace("77", str(os.getpid())), 0o700, True, id="of this very process"),
        (f"{NAME}0", 0o700, False),
        ("objectos.service", 0o700, False),
    ],
)
def test_only_the_sandbox_of_a_living_run_of_root_is_anothers(
    tmp_path: Path, others: dict[int, bytes], name: str, mode: int, *, expected: bool
) -> None:
    del others
    made = tmp_path / name
    made.mkdir()
    made.chmod(mode)
    assert judged(made) == expected


def test_what_a_user_made_below_a_directory_of_his_is_his(
    tmp_path: Path, others: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    del others
    by_root = os.fstat

    def by_user(descriptor: int) -> os.stat_result:
        found = list(by_root(descriptor))
        found[4] = 1000
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", by_user)
    made = tmp_path / NAME
    made.mkdir(0o700)
    assert not judged(made)
