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


@pytest.fixture
def resolve(root: Path) -> Callable[[str], str]:
    """Resolve a path below the root and read what it leads to."""

    def read(path: str) -> str:
        top = os.open(root, os.O_PATH)
        try:
            located = foreign_path._walk(top, path, foreign_path._Table(foreign_path.mounts(ME), path)).descriptor
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
def test_what_cannot_be_resolved_says_so_and_leaves_nothing_open(
    resolve: Callable[[str], str], path: str, number: int
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is compared)
        resolve(path)
    assert caught.value.errno == number
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_that_no_file_has_is_refused() -> None:
    with pytest.raises(RefusedFileError):
        foreign_path.locate(ME, "/etc\0/passwd")


def _root_mount() -> Mount:
    return [mount for mount in foreign_path.mounts(ME) if mount.point == "/"][-1]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuse", "ceph", "9p", "autofs"])
def test_a_file_system_that_may_hang_is_not_touched(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path leads nowhere: had it been walked, the error would be another."""
    root = _root_mount()
    monkeypatch.setattr(foreign_path, "mounts", lambda _: [root, Mount(-2, "/far away", kind, root.id)])
    with pytest.raises(RefusedFileError, match=f"on a {kind} file system"):
        foreign_path.locate(ME, "/far away/missing")
    with pytest.raises(FileNotFoundError):
        foreign_path.locate(ME, "/far away, not/missing")


def test_a_root_that_may_hang_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_path, "mounts", lambda _: [Mount(1, "/", "nfs")])
    with pytest.raises(RefusedFileError, match="nfs"):
        foreign_path.locate(2**22 + 1, "/etc/passwd")


def test_a_link_is_not_followed_onto_a_file_system_that_may_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as a file nor on the way to it; where it leads does not exist, so a step there would say so."""
    (tmp_path / "file").symlink_to("/far/file")
    (tmp_path / "folder").symlink_to("..//../../../../../far/./x")
    table = [*foreign_path.mounts(ME), Mount(-2, "/far", "ext4", _root_mount().id), Mount(-3, "/far", "fuse", -2)]
    monkeypatch.setattr(foreign_path, "mounts", lambda _: table)
    for path in ("file", "folder/file"):
        with pytest.raises(RefusedFileError, match="on a fuse file system"):
            foreign_path.locate(ME, f"{tmp_path}/{path}")


def test_what_covers_a_dead_mount_may_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    root = _root_mount()
    covered = [root, Mount(-2, "/far", "autofs", root.id), Mount(-3, "/far", "ext4", -2)]
    monkeypatch.setattr(foreign_path, "mounts", lambda _: covered)
    with pytest.raises(FileNotFoundError):
        foreign_path.locate(ME, "/far/missing")


def test_a_link_of_proc_is_refused_because_it_means_something_else_to_each_process() -> None:
    with pytest.raises(RefusedFileError) as caught:
        foreign_path.locate(ME, "/proc/self/cwd")
    assert caught.value.errno == errno.ELOOP


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


def test_mount_points_with_blanks_are_read() -> None:
    assert foreign_path._unescape("/a\\040b\\134c") == "/a b\\c"


def test_what_lies_on_the_way_to_a_file_is_told_and_where_it_really_is(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "v1"
    release.mkdir(parents=True)
    (release / "file").write_text("")
    (tmp_path / "current").symlink_to("releases/v1")
    steps: list[foreign_path.Step] = []
    found = foreign_path.follow(ME, f"{tmp_path}/current/file", steps)
    os.close(found.descriptor)
    assert found.path == str(release / "file")
    wanted = [tmp_path / "current", tmp_path / "releases", release, release / "file"]
    assert [step.path for step in steps][-4:] == list(map(str, wanted))
    assert all(os.path.samestat(step.entry, os.lstat(step.path)) for step in steps)
    assert all(os.path.samestat(step.folder, os.stat(os.path.dirname(step.path))) for step in steps)
    assert foreign_path.real(ME, "/") == "/"


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_mount_point_that_looks_like_two_lines_is_one(sign: str) -> None:
    text = f"1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /far{sign}off rw - nfs4 far:/ rw\n"
    root, far = foreign_path.parse(os.fsencode(text))
    assert root.point == "/"
    assert (far.point, far.type) == (f"/far{sign}off", "nfs4")
    assert far.is_remote()
