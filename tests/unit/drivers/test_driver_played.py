"""Requests of a file, played to a server."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from airgap_check import drivers
from tests.unit.drivers.serving import Asked, Said, serving

if TYPE_CHECKING:
    from pathlib import Path

FILE = """### enter
# @wait 0s
POST /enter
Content-Type: application/json

{"name": "x"}
###
# @wait 0s
GET /note?token=hush
###
# @wait 0s
GET http://127.0.0.1:1/closed
"""


def answer(asked: Asked) -> Said:
    return Said(200, headers=(("Set-Cookie", "session=1"),)) if asked.path == "/enter" else Said(500)


def test_they_are_played_in_order_with_the_cookies_of_those_before(tmp_path: Path) -> None:
    (tmp_path / "day.http").write_text(FILE)
    diary = drivers.Diary()
    with serving(answer) as server:
        where = drivers.Where(server.port, os.getpid(), {}, "/")
        driven = drivers.prepare(f"http:{tmp_path}/day.http")(where, diary, threading.Event())
    assert [asked.method + " " + asked.path for asked in server.asked[1:]] == ["POST /enter", "GET /note?token=hush"]
    assert server.asked[1].body == b'{"name": "x"}'
    assert server.asked[2].headers["cookie"] == "session=1"
    assert [entry[:3] for entry in diary.visits] == [
        ("POST /enter", "done", "200"),
        ("GET /note", "done", "500"),
        ("GET /closed", "failed", "Connection refused"),
    ]
    assert driven == (server.port, {"session": "1"}, ("/",))


def test_where_nobody_serves_those_to_the_server_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "day.http").write_text(FILE)
    diary, stop = drivers.Diary(), threading.Event()
    stop.set()
    drivers.prepare(f"http:{tmp_path}/day.http")(drivers.Where(1, os.getpid(), {}, "/"), diary, stop)
    assert {entry[1:3] for entry in diary.visits} == {("skipped", "time was up")}
    assert len(diary.visits) == 3
