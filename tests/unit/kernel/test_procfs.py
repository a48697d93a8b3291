"""Processes and their files are read as they are, and never at any price."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.kernel import foreign_path, procfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ME = os.getpid()
WAIT = "print(flush=True); input()"


@contextmanager
def _child(*arguments: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that says a line and waits for one."""
    child = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-I", "-S", "-c", WAIT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )
    with child:
        assert child.stdout.readline() == b"\n"
        yield child
        child.communicate(b"\n")


def test_our_own_process_is_listed() -> None:
    assert ME in procfs.pids()
    assert procfs.pids() == sorted(procfs.pids())


def test_a_file_of_a_process_is_read_whole_or_not_at_all() -> None:
    with _child(env={"A": "b" * 70000}) as child:
        assert b"A=" + b"b" * 70000 in procfs.read(child.pid, "environ")
        with pytest.raises(OSError, match="more than 100 bytes") as caught:
            procfs.read(child.pid, "environ", 100)
    assert caught.value.errno == errno.EFBIG


def test_a_process_that_has_vanished_says_so() -> None:
    with _child() as child:
        pid = child.pid
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        procfs.read(pid, "environ")
    assert procfs.describe(pid) is None
    assert procfs.is_zombie(pid)
    assert procfs.parent(pid) == 0
    assert not procfs.is_kernel_thread(pid)


def test_a_process_is_described_without_its_secrets() -> None:
    with _child("--password", "hunter2", "x" * 5000, "y" * 600) as child:
        seen = procfs.describe(child.pid)
    assert seen
    assert seen.pid == child.pid
    assert seen.started
    assert seen.executable == os.path.realpath(sys.executable)
    assert seen.user == procfs.user_name(os.geteuid())
    assert seen.command
    assert "--password <redacted> ... yyy" in seen.command
    assert len(seen.command) == 512


def test_without_the_time_of_the_boot_a_process_is_described_without_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A /proc mounted with subset=pid has no /proc/stat."""
    real = open

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "/proc/stat":
            raise FileNotFoundError(2, "No such file or directory", name)
        return real(name, *rest, **more)

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("psutil._pslinux.BOOT_TIME", None, raising=False)
    with _child() as child:
        seen = procfs.describe(child.pid)
    assert seen
    assert (seen.pid, seen.started, seen.executable) == (child.pid, None, os.path.realpath(sys.executable))


def test_a_zombie_is_told_from_a_living_process() -> None:
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert procfs.is_zombie(child.pid)
    assert procfs.parent(child.pid) == ME
    child.wait()
    assert not procfs.is_zombie(ME)
    assert not procfs.is_kernel_thread(ME)


@pytest.mark.skipif(not os.path.exists("/proc/2/stat"), reason="no kernel threads in this namespace")
def test_a_kernel_thread_is_known() -> None:
    if b"kthreadd" in procfs.read(2, "comm"):
        assert procfs.is_kernel_thread(2)


def test_users_are_named_from_the_file() -> None:
    assert procfs.user_name(0) == "root"
    assert procfs.user_name(3999999999) == "3999999999"


def _mounted(monkeypatch: pytest.MonkeyPatch, option: str, capabilities: str) -> None:
    mounts = f"x /proc proc rw 0 0\nproc /proc proc rw,{option} 0 0\n"
    texts = {"mounts": mounts, "status": f"CapEff:\t{capabilities}\nX:\n"}
    monkeypatch.setattr(procfs, "read", lambda _, name: texts[name].encode())


@pytest.mark.parametrize("option", ["hidepid=invisible", "hidepid=2", "hidepid=ptraceable", "hidepid=4"])
def test_a_proc_that_hides_processes_is_noticed(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _mounted(monkeypatch, option, "0")
    assert procfs.hides_processes()


@pytest.mark.parametrize(("option", "capabilities"), [("nosuid", "0"), ("hidepid=2", "80000"), ("hidepid=1", "0")])
def test_a_proc_that_shows_them_to_us_is_not_accused(
    option: str, capabilities: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _mounted(monkeypatch, option, capabilities)
    assert not procfs.hides_processes()


def test_a_file_is_read_below_the_root_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert procfs.read_in_root(ME, f"{tmp_path}/../{tmp_path.name}/file") == b"content"
    with pytest.raises(OSError, match="more than 3 bytes"):
        procfs.read_in_root(ME, f"{tmp_path}/file", 3)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (f"{tmp_path}/fifo", "/dev/null", str(tmp_path)):
        with pytest.raises(foreign_path.RefusedFileError, match="not a regular file"):
            procfs.read_in_root(ME, path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    procfs.read_in_root(ME, f"{tmp_path}/file")
    for path in ("/dev/null", f"{tmp_path}/missing", f"{tmp_path}/file/x"):
        with pytest.raises(OSError):  # noqa: PT011  (each its own; what counts is what is left)
            procfs.read_in_root(ME, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_when_a_process_started_is_told_in_ticks_until_it_has_gone() -> None:
    ticks = procfs.start_ticks(os.getpid())
    described = procfs.describe(os.getpid())
    assert ticks is not None
    assert described is not None
    assert described.started is not None
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(described.started.timestamp() - booted - ticks * procfs.TICK / 1e9) < 5
    assert procfs.start_ticks(1 << 30) is None
