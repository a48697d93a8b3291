"""A delivered folder is listed and read without ever leaving it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.errors import UsageError
from airgap_check.release.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_in_it_is_listed_by_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("text")
    (tmp_path / "inside").symlink_to("a/file")
    (tmp_path / "outside").symlink_to("/etc/hostname")
    (tmp_path / "folder").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    folder = Folder(str(tmp_path))
    kinds = {name: member.kind for name, member in folder.members.items()}
    assert kinds == {"a/file": "file", "inside": "link", "outside": "link", "folder": "link", "pipe": "special"}
    led = {name: folder.led_to(folder.members[name]) for name in ("inside", "outside", "folder")}
    assert led == {"inside": "a/file", "outside": None, "folder": None}
    assert folder.text("a/file") == folder.text("inside") == "text"
    assert set(folder.files) == {"a/file", "inside"}


def test_a_link_that_came_later_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "passwd").write_text("ours")
    folder = Folder(str(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to("/etc")
    assert folder.text("a/passwd") is None
    assert folder.failures
    (tmp_path / "b" / "passwd").unlink()
    (tmp_path / "a").unlink()
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "a" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        folder.digest("a/passwd", None)


def test_a_document_that_is_binary_or_huge_is_none(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"a\0b")
    (tmp_path / "huge").write_bytes(b"a" * (1 << 20) + b"a")
    folder = Folder(str(tmp_path))
    assert (folder.text("binary"), folder.text("huge"), folder.failures) == (None, None, [])


def test_folders_without_end_are_said(tmp_path: Path) -> None:
    deepest = tmp_path
    for _ in range(40):
        deepest /= "d"
    deepest.mkdir(parents=True)
    assert "deeper than 32" in Folder(str(tmp_path)).failures[0]


def test_what_is_no_folder_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "nothing", "nul\0"):
        with pytest.raises(UsageError):
            Folder(str(tmp_path / name))


def test_no_time_left_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TimeoutError):
        Folder(str(tmp_path)).digest("file", 0.0)
