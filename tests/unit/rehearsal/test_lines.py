"""What a rehearsal tells the tool outside arrives whole, in order, and ends with the outcome."""

from __future__ import annotations

import os
import threading
from typing import get_args

import msgspec

from airgap_check.commands import rehearse
from airgap_check.evidence import Evidence
from airgap_check.evidence.inspection import Trial
from airgap_check.rehearsal import line
from airgap_check.rehearsal.meetings import Meetings
from airgap_check.rehearsal.wish import World
from airgap_check.world.meeting import Ended, Met, Named, Trouble
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
    met = Met(at=1, until=2, protocol="tcp", source=3, address="198.18.0.1", port=4)
    reader, writer = os.pipe()
    meetings = Meetings(reader)
    for message in (Named(at=1, name="a.example", addresses=("198.18.0.1",)), met, Trouble(reason="no room"), Ended()):
        os.write(writer, msgspec.json.encode(message) + b"\n")
    os.close(writer)
    meetings.wait()
    assert meetings.names == {"a.example": ("198.18.0.1",)}
    assert meetings.met == [met]
    assert list(meetings.shortcomings()) == ["no room"]


def test_a_world_that_ends_before_its_time_is_told() -> None:
    reader, writer = os.pipe()
    meetings = Meetings(reader)
    os.write(writer, msgspec.json.encode(Named(at=1, name="a.example")) + b"\n")
    os.close(writer)
    meetings.wait()
    assert list(meetings.shortcomings()) == ["those who answer for the world ended before they had told everything"]


def test_a_line_that_somebody_was_killed_in_is_none() -> None:
    reader, writer = os.pipe()
    line.write(writer, line.Stage("rehearsing"))
    os.write(writer, b'{"kind":"outcome","evidence":[')
    os.close(writer)
    assert list(line.read(reader)) == [line.Stage("rehearsing")]
    os.close(reader)


def test_a_reader_that_has_gone_is_told_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line.write(writer, line.Stage("rehearsing"))
    os.close(writer)


def test_a_world_that_was_killed_while_it_spoke_is_told() -> None:
    reader, writer = os.pipe()
    meetings = Meetings(reader)
    os.write(writer, b'{"kind":"named","at":1,')
    os.close(writer)
    meetings.wait()
    assert any("before they had told" in reason for reason in meetings.shortcomings())
