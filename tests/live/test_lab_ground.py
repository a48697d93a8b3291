from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.lab import DATABASE, NOBODY, PATH, PUBLIC, SILENT, Lab

if TYPE_CHECKING:
    import pytest


def test_the_laboratory_has_no_way_out(lab: Lab) -> None:
    for host in (lab.near, lab.far):
        links = host.check(["ip", "-brief", "link"]).split("\n")
        assert sorted(link.split("@")[0].split(" ")[0] for link in links if link) == ["eth0", "lo"]
        assert "any" not in host.check(["sysctl", "-n", "net.ipv4.ip_forward"])
    assert lab.far.check(["sysctl", "-n", "net.ipv4.ip_forward"]).strip() == "0"


def test_a_public_address_exists_only_in_the_far_host(lab: Lab) -> None:
    lab.serve(PUBLIC, 443)
    assert PUBLIC in lab.far.check(["ip", "address"])
    assert PUBLIC not in lab.near.check(["ip", "address"])
    assert PUBLIC not in Path("/proc/net/fib_trie").read_text()


def test_a_planted_connection_is_established_and_one_to_a_silent_address_is_not(lab: Lab) -> None:
    lab.serve(PUBLIC, 443)
    lab.near.plant("tcp", PUBLIC, 443, name="node")
    lab.near.plant("pending", SILENT, 443, name="curl")
    sockets = lab.near.check(["ss", "-Htanp"])
    assert [line.split()[0] for line in sockets.splitlines() if PUBLIC in line and '"node"' in line] == ["ESTAB"]
    assert [line.split()[0] for line in sockets.splitlines() if SILENT in line and '"curl"' in line] == ["SYN-SENT"]


def test_nothing_of_the_machine_shows_through(lab: Lab) -> None:
    machine = set(os.listdir("/proc/self/fd"))
    assert machine
    assert lab.near.check(["ls", "-A", "/run"]) == ""
    assert lab.near.check(["find", "/etc/systemd", "/usr/lib/systemd", "/usr/local/lib/systemd", "-name", "*.service"],
                          ) == ""  # fmt: skip


def test_a_workload_lives_in_a_cgroup_of_its_own(lab: Lab) -> None:
    running = lab.near.plant("idle", cgroup="objectos.service")
    assert lab.near.check(["cat", f"/proc/{running.pid}/cgroup"]).rstrip().endswith("/objectos.service")


def test_every_user_can_run_what_the_tests_run(lab: Lab) -> None:
    assert lab.near.check(["id", "-u"], user=NOBODY).strip() == str(NOBODY[0])
    running = lab.near.plant("idle", user=NOBODY)
    assert lab.near.path(f"/proc/{running.pid}").stat().st_uid == NOBODY[0]


def test_closing_the_laboratory_ends_what_ran_in_it_also_after_an_error() -> None:
    class Broken(Exception):
        pass

    folder = None
    try:
        with Lab() as lab:
            lab.serve(DATABASE, 5432)
            lab.near.plant("tcp", DATABASE, 5432, cgroup="objectos.service")
            lab.near.run(["sh", "-c", "setsid sleep 600 & sleep 600"])
            folder = lab.cgroup
            namespaces = {os.stat(host.netns).st_ino for host in (lab.near, lab.far)}
            raise Broken
    except Broken:
        pass
    assert folder is not None
    assert not folder.exists()
    alive = {os.stat(entry / "ns" / "net").st_ino for entry in Path("/proc").glob("[0-9]*") if (entry / "cmdline").read_bytes()}
    assert not namespaces & alive
