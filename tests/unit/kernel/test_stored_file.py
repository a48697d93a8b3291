"""A file as a process has it: whether its user may change or replace it, and which path it really is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
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
def test_root_is_kept_out_by_no_mode_which_excuses_nobody_else(app: Path) -> None:
    assert stored_file.examine(os.getpid(), str(app)).writable == "root"
    app.chmod(0o646)
    assert stored_file.examine(os.getpid(), str(app)).writable == "yes"


@ROOT_ONLY
def test_whoever_may_replace_a_folder_or_a_link_on_the_way_may_replace_the_file(app: Path, nobody: int) -> None:
    outer = app.parent.parent
    assert stored_file.examine(nobody, str(app)).writable == "no"
    outer.chmod(0o757)
    found = stored_file.examine(nobody, str(app))
    assert (found.writable, found.how) == ("yes", f"its user may put something else in the place of {app.parent}")
    outer.chmod(0o755)
    links = outer / "links"
    links.mkdir()
    links.chmod(0o755)
    (links / "current").symlink_to(app.parent)
    through = str(links / "current" / app.name)
    assert stored_file.examine(nobody, through).writable == "no"
    os.chown(links, NOBODY, NOBODY)
    assert stored_file.examine(nobody, through).how.endswith(f"in the place of {links}/current")


@ROOT_ONLY
def test_nobody_replaces_what_is_mounted_read_only() -> None:
    """The folder is the service's own, and systemd's ReadOnlyPaths= covers the one below."""
    script = """
        set -e
        mount -t tmpfs -o mode=755 none /mnt && cd /mnt && mkdir -p app/release && echo '{}' > app/release/a.json
        chown -R 65534 /mnt/app && mount --bind app/release app/release && mount -o remount,ro,bind app/release
        exec setpriv --reuid 65534 --clear-groups sh -c 'echo; read line'
    """
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"\n"
        found = stored_file.examine(child.pid, "/mnt/app/release/a.json")
        child.communicate(b"\n")
    assert (found.writable, found.mount_writable) == ("no", False)


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
    assert str(app) in stored_file.paths(there)


@ROOT_ONLY
def test_a_place_is_found_again_however_another_process_mounts_it(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "a.json").write_text("{}")
    script = 'mount --bind "$0" /mnt && echo && read line'
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, tmp_path / "v1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"\n"
        inside = stored_file.examine(child.pid, "/mnt/a.json").place
        child.communicate(b"\n")
    assert inside == stored_file.examine(os.getpid(), str(tmp_path / "v1" / "a.json")).place
    assert str(tmp_path / "v1" / "a.json") in stored_file.paths(inside)


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


_TWICE = """
import os, subprocess, sys
from airgap_check.kernel import stored_file
for _ in range(2):
    subprocess.run(["mount", "-t", "tmpfs", "none", sys.argv[1]], check=True)
    path = os.path.join(sys.argv[1], "objectstack.json")
    open(path, "w").close()
    place = stored_file.examine(os.getpid(), path).place
    print(place, os.stat(path).st_dev, *stored_file.paths(place))
    subprocess.run(["umount", sys.argv[1]], check=True)
"""


@ROOT_ONLY
def test_a_file_system_in_memory_is_not_the_next_one_that_gets_its_device(tmp_path: Path) -> None:
    command = ["unshare", "-m", sys.executable, "-c", _TWICE, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    first, second = (
        line.rsplit(" ", 2) for line in told
    )  # the kernel hands the device out again, unless others take it
    assert first[0] != second[0]
    assert first[2] == second[2] == f"{tmp_path}/objectstack.json"
