"""No path of another process leads out of its root, or to a file system that may hang."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import foreign_path
from airgap_check.kernel.foreign_path import Mount, RefusedFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ME = os.getpid()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Build a root with links that try to get out of it."""
    (tmp_path / "outside").write_text("outside")
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc" / "file").write_text("inside")
    (inside / "outside").write_text("inside")
    (inside / "relative").symlink_to("etc/../etc/./file")
    (inside / "absolute").symlink_to("/etc/file")
    (inside / "up").symlink_to("../../../../outside")
    (inside / "folder").symlink_to("etc")
    (inside / "loop").symlink_to("loop")
    (inside / "magic").symlink_to("/proc/self/root/outside")
    return inside


@pytest.fixture(params=[foreign_path._open_in_root, foreign_path._walk], ids=["openat2", "walk"])
def resolve(request: pytest.FixtureRequest, root: Path) -> Callable[[str], str]:
    """Resolve a path with either implementation and read what it leads to."""

    def read(path: str) -> str:
        top = os.open(root, os.O_PATH)
        try:
            located = request.param(top, path)
        finally:
            os.close(top)
        try:
            with open(f"/proc/self/fd/{located}", encoding="utf-8") as file:
                return file.read()
        finally:
            os.close(located)

    return read


@pytest.mark.parametrize(
    "path",
    [
        "/etc/file",
        "etc/file",
        "/relative",
        "/absolute",
        "/up",
        "/../../outside",
        "/folder/file",
        "/folder/../etc/file",
        "//etc//./file",
    ],
)
def test_every_path_stays_inside(resolve: Callable[[str], str], path: str) -> None:
    assert resolve(path) == "inside"


@pytest.mark.parametrize(
    ("path", "number"),
    [("/missing", errno.ENOENT), ("/loop", errno.ELOOP), ("/etc/file/x", errno.ENOTDIR), ("/magic", errno.ENOENT)],
)
def test_both_ways_fail_alike(resolve: Callable[[str], str], path: str, number: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is compared)
        resolve(path)
    assert caught.value.errno == number
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_kernel_without_openat2_is_walked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_path, "_SYS_OPENAT2", 100000)
    top = os.open(root, os.O_PATH)
    located = foreign_path._open_in_root(top, "/up")
    assert os.readlink(f"/proc/self/fd/{located}") == f"{root}/outside"
    os.close(located)
    os.close(top)


def test_a_name_that_no_file_has_is_refused() -> None:
    with pytest.raises(RefusedFileError):
        foreign_path.locate(ME, "/etc\0/passwd")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuse", "ceph", "9p", "autofs"])
def test_a_file_system_that_may_hang_is_not_touched(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path leads nowhere: had it been walked, the error would be another."""
    monkeypatch.setattr(foreign_path, "mounts", lambda _: [Mount(1, "/", "ext4"), Mount(2, "/far away", kind)])
    with pytest.raises(RefusedFileError, match=f"on a {kind} file system"):
        foreign_path.locate(ME, "/far away/missing")
    with pytest.raises(FileNotFoundError):
        foreign_path.locate(ME, "/far away, not/missing")


def test_a_link_to_such_a_file_system_is_noticed_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/proc/version")
    real = foreign_path.mounts(ME)
    proc = next(mount for mount in real if mount.point == "/proc")
    monkeypatch.setattr(foreign_path, "mounts", lambda _: [*(set(real) - {proc}), proc._replace(type="nfs")])
    with pytest.raises(RefusedFileError, match="nfs"):
        foreign_path.locate(ME, f"{tmp_path}/link")


def test_a_mount_that_is_not_listed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_path, "mounts", lambda _: [Mount(-2, "/", "ext4")])
    with pytest.raises(RefusedFileError, match="does not list"):
        foreign_path.locate(ME, "/etc/passwd")


def test_the_mount_that_covers_a_path_is_the_last_of_the_longest() -> None:
    table = [Mount(1, "/", "a"), Mount(2, "/x", "b"), Mount(3, "/x", "c"), Mount(4, "/x/y", "d"), Mount(5, "/xy", "e")]
    for path, number in [("/x/z", 3), ("/x", 3), ("x/y/z", 4), ("/xyz", 1), ("/x/../xy", 5), ("//x", 3)]:
        above = foreign_path._mount_above(path, table)
        assert above
        assert above.id == number


def test_mount_points_with_blanks_are_read() -> None:
    assert foreign_path._unescape("/a\\040b\\134c") == "/a b\\c"
