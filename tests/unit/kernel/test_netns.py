from __future__ import annotations

import os
import socket
import threading

import pytest

from airgap_check.kernel import netns, procfs, syscalls
from airgap_check.kernel.netns import Namespace

ME = os.getpid()
OURS = netns.own_inode()


def test_our_own_namespace_is_found_with_us_in_it() -> None:
    namespaces, _ = netns.discover()
    (ours,) = [namespace for namespace in namespaces if namespace.inode == OURS]
    assert ours.holder == "process"
    assert ME in ours.pids


def test_work_in_our_own_namespace_needs_no_thread() -> None:
    assert netns.inside(Namespace(OURS, "process", (ME,)), threading.get_ident) == threading.get_ident()


def test_a_namespace_that_has_gone_is_said_to_have_gone() -> None:
    for gone in (
        Namespace(1, "process", (1 << 30,)),
        Namespace(1, "process", (ME,)),  # the pid now belongs to somebody in another namespace
        Namespace(1, "mount", (), ((ME, "/proc/version"),)),
    ):
        with pytest.raises((FileNotFoundError, ProcessLookupError)):
            netns.inside(gone, os.getpid)


def test_a_namespace_below_another_mount_has_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "_mounted", lambda _: [(1, "/proc/version")])
    with pytest.raises(OSError, match="something else is mounted over it"):
        netns.inside(Namespace(1, "mount", (), ((ME, "/proc/version"),)), os.getpid)


def test_an_error_of_the_work_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "_open", lambda _: os.open("/", os.O_RDONLY))
    monkeypatch.setattr(syscalls, "setns", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        netns.inside(Namespace(1, "process"), lambda: 1 // 0)


def test_without_proc_it_is_said_that_nothing_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[int]:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(procfs, "pids", refuse)
    assert netns.discover() == ([], ["could not list the processes: No such file or directory"])


def test_hidden_processes_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "pids", lambda: [ME])
    namespaces, failures = netns.discover()
    assert [namespace.inode for namespace in namespaces] == [OURS]
    assert failures == ["the processes of other users are hidden from us (hidepid of /proc)"]


def test_a_process_whose_namespace_may_not_be_seen_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(netns, "_memberships", refuse)
    monkeypatch.setattr(procfs, "pids", lambda: [1, ME])
    monkeypatch.setattr(procfs, "is_kernel_thread", lambda _: False)
    _, failures = netns.discover()
    assert failures[0].startswith("may not see the network namespace of a process: 2 times, first process 1")


def test_a_descriptor_that_is_no_socket_has_no_namespace() -> None:
    descriptor = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=r"Inappropriate ioctl|Bad file"):
            netns.of_socket(ME, descriptor)
    finally:
        os.close(descriptor)


def test_a_socket_of_a_process_that_has_gone_has_no_namespace() -> None:
    with pytest.raises(ProcessLookupError):
        netns.of_socket(1 << 22, 0)


def test_looking_leaves_no_descriptor_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    netns.discover()
    netns.maker()
    with socket.socket() as sock, pytest.raises((ProcessLookupError, PermissionError)):
        netns.inside(Namespace(1, "socket", (ME,), ((ME, str(sock.fileno())),)), os.getpid)
    assert sorted(os.listdir("/proc/self/fd")) == before
