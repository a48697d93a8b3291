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
import ctypes, os, socket, sys
def knock(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as made:
            try:
                made.connect(path)
            except ConnectionRefusedError:
                continue
            except OSError as error:
                if kind != socket.SOCK_DGRAM or error.errno != 91:  # EPROTOTYPE: it has been reached
                    print(f"Error: {error}", file=sys.stderr)
            print("inside the machine by", path, file=sys.stderr)
folder, name = os.path.split(sys.argv[1])
knock(sys.argv[1])
os.chdir(folder)
knock(name)
knock(f"/proc/self/fd/{os.open(folder, os.O_PATH)}/{name}")
if not os.fork():
    if ctypes.CDLL(None).unshare(0x10000000):
        print("Error: no user namespace", file=sys.stderr)
    os.chroot(folder)
    knock(name)
    knock("/" + name)
    os._exit(0)
os.wait()
try:
    socket.socket(40, socket.SOCK_STREAM).close()
    print("inside the machine by VSOCK", file=sys.stderr)
except OSError:
    pass
"""
TALK = """
import socket, tempfile
with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as one:
    path = folder + "/a socket with a name that is longer than an address of IPv6"
    one.bind(path)
    one.listen()
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
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
        os.chmod(folder, 0o755)
        path = f"{folder}/service"
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen()
        yield path


@users
def test_what_leads_to_this_machine_by_no_ip_is_refused_and_said(before: tuple[str, ...], service: str) -> None:
    code, report, errors = rehearse("--no-self-test", *python(KNOCK, service), before=before)
    assert ("inside the machine" in errors, "Error" in errors) == (False, False), errors
    (attempts,) = [one for one in report["coverage"] if one["collector"] == "attempts"]
    assert attempts["status"] == "partial"
    name = service.rpartition("/")[2]
    for way in (f"{name} (4)", f"{service} (2)", f"/{name} (2)", "VSOCK (1)"):
        assert way in attempts["reason"]
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
