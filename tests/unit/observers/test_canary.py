from __future__ import annotations

import ast
import errno
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dns.message

from airgap_check.observers import canary
from airgap_check.observers.canary import Mode
from airgap_check.observers.mode import MODES

if TYPE_CHECKING:
    import pytest

REFUSED = Mode("refused", "tcp", "127.0.0.1", 1, "wire")


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(canary.__file__).read_text())
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= sys.stdlib_module_names


def test_it_understands_the_modes_that_it_is_told() -> None:
    assert {Mode(*mode[:5]).place for mode in MODES} == {"wire", "silence", "unreachable", "prohibit", "nowhere"}
    assert {mode.kind for mode in MODES} == {"tcp", "udp", "routed", "raw", "ping", "packet", "dns"}
    assert Mode._fields == MODES[0]._fields[:5]


def test_its_question_is_a_dns_query() -> None:
    message = dns.message.from_wire(canary.question("airgap-check-selftest-0a.invalid"))
    assert message.question[0].to_text() == "airgap-check-selftest-0a.invalid. IN A"


def test_a_refused_connection_is_told_as_such() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound, but nobody listens
        mode = REFUSED._replace(port=holder.getsockname()[1])
        assert canary.attempt(mode, "a.invalid") == {"mode": "refused", "ending": "ECONNREFUSED"}


def test_a_datagram_is_sent() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        mode = Mode("question", "dns", "127.0.0.1", server.getsockname()[1], "wire")
        assert canary.attempt(mode, "a.invalid")["ending"] == "sent"
        assert server.recv(512) == canary.question("a.invalid")


def test_a_socket_that_cannot_be_made_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("socket.socket", refuse)
    fact = canary.attempt(REFUSED._replace(kind="raw"), "a.invalid")
    assert fact == {"mode": "refused", "why": "no such socket can be made: Operation not permitted"}


def test_it_leaves_its_cgroup_for_the_next_that_takes_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.procs").write_text("")
    below = tmp_path / "busy"
    (below / "thrown-away").mkdir(parents=True)
    monkeypatch.chdir(below)
    canary._withdraw("thrown-away")
    assert (tmp_path / "cgroup.procs").read_text() == "0"
    assert sorted(os.listdir(tmp_path)) == ["busy", "cgroup.procs"]
    assert os.listdir(below) == []


def test_it_makes_no_files_where_there_is_no_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thrown-away").mkdir()
    monkeypatch.chdir(tmp_path)
    canary._withdraw("thrown-away")
    assert os.listdir(tmp_path) == ["thrown-away"]
