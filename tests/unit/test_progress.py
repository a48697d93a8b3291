"""Progress is for a person at a terminal who has waited for a second, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from airgap_check.commands import progress

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    """Standard error as a terminal; ``drawn`` is set when something is first written."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.drawn.set()
        return super().write(text)


def test_a_terminal_is_told_the_stage_and_then_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with progress.shown(quiet=False) as stage:
        stage("listing sockets")
        terminal.drawn.clear()
        assert terminal.drawn.wait(20)
    text = terminal.getvalue()
    assert "listing sockets ..." in text
    assert text.endswith("\r\x1b[K")


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _drawn(Terminal(), monkeypatch, quiet=True) == ""


def test_what_is_no_terminal_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _drawn(io.StringIO(), monkeypatch, quiet=False) == ""


def _drawn(stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, quiet: bool) -> str:
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with progress.shown(quiet=quiet) as stage:
        stage("listing sockets")
    return stderr.getvalue()


# More lines than a pipe takes, which nobody reads before the end.
_TALK = """
import fcntl, os, sys
from airgap_check.commands import progress
fcntl.fcntl(2, 1031, 4096)  # F_SETPIPE_SZ
for number in range(100):
    progress.tell(f"line {number} " + "x" * 100)
print("still here", flush=True)
sys.stdin.readline()
progress.tell("and now")
"""


def test_who_does_not_read_the_lines_holds_up_nothing_and_is_told_how_many_are_missing() -> None:
    ear, mouth = os.pipe()
    with (
        open(ear, encoding="ascii") as heard,
        subprocess.Popen(
            [sys.executable, "-c", _TALK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=mouth, text=True
        ) as talker,
    ):
        os.close(mouth)
        assert talker.stdin
        assert talker.stdout
        try:
            assert select.select([talker.stdout], [], [], 60)[0], "it waits for a reader"
            os.set_blocking(ear, False)
            said = os.read(ear, 1 << 20).decode()
            os.set_blocking(ear, True)
            talker.stdin.write("\n")
            talker.stdin.flush()
            whole = said.splitlines()
            assert [line.split()[1] for line in whole] == [str(number) for number in range(len(whole))]
            missing = 100 - len(whole)
            assert missing > 50
            assert heard.read() == f"{missing} lines are missing here: nobody read them\nand now\n"
        finally:
            talker.kill()


def test_a_terminal_that_was_closed_meanwhile_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    terminal = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    try:
        with progress.shown(quiet=False) as stage:
            stage("listing sockets")
            os.close(ours)
    finally:
        monkeypatch.undo()
        with suppress(OSError):  # it has what it could not write
            terminal.close()
