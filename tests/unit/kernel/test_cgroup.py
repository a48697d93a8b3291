from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airgap_check.evidence.fact import Workload
from airgap_check.kernel import cgroup, procfs

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef" * 4
SHORT = ID[:12]
POD = "8f0e7b6a-1c2d-4e3f-9a8b-7c6d5e4f3a2b"
POD_ = POD.replace("-", "_")


@pytest.mark.parametrize("path", ["", "/", "//", "/..", "/../.."])
def test_the_root_is_no_workload(path: str) -> None:
    assert cgroup.workload_of(path) is None


@pytest.mark.parametrize(
    ("path", "identifier"),
    [
        ("/system.slice/objectos.service", "objectos.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/init.scope", "init.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service",
            "user@1000.service/sync.service",
        ),
        (
            "/user.slice/user-1001.slice/user@1001.service/user@1000.service/objectos.service",
            "user@1001.service/user@1000.service/objectos.service",
        ),
        ("/system.slice/a.service/sub/objectos.service", "a.service/objectos.service"),
        (
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "user@1000.service",
        ),
        ("/system.slice/docker.socket", "docker.socket"),
        ("/system.slice/run-credentials.mount", "run-credentials.mount"),
        ("/system.slice/a.service/worker", "a.service"),
        ("/system.slice/a.service (deleted)", "a.service"),
        ("/../system.slice/a.service", "a.service"),
        (f"/machine.slice/libpod-conmon-{ID}.scope", f"libpod-conmon-{ID}.scope"),
        ("/machine.slice/machine-guest.scope/system.slice/objectos.service", "machine-guest.scope"),
    ],
)
def test_a_unit_is_named_with_all_that_it_stands_in(path: str, identifier: str) -> None:
    assert cgroup.workload_of(path) == Workload(kind="unit", id=identifier, name=identifier)


@pytest.mark.parametrize(
    "path",
    [
        f"/system.slice/docker-{ID}.scope",
        f"/docker/{ID}",
        f"/docker/{ID}/system.slice/objectos.service",
        f"/machine.slice/libpod-{ID}.scope",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/system.slice/containerd.service/default:cri-containerd:{ID}",
        f"/default/{ID}",
        f"/ecs/task/{ID}",
    ],
)
def test_a_container_is_named_by_the_first_twelve_digits(path: str) -> None:
    assert cgroup.workload_of(path) == Workload(kind="container", id=SHORT, name=SHORT)


@pytest.mark.parametrize(
    ("path", "identifier"),
    [
        (
            f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
            f"user@1000.service/{SHORT}",
        ),
        (
            f"/user.slice/user-1000.slice/user@1000.service/a.service/docker/{ID}",
            f"user@1000.service/{SHORT}",
        ),
        (f"/user@1000.service/{'f' * 64}/docker-{ID}.scope", f"user@1000.service/ffffffffffff/{SHORT}"),
        ("/user@1000.service/lxc.payload.web", "user@1000.service/web"),
        (f"/docker/{'f' * 64}/docker/{ID}", f"ffffffffffff/{SHORT}"),
        (f"/docker/{ID}/docker/{ID}", SHORT),
        (f"/machine.slice/machine-guest.scope/system.slice/docker-{ID}.scope", f"machine-guest.scope/{SHORT}"),
        (f"/machine.slice/systemd-nspawn@a.service/payload/docker/{ID}", f"systemd-nspawn@a.service/{SHORT}"),
    ],
)
def test_a_container_that_root_may_not_have_named_says_who_did(path: str, identifier: str) -> None:
    assert cgroup.workload_of(path) == Workload(kind="container", id=identifier, name=identifier)


@pytest.mark.parametrize(
    ("path", "pod"),
    [
        (f"/user.slice/user-1000.slice/user@1000.service/kubepods/pod{POD}/{ID}", f"user@1000.service/{POD}"),
        (f"/user.slice/user-1000.slice/user@1000.service/pod{POD}", f"user@1000.service/{POD}"),
        (f"/docker/{'f' * 64}/kubepods/pod{POD}/{ID}", f"ffffffffffff/{POD}"),
    ],
)
def test_a_pod_that_root_may_not_have_named_says_who_did(path: str, pod: str) -> None:
    workload = cgroup.workload_of(path)
    assert workload is not None
    assert workload.pod == pod


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_}.slice/cri-containerd-{ID}.scope",
        f"/kubepods.slice/kubepods-pod{POD_}.slice/crio-{ID}.scope",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD_}.slice/docker-{ID}.scope",
        f"/kubepods/burstable/pod{POD}/{ID}",
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD_}.slice/cri-containerd-{ID}.scope",
        f"/system.slice/containerd.service/kubepods-burstable-pod{POD_}.slice:cri-containerd:{ID}",
    ],
)
def test_a_container_of_a_pod_names_the_pod(path: str) -> None:
    assert cgroup.workload_of(path) == Workload(kind="container", id=SHORT, name=SHORT, pod=POD)


def test_the_uid_of_a_static_pod_has_no_hyphens() -> None:
    workload = cgroup.workload_of(f"/kubepods/pod{ID[:32]}/{ID}")
    assert workload is not None
    assert workload.pod == ID[:32]


def test_a_pod_without_a_container_is_a_bare_cgroup() -> None:
    path = f"/kubepods/burstable/pod{POD}"
    assert cgroup.workload_of(path) == Workload(kind="cgroup", id=path, name=path, pod=POD)


@pytest.mark.parametrize("part", ["podium", f"podpod{POD}x", "pod", f"mypod{POD}", f"pod{POD}0"])
def test_what_only_looks_like_a_pod_is_none(part: str) -> None:
    workload = cgroup.workload_of(f"/{part}")
    assert workload is not None
    assert workload.pod is None


def test_an_lxc_container_is_named_as_its_owner_named_it() -> None:
    expected = Workload(kind="container", id="web", name="web")
    assert cgroup.workload_of("/lxc.payload.web/system.slice/objectos.service") == expected


@pytest.mark.parametrize("path", ["/system.slice", "/batch/job 7", f"/docker/{ID[:-1]}", f"/docker/{ID.upper()}"])
def test_anything_else_is_a_bare_cgroup(path: str) -> None:
    assert cgroup.workload_of(path) == Workload(kind="cgroup", id=path, name=path)


def test_a_hostile_name_cannot_write_to_the_terminal() -> None:
    workload = cgroup.workload_of("/system.slice/\x1b[31m\u202eevil.service")
    assert workload is not None
    assert workload.name.isprintable()
    assert "\u202e" not in workload.name


def test_the_unified_hierarchy_is_asked_before_systemds_and_the_others() -> None:
    text = "5:memory:/docker/a:b\n1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n"
    assert cgroup.paths(text) == ["/system.slice/b.service", "/system.slice/a.service", "/docker/a:b"]


def test_where_the_unified_hierarchy_is_empty_another_one_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"5:memory:/docker/{ID}\n1:name=systemd:/\n0::/\n".encode()
    monkeypatch.setattr(procfs, "read", lambda *_: text)
    assert cgroup.of_process(1) == Workload(kind="container", id=SHORT, name=SHORT)


def test_a_process_that_has_gone_has_no_workload() -> None:
    assert cgroup.of_process(1 << 30) is None


@pytest.fixture
def hierarchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories in place of cgroups: an id is the inode of a directory in both."""
    (tmp_path / "system.slice" / "a.service").mkdir(parents=True)
    device = tmp_path.stat().st_dev
    line = f"1 2 {os.major(device)}:{os.minor(device)} /outer {tmp_path} rw - cgroup2 cgroup2 rw\n"
    monkeypatch.setattr(procfs, "read", lambda *_: line.encode())
    return tmp_path


def test_a_cgroup_is_found_by_its_id(hierarchy: Path) -> None:
    cgroups = cgroup.Cgroups()
    number = (hierarchy / "system.slice" / "a.service").stat().st_ino
    assert cgroups.workload(number) == Workload(kind="unit", id="a.service", name="a.service")
    slice_ = cgroups.workload((hierarchy / "system.slice").stat().st_ino)
    assert slice_ is not None
    assert slice_.id == "/outer/system.slice"


def test_an_id_that_nobody_has_is_no_workload(hierarchy: Path) -> None:
    assert hierarchy.exists()
    assert cgroup.Cgroups().workload(3) is None


def test_something_mounted_over_the_hierarchy_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.service").mkdir()
    monkeypatch.setattr(procfs, "read", lambda *_: f"1 2 0:9999 / {tmp_path} rw - cgroup2 cgroup2 rw\n".encode())
    assert cgroup.Cgroups().workload((tmp_path / "a.service").stat().st_ino) is None


def test_without_mounts_there_are_no_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError

    monkeypatch.setattr(procfs, "read", refuse)
    assert cgroup.Cgroups().workload(7) is None
