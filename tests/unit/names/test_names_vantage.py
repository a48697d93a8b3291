from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import cgroup, netns, procfs
from airgap_check.names import resolv_conf, root, vantage
from tests.unit.names.tree import DENIED, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = os.getpid()
FOREIGN = (7, netns.own_inode())


@contextmanager
def child() -> Iterator[int]:
    waiting = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # until then it is still what forked it
        yield process.pid
        process.kill()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int] | OSError]:
    """Lay down which processes there are, and in which namespaces."""
    real = vantage._namespaces(OWN)
    found: dict[int, tuple[int, int] | OSError] = {OWN: real}

    def namespaces(pid: int) -> tuple[int, int]:
        answer = found[pid]
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(vantage, "_namespaces", namespaces)
    monkeypatch.setattr(procfs, "pids", lambda: list(found))
    return found


def test_our_own_view_comes_first(seen: dict[int, tuple[int, int] | OSError]) -> None:
    with child() as pid:
        seen[pid] = seen[OWN]
        panorama = vantage.survey((), None)
    (own,) = panorama.vantages
    assert (panorama.own, panorama.failures) == (netns.own_inode(), ())
    assert (own.netns, own.source) == (netns.own_inode(), "/etc/resolv.conf")
    assert panorama.processes == {netns.own_inode(): [OWN, OWN, pid]}


def test_a_foreign_view_is_named_by_its_program_or_its_workload_never_by_a_pid(
    seen: dict[int, tuple[int, int] | OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "of_process", lambda _pid: None)
    with child() as pid:
        seen[pid] = FOREIGN
        name = procfs.read(pid, "comm").decode().strip()
        assert [view.source for view in vantage.survey((), None).vantages[1:]] == [
            f"/etc/resolv.conf of process {name}"
        ]
        monkeypatch.setattr(cgroup, "of_process", lambda _pid: cgroup.workload_of("/system.slice/objectos.service"))
        sources = [view.source for view in vantage.survey((), None).vantages[1:]]
        assert sources == ["/etc/resolv.conf of unit objectos.service"]


def test_a_process_that_hides_is_a_gap_and_one_that_vanished_is_none(
    seen: dict[int, tuple[int, int] | OSError],
) -> None:
    with child() as pid:
        seen[pid] = DENIED
        (failure,) = vantage.survey((), None).failures
        assert failure.startswith(f"may not see the namespaces of a process: process {pid} ")
    seen[pid] = ProcessLookupError()
    assert vantage.survey((), None).failures == ()
    seen[pid] = FOREIGN
    assert len(vantage.survey((), None).vantages) == 1


def test_a_resolv_conf_that_cannot_be_read_is_a_gap(
    seen: dict[int, tuple[int, int] | OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vantage, "ProcessRoot", lambda _pid: Tree({"/etc/resolv.conf": DENIED}))
    with child() as pid:
        seen[pid] = FOREIGN
        panorama = vantage.survey((), None)
    assert len(panorama.vantages) == 1
    (failure,) = panorama.failures
    assert failure.startswith("may not read /etc/resolv.conf of a process (Permission denied): ")


def test_views_for_which_there_is_no_time_are_a_gap(seen: dict[int, tuple[int, int] | OSError]) -> None:
    assert seen
    panorama = vantage.survey((), 0.0)
    assert panorama.vantages == ()
    assert "had no time left" in panorama.failures[0]


def test_a_missing_resolv_conf_means_what_libc_does_without_one(
    seen: dict[int, tuple[int, int] | OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen
    monkeypatch.setattr(vantage, "FolderRoot", lambda _folder: Tree())
    (view,) = vantage.survey((), None).vantages
    assert [address for address, _ in view.conf.nameservers] == [resolv_conf.DEFAULT]
    assert view.sources.names == ("files", "dns")


def test_a_kernel_thread_with_mounts_of_its_own_looks_nothing_up(
    seen: dict[int, tuple[int, int] | OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    with child() as pid:
        seen[pid] = FOREIGN
        assert len(vantage.survey((), None).vantages) == 2
        monkeypatch.setattr(procfs, "is_kernel_thread", lambda _pid: True)
        assert len(vantage.survey((), None).vantages) == 1


def test_elsewhere_than_on_linux_only_our_own_view_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    panorama = vantage.survey((), None)
    assert (len(panorama.vantages), len(panorama.failures), panorama.processes) == (1, 1, {})


def test_nsswitch_is_read_for_us_and_for_runtimes(
    seen: dict[int, tuple[int, int] | OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, str | OSError] = {"/etc/nsswitch.conf": "hosts: dns"}
    for kind in ("ProcessRoot", "AdministratorsRoot", "FolderRoot"):
        monkeypatch.setattr(vantage, kind, lambda _where: Tree(files))
    with child() as pid:
        seen[pid] = (7, 8)
        assert [(view.standing, view.sources.names) for view in vantage.survey((), None).vantages] == [
            ("own", ("dns",)),
            ("other", ("files", "dns")),
        ]
        panorama = vantage.survey((pid,), None)
        assert [(view.standing, view.sources.names) for view in panorama.vantages] == [
            ("own", ("dns",)),
            ("runtime", ("dns",)),
        ]
        assert (panorama.hosts_runtime, panorama.disbelieved) == (False, ())
        files["/etc/nsswitch.conf"] = DENIED
        panorama = vantage.survey((), None)
    (failure,) = panorama.failures
    assert failure == "may not read /etc/nsswitch.conf (Permission denied) where this is read: /etc/resolv.conf"
    assert panorama.vantages[0].sources.names == ("files", "dns")


def test_a_runtime_among_us_is_known_and_one_that_vanished_is_not_missed(
    seen: dict[int, tuple[int, int] | OSError],
) -> None:
    with child() as pid:
        seen[pid] = seen[OWN]
        panorama = vantage.survey((pid,), None)
    assert (len(panorama.vantages), panorama.hosts_runtime) == (1, True)
    del seen[pid]
    panorama = vantage.survey((pid,), None)
    assert (len(panorama.vantages), panorama.hosts_runtime, panorama.failures) == (1, False, ())


@pytest.mark.parametrize("whose", ["user", "mnt"])
def test_a_runtime_in_namespaces_that_a_user_made_only_tells_its_name_servers(
    seen: dict[int, tuple[int, int] | OSError], monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(cgroup, "of_process", lambda _pid: None)
    monkeypatch.setattr(root, "is_made_by_root", lambda _pid, kind: kind != whose)
    with child() as pid:
        seen[pid] = FOREIGN
        panorama = vantage.survey((pid,), None)
        name = procfs.read(pid, "comm").decode().strip()
    assert [view.standing for view in panorama.vantages] == ["own", "other"]
    assert (panorama.disbelieved, panorama.failures) == ((f"process {name}",), ())


def test_our_own_namespaces_are_not_a_strangers() -> None:
    assert root.is_made_by_root(OWN, "user")
    assert root.is_made_by_root(OWN, "mnt")
    with pytest.raises(FileNotFoundError):
        root.is_made_by_root(1 << 22, "mnt")


def test_a_proc_that_does_not_know_us_is_said_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(os, "readlink", absent)
    panorama = vantage.survey((), None)
    assert panorama.vantages == ()
    assert panorama.failures == ("/proc does not show our own process (No such file or directory): is it mounted?",)
