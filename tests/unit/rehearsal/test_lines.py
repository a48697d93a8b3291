"""What a rehearsal tells the tool outside arrives whole, in order, and ends with the outcome."""

from __future__ import annotations

import os
import threading
from typing import get_args

from airgap_check.commands import rehearse
from airgap_check.evidence import Evidence
from airgap_check.evidence.inspection import Trial
from airgap_check.rehearsal import line
from airgap_check.rehearsal.meetings import Meetings
from airgap_check.rehearsal.wish import World
from airgap_check.world.meeting import Met, Named, Trouble
from tests.building import connection


def test_the_worlds_of_the_command_line_are_those_that_there_are() -> None:
    assert get_args(World) == rehearse.WORLDS


def test_lines_longer_than_a_pipe_arrive_whole() -> None:
    records = tuple(connection("203.0.113.1", port) for port in range(1, 5000))
    evidence = Evidence(kind="attempts", status="complete", records=records)
    said: list[line.Line] = [
        line.Stage("rehearsing"),
        line.Outcome((evidence,), (Trial(mode="refused", observer="attempts", seen="yes"),), "cut"),
    ]
    reader, writer = os.pipe()

    def tell() -> None:
        for one in said:
            line.write(writer, one)
        os.close(writer)

    telling = threading.Thread(target=tell)
    telling.start()
    assert list(line.read(reader)) == said
    telling.join()
    os.close(reader)


def test_what_the_world_tells_is_kept_as_it_comes() -> None:
    import msgspec

    met = Met(at=1, until=2, protocol="tcp", source=3, address="198.18.0.1", port=4)
    reader, writer = os.pipe()
    meetings = Meetings(reader)
    for message in (Named(at=1, name="a.example", addresses=("198.18.0.1",)), met, Trouble(reason="no room")):
        os.write(writer, msgspec.json.encode(message) + b"\n")
    os.close(writer)
    meetings.wait()
    assert meetings.names == {"a.example": ("198.18.0.1",)}
    assert meetings.met == [met]
    assert "no room" in list(meetings.shortcomings())


def test_a_world_that_ends_before_its_time_is_told() -> None:
    reader, writer = os.pipe()
    meetings = Meetings(reader)
    os.close(writer)
    for _ in range(500):
        if not any(thread.name == "meetings" for thread in threading.enumerate()):
            break
        threading.Event().wait(0.01)
    meetings.wait()
    assert any("before" in reason for reason in meetings.shortcomings())
