"""What is said to a service manager, heard by a socket that stands for it."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from airgap_check import service
from airgap_check.service import Manager, reads_priorities

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ABSTRACT = f"@airgap-check-test-{os.getpid()}"


@pytest.fixture(params=["path", "abstract"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.settimeout(30)
        name = str(tmp_path / "notify") if request.param == "path" else ABSTRACT
        ear.bind(name if request.param == "path" else "\0" + name[1:])
        yield name, ear


def lines(ear: socket.socket) -> list[str]:
    return ear.recv(4096).decode().split("\n")


def test_each_state_is_one_datagram(place: tuple[str, socket.socket]) -> None:
    name, ear = place
    manager = Manager({"NOTIFY_SOCKET": name}, 7)
    assert manager.listens
    manager.ready("at\x1b[31m work\nand more")
    assert lines(ear) == ["READY=1", "STATUS=at work and more"]
    manager.reloading()
    first, second, _ = lines(ear)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    manager.stopping()
    assert lines(ear)[0] == "STOPPING=1"


def test_signs_of_life_come_twice_as_often_as_they_must(place: tuple[str, socket.socket]) -> None:
    name, ear = place
    manager = Manager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000000", "WATCHDOG_PID": "7"}, 7)
    assert manager.beat == 1500
    manager.alive()
    manager.alive()
    assert lines(ear) == ["WATCHDOG=1"]
    ear.settimeout(0)
    with pytest.raises(BlockingIOError):
        ear.recv(1)


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1" * 30},
     {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "8"}],
)  # fmt: skip
def test_no_signs_of_life_are_given_where_nobody_asked_us_for_them(watchdog: dict[str, str]) -> None:
    assert Manager({"NOTIFY_SOCKET": "/nowhere"} | watchdog, 7).beat is None


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_without_a_manager_nothing_is_said(environment: dict[str, str]) -> None:
    manager = Manager(environment | {"WATCHDOG_USEC": "1"}, 7)
    assert not manager.listens
    manager.ready("work")
    manager.alive()


def test_a_manager_that_has_gone_ends_nothing(tmp_path: Path) -> None:
    Manager({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 7).ready("work")


def test_priorities_are_for_the_very_stream_that_leads_to_the_journal() -> None:
    with tempfile.TemporaryFile("w+") as stream:
        there = os.fstat(stream.fileno())
        right = {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"}
        assert reads_priorities(right, stream)
        assert not reads_priorities({"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino + 1}"}, stream)
        assert not reads_priorities({}, stream)
    assert not reads_priorities(right, stream), "it is closed"
    assert not reads_priorities(right, None)


def test_what_a_busy_manager_did_not_hear_is_said_again_with_the_next_sign_of_life(
    place: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, ear = place
    monkeypatch.setattr(service, "_PATIENCE", 0.01)
    manager = Manager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000000"}, 7)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, suppress(BlockingIOError):
        others.settimeout(0)
        while True:
            others.sendto(b"something else", ear.getsockname())
    manager.ready("work")
    manager.alive()
    ear.settimeout(0)
    with suppress(BlockingIOError):
        while True:
            assert ear.recv(4096) == b"something else"
    manager.alive()
    assert lines(ear) == ["READY=1", "STATUS=work"]
    assert lines(ear) == ["WATCHDOG=1"]
    manager.alive()
    with pytest.raises(BlockingIOError):
        ear.recv(1)
