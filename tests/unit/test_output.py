"""Files that we write: private, whole, and refused before any work where they could not be."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from airgap_check import output
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_a_file_is_private_and_replaces_its_predecessor(folder: Path) -> None:
    target = folder / "report.json"
    target.write_text("old")
    target.chmod(0o666)
    output.check(str(target))
    output.write(str(target), [b"new", b" text"])
    assert target.read_bytes() == b"new text"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["report.json"]


def test_a_failed_write_leaves_the_old_file_and_no_temporary(folder: Path) -> None:
    target = folder / "report.json"
    target.write_text("old")

    def parts() -> object:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match="No space left"):
        output.write(str(target), parts())  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert [path.name for path in folder.iterdir()] == ["report.json"]


def test_a_planted_temporary_or_link_is_not_followed(folder: Path) -> None:
    victim = folder / "victim"
    victim.write_text("precious")
    (folder / f"report.json.{os.getpid()}.tmp").symlink_to(victim)
    with pytest.raises(UsageError):
        output.write(str(folder / "report.json"), [b"x"])
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("make", ["directory", "fifo", "link"])
def test_only_a_regular_file_is_replaced(folder: Path, make: str) -> None:
    target = folder / "report.json"
    if make == "directory":
        target.mkdir()
    elif make == "fifo":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/null")
    with pytest.raises(UsageError, match="not a regular file"):
        output.check(str(target))


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(UsageError):
        output.check("/dev/null")


def test_a_folder_that_does_not_exist_or_is_a_file_is_refused(folder: Path) -> None:
    (folder / "file").write_text("")
    for target in ("none/report.json", "file/report.json"):
        with pytest.raises(UsageError):
            output.check(str(folder / target))


@pytest.mark.skipif(os.geteuid() != 0, reason="what root must refuse, only root can show")
def test_root_refuses_a_folder_that_others_can_write_or_own(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="others can write"):
        output.check(str(folder / "report.json"))
    folder.chmod(0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(UsageError, match="belongs to another user"):
        output.check(str(folder / "report.json"))
