from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import cgroup2, mountinfo, procfs
from airgap_check.kernel.cgroup2 import NoHierarchyError

if TYPE_CHECKING:
    from pathlib import Path


def mounted() -> str | None:
    """Return where this host shows the root of the hierarchy."""
    mounts = mountinfo.parse(procfs.read(os.getpid(), "mountinfo", 1 << 26), "cgroup2")
    return next((mount.point for mount in mounts if mount.root == "/"), None)


needs_hierarchy = pytest.mark.skipif(mounted() is None, reason="no unified hierarchy is mounted here")


@needs_hierarchy
def test_the_root_is_found_by_its_mount() -> None:
    root = cgroup2.open_root()
    try:
        assert root.path == mounted()
        assert stat.S_ISDIR(os.fstat(root.descriptor).st_mode)
        assert root.is_whole == (os.fstat(root.descriptor).st_ino == 1)
        assert root.is_whole == (root.scope == "every process of this host")
    finally:
        os.close(root.descriptor)


@needs_hierarchy
def test_the_root_is_the_root_also_when_it_is_asked_for() -> None:
    root = cgroup2.open_root(mounted())
    os.close(root.descriptor)
    assert root.is_whole == (os.stat(mounted() or "/").st_ino == 1)


@pytest.mark.parametrize("directory", ["/proc", "/"])
def test_another_file_system_is_refused(directory: str) -> None:
    with pytest.raises(NoHierarchyError, match=r"is not a directory of the unified cgroup hierarchy \(cgroup2\)"):
        cgroup2.open_root(directory)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoHierarchyError, match="cannot be opened: No such file or directory"):
        cgroup2.open_root(str(tmp_path / "none"))
    with pytest.raises(NoHierarchyError, match="cannot be opened: Not a directory"):
        cgroup2.open_root("/proc/version")
    with pytest.raises(NoHierarchyError, match="cannot be opened: no path at all"):
        cgroup2.open_root("a\0b")


def test_a_name_is_shown_without_what_a_terminal_obeys() -> None:
    with pytest.raises(NoHierarchyError) as caught:
        cgroup2.open_root("/no\x1b[2Jwhere")
    assert "\x1b" not in str(caught.value)


def test_refusals_leave_nothing_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for directory in ("/proc", "/nowhere"):
        with pytest.raises(NoHierarchyError):
            cgroup2.open_root(directory)
    assert sorted(os.listdir("/proc/self/fd")) == before


@needs_hierarchy
def test_a_cgroup_that_has_gone_is_an_error() -> None:
    root = cgroup2.open_root()
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE if os.geteuid() == 0 else errno.EPERM)):
            cgroup2.path_of(root.descriptor, 1 << 60)
    finally:
        os.close(root.descriptor)
