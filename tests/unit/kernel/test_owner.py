from __future__ import annotations

import os

import pytest

from airgap_check.evidence.fact import Process, Workload
from airgap_check.kernel import cgroup, procfs
from airgap_check.kernel.cgroup import Cgroups
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.owner import Owners

ME = os.getpid()
UNIT = Workload(kind="unit", id="a.service", name="a.service")
OTHER = Workload(kind="unit", id="b.service", name="b.service")


@pytest.fixture
def workloads(monkeypatch: pytest.MonkeyPatch) -> dict[int, Workload | None]:
    known: dict[int, Workload | None] = {}
    monkeypatch.setattr(cgroup, "of_process", known.pop)
    return known


def owners() -> Owners:
    return Owners({5: ME}.get, Cgroups())


def test_a_socket_without_an_inode_has_no_holder() -> None:
    assert owners().pid(5) == ME
    assert owners().pid(0) is None
    assert owners().pid(6) is None


def test_a_process_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    describe = procfs.describe

    def counted(pid: int) -> Process | None:
        calls.append(pid)
        return describe(pid)

    monkeypatch.setattr(procfs, "describe", counted)
    who = owners()
    first, second = who.process(ME), who.process(ME)
    assert first is second
    assert first is not None
    assert first.pid == ME
    assert calls == [ME]


def test_a_process_that_vanished_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(procfs, "describe", calls.append)
    who = owners()
    assert who.process(7) is None
    assert who.process(7) is None
    assert calls == [7]


def test_a_namespace_of_one_workload_is_that_workload(workloads: dict[int, Workload | None]) -> None:
    workloads |= {2: UNIT, 3: UNIT}
    who = owners()
    assert who.workload_of_namespace(Namespace(9, "process", (2, 3))) == UNIT
    assert who.workload_of_namespace(Namespace(9, "process", (2, 3))) == UNIT


@pytest.mark.parametrize("second", [OTHER, None])
def test_a_namespace_of_several_workloads_is_nobodys(
    workloads: dict[int, Workload | None], second: Workload | None
) -> None:
    workloads |= {2: UNIT, 3: second}
    assert owners().workload_of_namespace(Namespace(9, "process", (2, 3))) is None


def test_a_namespace_without_processes_is_nobodys() -> None:
    assert owners().workload_of_namespace(Namespace(9, "mount")) is None


def test_no_cgroup_is_no_workload() -> None:
    assert owners().workload_of_cgroup(0) is None
