from __future__ import annotations

import errno
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import open_sockets, procfs, syscalls
from airgap_check.kernel.open_sockets import OpenSockets, Stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    monkeypatch.setattr(open_sockets, "_tables", lambda _: [b"/proc/self/fd"])
    monkeypatch.setattr(open_sockets, "_links", lambda _: ([b"3"], [b"socket:[7]"]))
    assert walked([1, 20, 30], [7]).holder(7) == 20
    assert walked([1], [7]).holder(7) == 1


def test_a_descriptor_closed_during_the_walk_does_not_hide_the_others() -> None:
    with socket.socket() as sock:
        directory = os.open("/proc/self/fd", os.O_RDONLY)
        try:
            links = open_sockets._read_links([b"99999", b"%d" % sock.fileno(), b"99998"], directory)
        finally:
            os.close(directory)
        assert links == ([b"%d" % sock.fileno()], [b"socket:[%d]" % inode_of(sock)])


@pytest.fixture
def threads() -> Iterator[list[int]]:
    """Two more threads of ours, beside those that run the tests; what they say to sharing files is the test's."""
    done = threading.Event()
    helpers = [threading.Thread(target=done.wait) for _ in range(2)]
    for helper in helpers:
        helper.start()
    yield [int(number) for number in os.listdir(f"/proc/{ME}/task") if int(number) != ME]
    done.set()
    for helper in helpers:
        helper.join()


def test_threads_that_share_their_files_are_looked_at_once(threads: list[int]) -> None:
    assert len(threads) >= 2
    assert list(open_sockets._tables(ME)) == [b"/proc/%d/fd" % ME]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_where_nobody_tells_whether_threads_share_their_files_all_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, threads: list[int], number: int
) -> None:
    def refuse(*_: int) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(syscalls, "share_files", refuse)
    tables = {b"/proc/%d/task/%d/fd" % (ME, thread) for thread in threads}
    assert set(open_sockets._tables(ME)) == {b"/proc/%d/fd" % ME} | tables
    with socket.socket() as sock:
        found = walked([ME], [])
        stranger = found.strangers[inode_of(sock)]
        assert stranger.thread in threads
        assert (stranger.pid, found.holder(inode_of(sock))) == (ME, ME)


def test_odd_threads_that_share_among_themselves_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, threads: list[int]
) -> None:
    monkeypatch.setattr(syscalls, "share_files", lambda _, other: other in threads)
    assert len(list(open_sockets._tables(ME))) == 2


def test_too_many_odd_threads_are_a_gap(monkeypatch: pytest.MonkeyPatch, threads: list[int]) -> None:
    monkeypatch.setattr(syscalls, "share_files", lambda *_: False)
    monkeypatch.setattr(open_sockets, "_ODD_THREADS", len(threads) - 1)
    (failure,) = walked([ME], []).failures
    assert failure.startswith(f"did not look at the open files of every thread of a process: process {ME} ")


def test_a_thread_that_has_ended_has_nothing_open() -> None:
    assert open_sockets._links(b"/proc/%d/task/%d/fd" % (ME, 1 << 30)) == ([], [])


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


def test_our_own_sockets_are_known() -> None:
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        assert inode in open_sockets.own()
    assert inode not in open_sockets.own()
