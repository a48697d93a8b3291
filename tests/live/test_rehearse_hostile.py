"""``rehearse`` with commands that want out by no IP, or that want those who watch them gone."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.live.test_rehearse_command import NOBODY, python, reached, rehearse

if TYPE_CHECKING:
    from collections.abc import Iterator

users = pytest.mark.parametrize("before", [(), tuple(NOBODY)], ids=["root", "nobody"])
KNOCK = """
import socket, sys
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    with socket.socket(socket.AF_UNIX, kind) as made:
        try:
            made.connect(sys.argv[1])
            print("inside the machine", file=sys.stderr)
        except ConnectionRefusedError:
            pass
try:
    socket.socket(40, socket.SOCK_STREAM).close()
    print("inside the machine", file=sys.stderr)
except OSError:
    pass
"""
TALK = """
import socket, tempfile
with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
    one.bind(folder + "/a socket with a name that is longer than an address of IPv6")
    one.listen()
    two.connect(folder + "/a socket with a name that is longer than an address of IPv6")
"""
ATTACK = """
import os, signal, socket, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN):
    os.kill(2, number)
os.kill(2, signal.SIGSTOP)
time.sleep(0.2)
socket.create_connection(("203.0.113.7", 8443), 5).close()
"""


@pytest.fixture
def service() -> Iterator[str]:
    """Listen on this machine at a socket file that everybody may use."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        os.chmod(folder, 0o755)  # noqa: S103  (as it is for the services that are meant here)
        path = f"{folder}/service"
        listener.bind(path)
        os.chmod(path, 0o777)  # noqa: S103
        listener.listen()
        yield path


@users
def test_what_leads_to_this_machine_by_no_ip_is_refused_and_said(before: tuple[str, ...], service: str) -> None:
    code, report, errors = rehearse("--no-self-test", *python(KNOCK, service), before=before)
    assert "inside the machine" not in errors
    (attempts,) = [one for one in report["coverage"] if one["collector"] == "attempts"]
    assert attempts["status"] == "partial"
    assert f"were refused: {service} (2), VSOCK (1)" in attempts["reason"]
    assert code == 4


@users
def test_socket_files_of_the_command_itself_are_no_matter(before: tuple[str, ...]) -> None:
    code, report, errors = rehearse("--no-self-test", *python(TALK), before=before)
    assert "Error" not in errors
    (attempts,) = [one for one in report["coverage"] if one["collector"] == "attempts"]
    assert (attempts["status"], attempts["reason"]) == ("complete", "")
    assert code == 4  # nobody has approved its policy


@users
def test_who_watches_is_neither_ended_nor_stopped_by_signals(before: tuple[str, ...]) -> None:
    code, report, _ = rehearse("--no-self-test", "--for", "20s", *python(ATTACK), before=before)
    assert ("203.0.113.7", 8443) in reached(report)
    assert code == 1
