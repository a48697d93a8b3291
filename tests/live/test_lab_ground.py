from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live.lab import DATABASE, NOBODY, PUBLIC, SILENT, Lab


def _namespaces_in_use() -> set[int]:
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            inodes.add((process / "ns" / "net").stat().st_ino)
    return inodes


def test_the_laboratory_has_no_way_out(lab: Lab) -> None:
    for host in (lab.near, lab.far):
        links = host.check(["ip", "-brief", "link"]).splitlines()
        assert sorted(link.split()[0].split("@")[0] for link in links) == ["eth0", "lo"]
        assert host.path("/proc/1/ns/net").stat().st_ino != Path("/proc/self/ns/net").stat().st_ino
    assert lab.far.check(["cat", "/proc/sys/net/ipv4/ip_forward"]).strip() == "0"


def test_a_public_address_exists_only_in_the_far_host(lab: Lab) -> None:
    lab.serve(PUBLIC, 443)
    assert PUBLIC in lab.far.check(["ip", "address"])
    assert PUBLIC not in lab.near.check(["ip", "address"])
    assert PUBLIC not in Path("/proc/net/fib_trie").read_text()


def test_a_planted_connection_is_established_and_one_to_a_silent_address_is_not(lab: Lab) -> None:
    lab.serve(PUBLIC, 443)
    lab.near.plant("tcp", PUBLIC, 443, name="node")
    lab.near.plant("pending", SILENT, 443, name="curl")
    sockets = lab.near.check(["ss", "-Htanp"]).splitlines()
    assert [line.split()[0] for line in sockets if PUBLIC in line and '"node"' in line] == ["ESTAB"]
    assert [line.split()[0] for line in sockets if SILENT in line and '"curl"' in line] == ["SYN-SENT"]


def test_nothing_of_the_machine_shows_through(lab: Lab) -> None:
    assert lab.near.check(["ls", "-A", "/run"]).split() == ["lab"]
    assert lab.near.check(["find", "/etc", "/usr/lib/systemd", "-name", "*.service"]) == ""
    assert "nsfs" not in lab.near.check(["cat", "/proc/self/mountinfo"])
    assert len(lab.near.check(["ps", "-e", "--no-headers"]).splitlines()) == 2  # its first process, and ps


def test_a_workload_lives_in_a_cgroup_of_its_own(lab: Lab) -> None:
    running = lab.near.plant("idle", cgroup="objectos.service")
    assert lab.near.check(["cat", f"/proc/{running.pid}/cgroup"]).rstrip().endswith("/objectos.service")


def test_every_user_can_run_what_the_tests_run(lab: Lab) -> None:
    assert lab.near.check(["id", "-u"], user=NOBODY).strip() == str(NOBODY[0])
    running = lab.near.plant("idle", user=NOBODY)
    assert lab.near.path(f"/proc/{running.pid}").stat().st_uid == NOBODY[0]


def _break_in_the_middle(left: list[Lab]) -> None:
    with Lab() as lab:
        left.append(lab)
        lab.serve(DATABASE, 5432)
        lab.near.plant("tcp", DATABASE, 5432, cgroup="objectos.service")
        lab.near.run(["sh", "-c", "setsid sleep 600 & exec sleep 600"])
        left_behind = {os.stat(host.netns).st_ino for host in (lab.near, lab.far)}
        assert left_behind <= _namespaces_in_use()
        raise InterruptedError(left_behind)


def test_closing_the_laboratory_ends_what_ran_in_it_also_after_a_failure() -> None:
    left: list[Lab] = []
    with pytest.raises(InterruptedError) as error:
        _break_in_the_middle(left)
    assert not left[0].cgroup.exists()
    assert not error.value.args[0] & _namespaces_in_use()
