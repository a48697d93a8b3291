from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from airgap_check.kernel import open_sockets, procfs
from airgap_check.kernel.open_sockets import OpenSockets, Stranger

if TYPE_CHECKING:
    import pytest

ME = os.getpid()


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def walked(pids: list[int], inodes: list[int], deadline: float | None = None) -> OpenSockets:
    found = OpenSockets()
    found.walk(pids, inodes, deadline)
    return found


def test_the_holder_of_a_listed_socket_is_found() -> None:
    with socket.socket() as sock:
        found = walked([ME], [inode_of(sock), 1])
        assert found.holder(inode_of(sock)) == ME
        assert found.holder(1) is None
        assert inode_of(sock) not in found.strangers
        assert found.failures == []


def test_a_socket_in_no_table_is_a_stranger_with_a_holder() -> None:
    with socket.socket() as sock:
        found = walked([ME], [])
        stranger = found.strangers[inode_of(sock)]
        assert (stranger.pid, stranger.descriptor) == (ME, sock.fileno())
        assert found.holder(inode_of(sock)) == ME
        assert open_sockets.is_open(stranger)
        assert open_sockets.is_networked(stranger)


def test_a_socket_between_processes_is_not_networked() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert not open_sockets.is_networked(walked([ME], []).strangers[inode_of(here)])


def test_a_stranger_that_was_closed_meanwhile_is_neither() -> None:
    gone = Stranger(1, ME, f"/proc/{ME}/fd/9999")
    assert not open_sockets.is_networked(gone)
    assert not open_sockets.is_open(gone)


def test_of_several_holders_the_oldest_is_named_but_not_init(monkeypatch: pytest.MonkeyPatch) -> None:
    links = {b"socket:[7]": b"3"}
    monkeypatch.setattr(open_sockets, "_links", lambda pid: (b"/proc/%d/fd" % pid, links))
    assert walked([1, 20, 30], [7]).holder(7) == 20
    assert walked([1], [7]).holder(7) == 1


def test_a_descriptor_closed_during_the_walk_does_not_hide_the_others() -> None:
    with socket.socket() as sock:
        directory = os.open("/proc/self/fd", os.O_RDONLY)
        try:
            links = open_sockets._read_links([b"99999", b"%d" % sock.fileno(), b"99998"], directory)
        finally:
            os.close(directory)
        assert links == {b"socket:[%d]" % inode_of(sock): b"%d" % sock.fileno()}


def test_a_process_that_vanished_is_no_gap() -> None:
    assert walked([1 << 30], []).failures == []


def test_a_process_that_may_not_be_read_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(open_sockets, "_links", refuse)
    monkeypatch.setattr(procfs, "is_kernel_thread", lambda _: False)
    (failure,) = walked([ME], []).failures
    assert failure.startswith(f"may not read the open files of a process: process {ME} ")


def test_a_walk_that_runs_out_of_time_says_how_much_is_missing() -> None:
    found = walked([ME, ME, ME], [], deadline=time.monotonic() - 1)
    assert found.failures == ["time was up with the open files of 3 processes still unread"]
