"""Files that we are given: read whole or refused in one line, and never a reason to wait."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.errors import UsageError
from airgap_check.input import SIZE_LIMIT, read_bytes, written_by_others

if TYPE_CHECKING:
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's own files are trusted")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: No such file or directory$"):
        read_bytes(str(tmp_path / "none.yaml"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        read_bytes(str(tmp_path))


def test_a_file_of_fifty_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(50 << 20)
    with pytest.raises(UsageError, match="larger than 1,048,576 bytes"):
        read_bytes(str(path))


def test_a_file_of_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    path.write_bytes(b"#" * SIZE_LIMIT)
    assert len(read_bytes(str(path))) == SIZE_LIMIT


def test_a_device_or_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(UsageError, match="not a regular file"):
            read_bytes(path)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\n")
    path.chmod(0o600)
    return path


@as_root
def test_a_file_of_root_in_folders_of_root_is_roots_alone(policy: Path) -> None:
    assert written_by_others(str(policy)) == ""


@as_root
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not(policy: Path, mode: int) -> None:
    policy.chmod(mode)
    assert written_by_others(str(policy)) == f"others can write to {policy}"


@as_root
def test_a_file_or_folder_of_somebody_else_is_not(policy: Path) -> None:
    os.chown(policy, 65534, 65534)
    assert written_by_others(str(policy)) == f"{policy} belongs to uid 65534"
    os.chown(policy, 0, 0)
    os.chown(policy.parent, 65534, 65534)
    assert written_by_others(str(policy)) == f"{policy.parent} belongs to uid 65534"


@as_root
def test_a_folder_that_others_can_write_is_not_unless_it_is_sticky(policy: Path) -> None:
    policy.parent.chmod(0o777)
    assert "others can write" in written_by_others(str(policy))
    policy.parent.chmod(0o1777)
    assert written_by_others(str(policy)) == ""


@as_root
def test_a_link_is_as_trustworthy_as_whoever_made_it_and_where(policy: Path) -> None:
    place = policy.parent / "public"
    place.mkdir(mode=0o700)
    link = place / "policy.yaml"
    link.symlink_to("../policy.yaml")
    assert written_by_others(str(link)) == ""
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert written_by_others(str(link)) == f"{link} belongs to uid 65534"
    os.chown(link, 0, 0, follow_symlinks=False)
    place.chmod(0o777)
    assert written_by_others(str(link)) == f"others can write to {place}"


@as_root
def test_links_that_go_round_in_a_circle_end(policy: Path) -> None:
    loop = policy.parent / "loop"
    loop.symlink_to("loop")
    assert written_by_others(str(loop)) == ""
