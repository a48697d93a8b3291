"""Where the command serves, seen from its process and what listens here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from airgap_check.drivers import where as places
from airgap_check.drivers.where import Where, await_server, candidates, family

if TYPE_CHECKING:
    from collections.abc import Iterator

# Serves at the ports that the kernel gives it, and says which; a grandchild of who asks.
SERVER = """
import socket, sys
from http.server import *
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers()
    def log_message(self, *_): pass
HTTPServer.address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = HTTPServer((sys.argv[1], 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@contextmanager
def command(address: str = "127.0.0.1", status: int = 200) -> Iterator[tuple[int, int]]:
    """Run a server below a command; yield the command's process and the port."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, SERVER, address, str(status)], stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout
        port = int(process.stdout.readline())
        try:
            yield process.pid, port
        finally:
            os.killpg(process.pid, 9)


def where(pid: int, port: int | None = None, **environ: str) -> Where:
    return Where(port, pid, environ, "/")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_server_below_the_command_is_found(address: str) -> None:
    with command(address) as (pid, port):
        assert candidates(where(pid))[0] == port
        assert await_server(where(pid), threading.Event()) == port


def test_the_port_that_the_environment_names_comes_first_if_anybody_listens_there() -> None:
    with command() as (pid, port), command() as (_, other):
        assert candidates(where(pid, PORT=str(other)))[:2] == [other, port]
        assert candidates(where(pid, OS_PORT="1", PORT="x"))[0] == port


def test_the_port_that_the_caller_names_is_the_only_one() -> None:
    with command() as (pid, port), command() as (_, other):
        assert candidates(where(pid, other)) == [other]
        assert port not in candidates(where(pid, other))
        assert candidates(where(pid, 1)) == []


def test_a_server_that_has_left_the_command_is_found_after_the_commands_own() -> None:
    with command() as (pid, port), command() as (_, other):
        found = candidates(where(pid))
        assert found.index(port) < found.index(other)


def test_a_server_that_only_says_that_it_is_out_of_order_is_not_serving() -> None:
    with command(status=503) as (pid, port):
        assert await_server(where(pid, port), threading.Event(), patience=0.3) is None


def test_nobody_is_waited_for_once_it_is_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    with command() as (pid, port):
        assert await_server(where(pid, port), stop) is None


def test_a_command_that_has_ended_is_not_waited_for_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_ORPHAN_SECONDS", 0.1)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert await_server(where(process.pid, 1), threading.Event(), patience=1000) is None


def test_a_family_is_a_process_and_all_below_it() -> None:
    with command() as (pid, _):
        assert pid in family(pid)
        assert len(family(pid)) == 2
        assert family(pid) < family(os.getpid())
