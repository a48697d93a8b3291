from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import procfs
from airgap_check.observers import program
from airgap_check.observers.program import Clue, Programs

if TYPE_CHECKING:
    from pathlib import Path

US = os.getpid()
FILE = os.stat("/proc/self/exe")
PYTHON = Clue(US, b"", FILE.st_ino, FILE.st_dev)


def own_name() -> bytes:
    return procfs.read(US, "comm").rstrip(b"\n")


def test_the_file_tells_the_program_whatever_it_calls_itself() -> None:
    programs = Programs()
    assert programs.is_still(US, PYTHON._replace(command=b"sleep"))
    assert not programs.is_still(US, PYTHON._replace(command=own_name(), inode=FILE.st_ino + 1))
    assert not programs.is_still(1 << 30, PYTHON)


def test_another_device_is_another_file() -> None:
    if os.major(FILE.st_dev) == 0:
        pytest.skip("the interpreter is on a file system whose device is counted in two ways")
    assert not Programs().is_still(US, PYTHON._replace(device=FILE.st_dev + 1))


def test_without_the_file_the_name_of_the_thread_has_to_do() -> None:
    programs = Programs()
    assert programs.is_still(US, Clue(US, own_name()))
    assert not programs.is_still(US, Clue(US, b"curl"))
    assert not programs.is_still(US, Clue(1 << 30, own_name())), "the thread has gone"


def test_without_any_clue_nothing_speaks_against_it() -> None:
    assert Programs().is_still(US, Clue())


def test_where_stat_counts_devices_otherwise_the_map_tells() -> None:
    path = os.readlink("/proc/self/exe")
    mapped = program._mapped(US, path)
    assert len(mapped) == 1
    if os.major(FILE.st_dev):
        assert mapped == {(FILE.st_dev, FILE.st_ino)}
    assert program._mapped(US, "/no/such/program") == set()


def test_a_path_is_remembered_as_long_as_it_is_the_file() -> None:
    programs = Programs()
    assert programs.path(PYTHON) is None
    assert programs.is_still(US, PYTHON)
    assert programs.path(PYTHON) == os.readlink("/proc/self/exe")


def test_a_path_that_means_another_file_now_is_not_told(tmp_path: Path) -> None:
    programs = Programs()
    old = tmp_path / "tool"
    old.write_text("old")
    file = old.stat()
    programs._paths[file.st_dev, file.st_ino] = str(old), (file.st_dev, file.st_ino)
    clue = Clue(0, b"", file.st_ino, file.st_dev)
    assert programs.path(clue) == str(old)
    new = tmp_path / "new"
    new.write_text("new")
    new.rename(old)
    assert programs.path(clue) is None
    old.unlink()
    assert programs.path(clue) is None


def test_the_memory_for_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_KNOWN", 3)
    programs = Programs()
    programs._paths = {(1, number): ("/x", (1, number)) for number in range(3)}
    assert programs.is_still(US, PYTHON)
    assert len(programs._paths) == 3
