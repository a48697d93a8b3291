"""What is installed is whole, for everybody to read, and takes nothing away from anybody."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airgap_check.errors import UsageError
from airgap_check.scheduling import installation, task

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = {"airgap-check": "# Written by airgap-check schedule.\nfirst\n"}
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder of root's on a path of root's: pytest's own lies in one that others can write to."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield name


@ROOT
def test_files_are_there_for_everybody_to_read_whatever_the_umask(folder: str) -> None:
    before = os.umask(0o077)
    try:
        (path,) = installation.place(folder, OURS, force=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o644
    assert Path(path).read_text() == OURS["airgap-check"]
    assert os.listdir(folder) == ["airgap-check"]
    assert installation.place(folder, OURS, force=False) == {}


@ROOT
def test_what_differs_is_replaced_only_by_force_and_then_nothing_else_is_written_before(folder: str) -> None:
    Path(folder, "airgap-check").write_text("somebody's")
    both = {"aaa": "new\n", **OURS}
    with pytest.raises(UsageError, match="--force replaces it"):
        installation.place(folder, both, force=False)
    assert os.listdir(folder) == ["airgap-check"]
    assert len(installation.place(folder, both, force=True)) == 2
    assert Path(folder, "airgap-check").read_text() == OURS["airgap-check"]


@ROOT
def test_what_was_there_before_can_be_put_back(folder: str) -> None:
    Path(folder, "airgap-check").write_text("somebody's")
    before = installation.place(folder, {"new": "new\n", **OURS}, force=True)
    installation.put_back(before)
    assert os.listdir(folder) == ["airgap-check"]
    assert Path(folder, "airgap-check").read_text() == "somebody's"


@ROOT
def test_where_one_file_cannot_be_written_none_is(folder: str) -> None:
    Path(folder, "zzz").mkdir()
    with pytest.raises(UsageError, match="zzz"):
        installation.place(folder, {**OURS, "zzz": "new\n"}, force=True)
    assert os.listdir(folder) == ["zzz"]


@ROOT
def test_only_what_we_wrote_is_removed(folder: str) -> None:
    installation.place(folder, OURS, force=False)
    Path(folder, "other").write_text("somebody's")
    with pytest.raises(UsageError, match="it stays"):
        installation.remove(folder, ["airgap-check", "other"])
    assert sorted(os.listdir(folder)) == ["airgap-check", "other"]
    assert installation.remove(folder, ["airgap-check", "missing"]) == [f"{folder}/airgap-check"]
    assert os.listdir(folder) == ["other"]


@ROOT
def test_a_folder_that_others_can_write_to_is_refused(folder: str) -> None:
    Path(folder).chmod(0o777)
    with pytest.raises(UsageError, match="others can write"):
        installation.place(folder, OURS, force=False)


@ROOT
def test_a_link_is_not_followed(folder: str) -> None:
    target = Path(folder, "target")
    target.write_text("kept")
    Path(folder, "airgap-check").symlink_to(target)
    installation.place(folder, OURS, force=True)
    assert target.read_text() == "kept"
    assert not Path(folder, "airgap-check").is_symlink()


@ROOT
def test_a_program_that_others_could_replace_is_not_scheduled(folder: str) -> None:
    program = Path(folder, "python")
    program.write_text("")
    program.chmod(0o777)
    with pytest.raises(UsageError, match="not root's alone"):
        task.check_program((str(program),))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
def test_nobody_else_installs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for root"):
        installation.place(str(tmp_path), OURS, force=False)


def test_what_cannot_be_deleted_is_named(tmp_path: Path) -> None:
    (tmp_path / "airgap-check").mkdir()
    with pytest.raises(UsageError, match="airgap-check: "):
        installation.put_back({str(tmp_path / "airgap-check"): None})
