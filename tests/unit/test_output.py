"""Files that we write: private, whole, and refused before any work where they could not be."""

from __future__ import annotations

import os
import resource
import secrets
import signal
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


def test_a_planted_temporary_or_link_is_not_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = folder / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(secrets, "token_hex", lambda _size: "guessed")
    (folder / "report.json.guessed.tmp").symlink_to(victim)
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


def test_what_a_killed_run_of_the_same_number_left_is_in_nobodys_way(folder: Path) -> None:
    """In a container a run has the same pid each time."""
    target = folder / "report.json"
    done = os.fork()
    if not done:
        output.write(str(target), iter(lambda: os._exit(0), b""))
    os.waitpid(done, 0)
    (left,) = folder.iterdir()
    assert left.suffix == ".tmp"
    left.rename(folder / f"report.json.{os.getpid()}.tmp")
    output.write(str(target), [b"x"])
    assert target.read_bytes() == b"x"


def test_a_new_file_that_cannot_be_written_whole_is_not_there(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(UsageError, match="File too large"):
            output.create(str(folder / "key"), b"a key of some length", 0o600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("folder", "shared", "mode"), [(0o2750, True, 0o640), (0o2750, False, 0o600),
                                                        (0o750, True, 0o600)])  # fmt: skip
def test_only_what_is_shared_and_only_where_the_folder_is_a_groups_may_a_group_read(
    tmp_path: Path, folder: int, mode: int, *, shared: bool
) -> None:
    tmp_path.chmod(folder)
    output.write(str(tmp_path / "metrics.prom"), [b"x"], shared=shared)
    assert stat.S_IMODE((tmp_path / "metrics.prom").stat().st_mode) == mode
