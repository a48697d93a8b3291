"""An environment block is cut down to what matters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors import process_environment
from airgap_check.collectors.process_environment import Sweep, of_interest
from airgap_check.kernel import procfs
from airgap_check.objectos import product
from tests.unit.collectors.planted_process import planted

if TYPE_CHECKING:
    from pathlib import Path

_SPOILED = """
import ctypes
libc = ctypes.CDLL(None)
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
arguments, environment, end = int(stat[45]), int(stat[47]), int(stat[48])
page, last = ctypes.c_void_p(environment + 4095 & ~4095), end & ~4095
{how}
print(flush=True)
input()
"""
_ZEROED = "ctypes.memset(environment, 0, end - environment)"
_TITLE = "ctypes.memset(arguments, 0, end - arguments); ctypes.memmove(arguments, b'pg: writer', 10)"
_LARGE = {"A": "y" * 40000, "OS_CLOUD_URL": "https://h", "Z": "z" * 40000}


def test_only_what_the_catalogue_may_know_is_kept() -> None:
    block = b"PATH=/bin\0OS_CLOUD_URL=off\0OS_ANY=1\0https_proxy=http://h\0NODE_ENV=test\0XOS_Y=1\0"
    assert of_interest(block) == {"OS_CLOUD_URL": "off", "OS_ANY": "1", "https_proxy": "http://h", "NODE_ENV": "test"}


def test_of_two_variables_of_one_name_the_first_counts() -> None:
    assert of_interest(b"OS_CLOUD_URL=off\0OS_CLOUD_URL=https://h\0") == {"OS_CLOUD_URL": "off"}


def test_what_is_no_assignment_and_no_text_is_survived() -> None:
    assert of_interest(b"\0\0OS_X\0=OS_\0OS_Y=\xff=\0") == {"OS_Y": "\udcff="}


def _sweep(how: str, environ: dict[str, str], argv: tuple[str, ...] = ("tool",)) -> Sweep:
    with planted(environ, argv, program=_SPOILED.format(how=how)) as pid:
        return process_environment.sweep([pid], None)


@pytest.mark.parametrize(
    "how",
    [
        _ZEROED,
        "assert libc.munmap(page, last - page.value) == 0",
        "assert libc.mprotect(page, last - page.value, 0) == 0",
        "assert libc.madvise(page, last - page.value, 4) == 0",
    ],
    ids=["zeroed", "unmapped", "protected", "thrown away"],
)
def test_a_block_that_was_blanked_or_unmapped_is_unreadable(how: str) -> None:
    found = _sweep(how, _LARGE)
    assert len(found.unreadable) == 1
    assert "blanked or unmapped" in found.unreadable[0]
    assert not found.seen


def test_a_title_over_the_environment_is_no_concealment() -> None:
    """This is what nginx, sshd and PostgreSQL do, on every host."""
    found = _sweep(_TITLE, {"OS_CLOUD_URL": "https://h"})
    assert (found.unreadable, found.retitled, found.seen) == ([], 1, [])


def test_an_interpreter_with_a_blank_environment_conceals_it_whatever_its_title(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(product, "is_interpreter", lambda _: True)
    assert len(_sweep(_TITLE, {"OS_CLOUD_URL": "https://h"}).unreadable) == 1


def test_an_empty_environment_is_readable() -> None:
    with planted({}) as pid:
        assert procfs.environment_size(pid) == 0
        assert process_environment.sweep([pid], None) == ([], 1, [], 0, 0)


def test_a_process_whose_first_thread_has_ended_is_read(tmp_path: Path) -> None:
    how = """
import sys, threading, time
def go():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.01)
    print(flush=True)
    input()
    os._exit(0)
import os
threading.Thread(target=go).start()
libc.syscall(SYS_EXIT, 0)
""".replace("SYS_EXIT", "60" if os.uname().machine == "x86_64" else "93")
    with planted({"OS_CLOUD_URL": "https://h"}, folder=tmp_path, program=_SPOILED.format(how=how)) as pid:
        assert not procfs.is_zombie(pid)
        (seen,) = process_environment.sweep([pid], None).seen
        assert os.readlink(f"/proc/{seen.thread}/cwd") == str(tmp_path)
    assert (seen.pid, seen.environ) == (pid, {"OS_CLOUD_URL": "https://h"})
    assert seen.argv[1:3] == ("-I", "-S")
