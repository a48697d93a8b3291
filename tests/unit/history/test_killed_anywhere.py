"""A run that is killed between any two steps of the memory costs no alarm, and drowns none: each step is tried."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airgap_check import history
from tests.unit.history.test_seal import MEMORY, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PACKAGE = os.path.dirname(history.__file__)
WHERE = frozenset({f"{PACKAGE}/{name}.py" for name in ("seal", "store", "database", "folder")})


def killed_at(step: int, state: Path) -> bool:
    """Do a run in a process that dies before its so-manieth line in the memory; tell whether it has got so far."""
    child = os.fork()
    if not child:
        left = step

        def trace(frame: FrameType, event: str, _: object) -> object:
            nonlocal left
            if frame.f_code.co_filename not in WHERE:
                return None
            if event == "line":
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)  # type: ignore[arg-type]
        run(state, 5)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kills(state: Path) -> Iterator[Path]:
    """Yield the folder as each of the kills has left it."""
    step = 1
    while True:
        place = state.parent / f"killed {step}"
        if state.exists():
            shutil.copytree(state, place)
        if not killed_at(step, place):
            return
        yield place
        shutil.rmtree(place, ignore_errors=True)
        step += 2 if state.exists() else 1


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder in memory: a disk would be waited for some thousand times."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place)


@pytest.fixture
def state(room: Path) -> Path:
    place = room / "state"
    for minute in range(3):
        run(place, minute)
    return place


def test_the_first_run_that_is_killed_leaves_no_alarm(room: Path) -> None:
    count = 0
    for place in kills(room / "state"):
        count += 1
        assert run(place, 9).mishap == "", count
    assert count > 100


def test_a_later_run_that_is_killed_leaves_no_alarm_and_what_was_remembered(state: Path) -> None:
    for place in kills(state):
        found = run(place, 9)
        assert found.mishap == ""
        assert found.runs in {3, 4}


@pytest.mark.parametrize("damage", ["gone", "corrupt"])
def test_a_killed_run_does_not_drown_the_alarm_that_it_was_to_raise(state: Path, damage: str) -> None:
    if damage == "gone":
        (state / MEMORY).unlink()
        (state / "running").unlink()
    else:
        (state / MEMORY).write_bytes(b"rubbish" * 1000)
    for place in kills(state):
        found = run(place, 9)
        assert found.mishap or (found.heard and found.heard.at.minute == 5), place
