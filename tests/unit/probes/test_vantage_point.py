"""From where probes are sent, and how the doors of a runtime are found."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from airgap_check.evidence import Runtime
from airgap_check.evidence.fact import Process, Workload
from airgap_check.kernel import netns
from airgap_check.probes import front_door, vantage_point

UNIT = Workload(kind="unit", id="a.service", name="a.service")
INODE = netns.own_inode()
OWN = netns.Namespace(INODE, "process", (os.getpid(),))


def _runtime(inode: int | None) -> Runtime:
    return Runtime(product="ObjectOS", netns=inode, process=Process(pid=os.getpid(), name="node"), workload=UNIT)


def test_runtimes_of_one_namespace_share_a_point_of_view() -> None:
    (point,), faults = vantage_point.find([_runtime(INODE), _runtime(INODE)], [OWN])
    assert (point.inode, len(point.owners), point.uids) == (INODE, 2, (os.getuid(),))
    assert str(point) == f"net:[{INODE}] (unit a.service)"
    assert faults == []


def test_without_a_runtime_this_host_is_all_there_is_and_that_is_said() -> None:
    (point,), faults = vantage_point.find([], [OWN])
    assert point.owners == ()
    assert "no runtime was found" in faults[0]


def test_a_namespace_that_cannot_be_entered_is_said_and_never_replaced_in_silence() -> None:
    gone = netns.Namespace(1, "process")
    for namespaces in ([OWN], [OWN, gone]):
        (point,), faults = vantage_point.find([_runtime(1)], namespaces)
        assert point.inode == INODE
        assert any("net:[1]" in fault for fault in faults)
        assert any("this host only" in fault for fault in faults)
    (point,), faults = vantage_point.find([_runtime(INODE), _runtime(None)], [OWN])
    assert any("could not be told" in fault for fault in faults)


def test_the_doors_of_a_runtime_are_what_its_processes_listen_at() -> None:
    (point,), _ = vantage_point.find([_runtime(INODE)], [OWN])
    with socket.create_server(("127.0.0.1", 0)) as first:
        doors = front_door.find(point)
        assert ("127.0.0.1", first.getsockname()[1]) in {(str(door.address), door.port) for door in doors}
    stranger = vantage_point.VantagePoint(OWN, (vantage_point.Owner(Process(pid=2**22 + 1), None),))
    assert front_door.find(stranger) == ()


def test_who_listens_everywhere_is_asked_on_loopback() -> None:
    (point,), _ = vantage_point.find([_runtime(INODE)], [OWN])
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert server.getsockname()[1] in {door.port for door in front_door.find(point) if door.address.is_loopback}


def test_every_runtime_of_a_network_namespace_is_asked_at_its_own_doors() -> None:
    """Four runtimes that share the host's network: none hides behind the ports of the others."""
    listen = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    with ExitStack() as stack:
        started = []
        for _ in range(4):
            argv = [sys.executable, "-I", "-c", f"{listen}; sys.stdin.read()"]
            one = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            assert one.stdin is not None
            stack.callback(one.stdin.close)
            assert one.stdout is not None
            started.append((one.pid, int(one.stdout.readline())))
        owners = tuple(vantage_point.Owner(Process(pid=pid), None) for pid, _ in started)
        doors = front_door.find(vantage_point.VantagePoint(OWN, owners))
    assert {(door.owner.process.pid, door.port) for door in doors} == set(started)


def test_what_a_runtime_holds_and_we_may_not_see_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (point,), _ = vantage_point.find([_runtime(INODE)], [OWN])
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        front_door.find(point)
