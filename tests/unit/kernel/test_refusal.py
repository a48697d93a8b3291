from __future__ import annotations

import os

import pytest

from airgap_check.kernel import procfs
from airgap_check.kernel.refusal import Refusals

ME = os.getpid()


def test_what_was_refused_once_is_named() -> None:
    refusals = Refusals()
    refusals.add("could not join a network namespace", "net:[1]")
    assert refusals.sentences() == ["could not join a network namespace: net:[1]"]


def test_what_was_refused_often_is_counted_with_an_example() -> None:
    refusals = Refusals()
    for number in range(1, 4):
        refusals.add("could not join a network namespace", f"net:[{number}]")
    refusals.add("time was up")
    assert refusals.sentences() == ["could not join a network namespace: 3 times, first net:[1]", "time was up"]


def test_a_live_process_is_named_with_its_program() -> None:
    refusals = Refusals()
    refusals.process("may not read", ME)
    name = procfs.read(ME, "comm").decode().strip()
    assert refusals.sentences() == [f"may not read: process {ME} {name}"]


def test_a_vanished_process_is_no_gap() -> None:
    refusals = Refusals()
    refusals.process("may not read", 1 << 30)
    assert refusals.sentences() == []


@pytest.mark.parametrize("kind", ["is_kernel_thread", "is_zombie"])
def test_kernel_threads_and_zombies_are_no_gap(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(procfs, kind, lambda _: True)
    refusals = Refusals()
    refusals.process("may not read", ME)
    assert refusals.sentences() == []


def test_a_hostile_program_name_is_made_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "read", lambda *_: b"\x1b[2Jsh\xff\n")
    monkeypatch.setattr(procfs, "is_zombie", lambda _: False)
    refusals = Refusals()
    refusals.process("may not read", ME)
    assert refusals.sentences()[0].isprintable()
