"""Whether anything remembers earlier runs: nobody is made to, and a memory that was lost is not silently a new one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.errors import UsageError
from airgap_check.history import folder
from airgap_check.history.memory import recalled

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_was_named_is_used_or_refused(tmp_path: Path) -> None:
    with recalled(str(tmp_path / "state")) as memory:
        assert memory.store
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError), recalled(str(tmp_path / "file")):
        pass


def test_a_disk_that_is_full_is_no_reason_not_to_look_but_leaves_doubts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise folder.StorageError("no space left")

    monkeypatch.setattr(folder, "prepare", full)
    with recalled(str(tmp_path)) as memory:
        assert memory == (None, "no space left", True)


def test_root_has_a_default_folder_and_others_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "DEFAULT", str(tmp_path / "default"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with recalled(None) as memory:
        assert (memory.store, memory.wanted) == (None, False)
    assert not (tmp_path / "default").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the default folder is root's")
def test_a_default_folder_that_cannot_be_made_is_no_doubt_and_one_that_is_lost_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(folder, "DEFAULT", str(tmp_path / "file" / "below"))
    with recalled(None) as memory:
        assert (memory.store, memory.wanted) == (None, False)
        assert memory.reason
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setattr(folder, "DEFAULT", str(tmp_path / "open"))
    with recalled(None) as memory:
        assert (memory.store, memory.wanted) == (None, True)
        assert "others can write" in memory.reason
