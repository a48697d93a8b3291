"""Programs of the user's, run beside the command."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from airgap_check import drivers
from airgap_check.errors import UsageError
from tests.unit.drivers.serving import Said, Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airgap_check.drivers import Diary


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda _: Said()) as here:
        yield here


@pytest.fixture
def run(tmp_path: Path, server: Server) -> Callable[..., Diary]:
    def start(text: str, stop: threading.Event | None = None) -> Diary:
        script = tmp_path / "seed"
        script.write_text("#!/bin/sh\n" + text)
        script.chmod(0o700)
        diary = drivers.Diary()
        where = drivers.Where(server.port, os.getpid(), {"PATH": "/usr/bin:/bin", "MINE": "1"}, str(tmp_path))
        drivers.prepare(str(script))(where, diary, stop or threading.Event())
        return diary

    return start


def told(diary: Diary) -> list[tuple[str, str, str]]:
    return [entry[:3] for entry in diary.visits]


def test_it_knows_the_server_and_what_the_command_knows(
    run: Callable[..., Diary], server: Server, tmp_path: Path
) -> None:
    assert told(run('echo "$AIRGAP_CHECK_URL $AIRGAP_CHECK_PORT $MINE $(pwd)" > out')) == [("script seed", "done", "")]
    port = server.port
    assert (tmp_path / "out").read_text() == f"http://127.0.0.1:{port} {port} 1 {tmp_path}\n"


def test_the_visits_that_it_tells_of_are_kept(run: Callable[..., Diary]) -> None:
    diary = run(
        "echo ::visit make a note; echo chatter; echo ::visit read it; echo ::end; echo ::visit; printf '::visit last'"
    )
    assert told(diary) == [
        ("make a note", "done", ""),
        ("read it", "done", ""),
        ("last", "done", ""),
        ("script seed", "done", ""),
    ]


def test_a_visit_is_under_way_before_the_program_is_answered(run: Callable[..., Diary], tmp_path: Path) -> None:
    diary = run("echo ::visit exact; read line; date +%s%N > begun; sleep 0.05; echo ::end; read line; touch after")
    exact, whole = diary.visits
    assert (exact.label, whole.label) == ("exact", "script seed")
    assert whole.began_ns < exact.began_ns < exact.ended_ns < whole.ended_ns
    assert exact.ended_ns - exact.began_ns >= 50_000_000
    assert (tmp_path / "after").exists()


@pytest.mark.parametrize(
    ("text", "detail"),
    [("exit 3", "exit status 3"), ("kill -9 $$", "ended by SIGKILL"), ("kill -40 $$", "ended by signal 40")],
)
def test_how_it_failed_is_said(run: Callable[..., Diary], text: str, detail: str) -> None:
    assert told(run(text)) == [("script seed", "failed", detail)]


def test_one_that_cannot_be_run_has_failed(run: Callable[..., Diary], tmp_path: Path) -> None:
    script = tmp_path / "bad"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    diary = run("exit")
    drivers.prepare(str(script))(
        drivers.Where(_port(diary, tmp_path, run), os.getpid(), {}, "/"), diary, threading.Event()
    )
    assert told(diary)[-1] == ("script bad", "failed", "No such file or directory")


def _port(_: Diary, folder: Path, run: Callable[..., Diary]) -> int:
    run('echo "$AIRGAP_CHECK_PORT" > port')
    return int((folder / "port").read_text())


def test_its_processes_can_be_told_apart_and_are_ended(run: Callable[..., Diary], tmp_path: Path) -> None:
    diary = run("echo $$ > pid; sleep 1000 & echo $! > child; exit 0")
    leader, child = (int((tmp_path / name).read_text()) for name in ("pid", "child"))
    assert diary.own_pids == {leader}
    assert _is_gone(child)


def test_one_that_goes_on_without_its_output_is_waited_for(run: Callable[..., Diary], tmp_path: Path) -> None:
    assert told(run("exec >&-; sleep 0.2; touch done; exit 4")) == [("script seed", "failed", "exit status 4")]
    assert (tmp_path / "done").exists()


def test_one_that_does_not_end_is_ended_when_time_is_up(run: Callable[..., Diary], tmp_path: Path) -> None:
    stop = threading.Event()

    def stop_when_it_has_begun() -> None:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()

    waiting = threading.Thread(target=stop_when_it_has_begun)
    waiting.start()
    diary = run(
        "trap '' TERM; echo $$ > pid; echo ::visit long; read line; touch begun; while :; do sleep 0.1; done", stop
    )
    waiting.join()
    assert told(diary) == [("long", "done", ""), ("script seed", "failed", "time was up")]
    assert _is_gone(int((tmp_path / "pid").read_text()))


def test_floods_and_binary_are_borne(run: Callable[..., Diary]) -> None:
    assert told(run("head -c 3000000 /dev/zero; echo; printf '::visit \\377\\033[31mred\\n'; yes | head -100000")) == [
        ("\N{REPLACEMENT CHARACTER}red", "done", ""),
        ("script seed", "done", ""),
    ]


def test_where_nobody_serves_it_is_skipped(tmp_path: Path) -> None:
    script = tmp_path / "seed"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    diary, stop = drivers.Diary(), threading.Event()
    stop.set()
    drivers.prepare(str(script))(drivers.Where(1, os.getpid(), {}, "/"), diary, stop)
    assert told(diary) == [("script seed", "skipped", "time was up")]


def test_what_is_no_program_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such program \(known drivers: objectos, http:FILE\)"):
        drivers.prepare("objectoss")
    (tmp_path / "plain").write_text("")
    with pytest.raises(UsageError, match="may not be executed"):
        drivers.prepare(str(tmp_path / "plain"))


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
