"""What of a look at a rehearsal is the command's, and what is only this machine's."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from airgap_check.drivers.diary import Diary
from airgap_check.drivers.where import Where
from airgap_check.evidence import Evidence, Setting
from airgap_check.evidence.fact import Place
from airgap_check.rehearsal.inside import Rehearsal, _of_the_command
from airgap_check.rehearsal.wish import Wish

if TYPE_CHECKING:
    import pytest

OWN = Setting(name="OS_CLOUD_URL", posture="disabled", place=Place(kind="own"))
UNIT = Setting(name="HTTPS_PROXY", posture="url", place=Place(kind="unit", unit="docker.service"))
PROCESS = Setting(name="OS_CLOUD_URL", posture="disabled", place=Place(kind="process", pid=7))
FILE = Setting(name="OS_CLOUD_URL", posture="disabled", place=Place(kind="file", path="/srv/.env"))


def kept(*settings: Setting) -> tuple[Setting, ...]:
    evidence = Evidence(kind="environment", status="complete", records=settings)
    return tuple(_of_the_command(evidence).of(Setting))


def test_units_of_this_machine_say_nothing_of_the_command() -> None:
    assert kept(UNIT, FILE, PROCESS) == (FILE, PROCESS)


def test_our_own_environment_is_the_commands_unless_that_was_seen_itself() -> None:
    assert kept(OWN, FILE) == (OWN, FILE)
    assert kept(OWN, FILE, PROCESS) == (FILE, PROCESS)


def test_how_a_command_ended_is_told_also_where_it_ended_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = Wish(command=("sh",), environ={}, seconds=60.0)
    rehearsal = Rehearsal(wish, None, None, None, None)  # type: ignore[arg-type]
    with subprocess.Popen(["/bin/sh", "-c", "read line; exit 7"], stdin=subprocess.PIPE) as command:
        assert command.stdin
        end = command.stdin

        def is_over(_exercised: object, _diary: object) -> bool:
            end.close()
            os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT)
            return True

        monkeypatch.setattr(rehearsal, "_is_over", is_over)
        assert rehearsal._watch(command, Diary(), Where(None, command.pid, {}, "/")) is None
    assert re.fullmatch(r"after \d+ s, with exit code 7", rehearsal._ended or "")
