"""A file as a process has it: whether its user may change or replace it, and which path it really is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import foreign_path, stored_file

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")


@pytest.fixture
def nobody() -> Iterator[int]:
    """Run a process as nobody, without groups."""
    command = ["/bin/sh", "-c", "echo; read line"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[]
    ) as child:
        assert child.stdout
        child.stdout.readline()
        yield child.pid
        child.communicate(b"\n")


@pytest.fixture
def app() -> Iterator[Path]:
    """Lay a file where other users may come to, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name, "app")
        folder.mkdir()
        folder.chmod(0o755)
        artifact = folder / "objectstack.json"
        artifact.write_text("{}")
        artifact.chmod(0o644)
        yield artifact


@ROOT_ONLY
@pytest.mark.parametrize(
    ("mode", "folder_mode", "owner", "expected"),
    [
        (0o644, 0o755, 0, "no"),
        (0o646, 0o755, 0, "yes"),
        (0o644, 0o757, 0, "yes"),
        (0o644, 0o1777, 0, "no"),
        (0o444, 0o755, NOBODY, "yes"),
        (0o664, 0o775, 0, "no"),
    ],
)
def test_who_may_write_or_replace_a_file_is_told_by_modes_and_owners(
    app: Path, nobody: int, *, mode: int, folder_mode: int, owner: int, expected: str
) -> None:
    app.chmod(mode)
    os.chown(app, owner, 0)
    app.parent.chmod(folder_mode)
    assert stored_file.examine(nobody, str(app)).writable == expected
    as_nobody = subprocess.run(
        ["/bin/sh", "-c", f": >> {app}"], user=NOBODY, group=NOBODY, extra_groups=[],
        capture_output=True, check=False,
    )  # fmt: skip
    if as_nobody.returncode == 0:
        assert expected == "yes"


@ROOT_ONLY
def test_root_is_kept_out_by_no_mode(app: Path) -> None:
    assert stored_file.examine(os.getpid(), str(app)).writable == "root"


def test_a_path_is_its_folder_and_its_name_however_it_is_called(app: Path, tmp_path: Path) -> None:
    there = stored_file.examine(os.getpid(), str(app)).place
    (tmp_path / "current").symlink_to(app.parent)
    assert stored_file.examine(os.getpid(), str(tmp_path / "current" / app.name)).place == there
    replaced = app.with_name("new")
    replaced.write_text("[]")
    replaced.rename(app)
    assert stored_file.examine(os.getpid(), str(app)).place == there
    other = tmp_path / "other"
    other.mkdir()
    (other / app.name).write_text("{}")
    assert stored_file.examine(os.getpid(), str(other / app.name)).place != there


def test_a_digest_is_that_of_the_bytes(app: Path) -> None:
    content = os.urandom(3_000_000)
    app.write_bytes(content)
    assert stored_file.digest(os.getpid(), str(app)) == hashlib.sha256(content).hexdigest()


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(foreign_path.RefusedFileError):
            stored_file.examine(os.getpid(), str(path))


def test_a_file_that_is_to_be_made_lies_where_its_folder_does(tmp_path: Path) -> None:
    assert stored_file.is_remote(os.getpid(), str(tmp_path / "not" / "yet" / "there.db")) is False


def test_the_start_of_a_process_is_told_exactly_enough_to_compare_it_with_a_change(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.touch()
    time.sleep(0.05)
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        time.sleep(0.05)
        after.touch()
        started = stored_file.started(child.pid)
        child.kill()
    assert started
    assert before.stat().st_ctime < started < after.stat().st_ctime
    assert stored_file.started(child.pid) is None
