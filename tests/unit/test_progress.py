"""Progress is for a person at a terminal who has waited for a second, and leaves nothing behind."""

from __future__ import annotations

import io
import sys
import threading
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
