from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from airgap_check.kernel import seccomp
from airgap_check.kernel.seccomp import UnsupportedError


def pretend(monkeypatch: pytest.MonkeyPatch, machine: str, release: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine, release=release))


def test_this_kernel_says_how_much_it_tells() -> None:
    found = seccomp.kernel()
    assert found.notice >= 80
    assert found.answer >= 24


def test_a_kernel_that_cannot_let_calls_go_on_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, os.uname().machine, "5.4.0-204-generic")
    with pytest.raises(UnsupportedError, match=r"Linux 5\.4\.0-204-generic is older than 5\.5"):
        seccomp.kernel()


@pytest.mark.parametrize("release", ["5.5", "5.10.0+", "6.1.0-13-amd64", "10.0-rc1"])
def test_later_ones_are_asked(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    pretend(monkeypatch, os.uname().machine, release)
    assert seccomp.kernel().notice >= 80


def test_a_machine_of_which_no_calls_are_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "riscv64", "6.1.0")
    with pytest.raises(UnsupportedError, match="no filter is known for the machine riscv64"):
        seccomp.kernel()
