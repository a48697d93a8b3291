from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from airgap_check.evidence.fact import GONE, Process, Workload
from airgap_check.kernel import cgroup, cgroup2, netns, netns_cookie, procfs, rtnetlink
from airgap_check.observers import surroundings
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch
from airgap_check.observers.program import Clue

if TYPE_CHECKING:
    from collections.abc import Iterator

MAPPED = bytes(10) + b"\xff\xff"
HERE = netns.own_inode()
COOKIE = 70_000


@pytest.fixture(autouse=True)
def a_small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be our own network namespace only: the machine's others are none of our business."""
    monkeypatch.setattr(netns, "discover", lambda: ([netns.Namespace(HERE, "process", (os.getpid(),))], ["a failure"]))
    monkeypatch.setattr(netns_cookie, "read", lambda: COOKIE)


def epoch() -> Epoch:
    return Epoch(
        datetime.now(UTC), time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )


@pytest.fixture
def identity() -> Iterator[Identity]:
    made = Identity(epoch())
    yield made
    made.close()


def own_start() -> int:
    """Return our start in nanoseconds, somewhere inside the tick that /proc knows."""
    return int(procfs.read(os.getpid(), "stat").rpartition(b")")[2].split()[19]) * 10_000_000 + 1_234_567


def test_a_process_that_lives_is_described(identity: Identity) -> None:
    assert identity.process(os.getpid(), own_start(), Clue(command=b"x"), 0) == procfs.describe(os.getpid())


def test_another_process_of_the_same_number_is_not_asked(identity: Identity) -> None:
    before = own_start() - 20_000_000
    process = identity.process(os.getpid(), before, Clue(command=b"cu\x1brl"), os.getuid())
    assert process == Process(
        pid=os.getpid(),
        started=identity._epoch.at_boottime(before),
        name="curl",
        user=procfs.user_name(os.getuid()),
    )


def test_a_process_that_had_started_before_it_was_seen_is_the_same(identity: Identity) -> None:
    process = identity.process(os.getpid(), 0, Clue(command=b"x"), 0, at=time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    assert process == procfs.describe(os.getpid())


def test_a_process_that_started_after_it_was_seen_is_another(identity: Identity) -> None:
    offset = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    process = identity.process(os.getpid(), 0, Clue(command=b"x"), 0, at=own_start() - offset - 20_000_000)
    assert process is not None
    assert (process.name, process.executable, process.started) == ("x", None, None)


def test_a_process_without_any_time_is_not_asked(identity: Identity) -> None:
    process = identity.process(os.getpid(), 0, Clue(command=b"x"), 0)
    assert process is not None
    assert process.executable is None


def test_pid_0_is_nobody(identity: Identity) -> None:
    assert identity.process(0, 5, Clue(command=b"x"), 0) is None


def test_a_process_that_has_gone_is_remembered(identity: Identity) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        start = int(procfs.read(child.pid, "stat").rpartition(b")")[2].split()[19]) * 10_000_000
        before = identity.process(child.pid, start, Clue(command=b"python"), 0)
    finally:
        child.communicate(b"\n")
    assert before is not None
    assert identity.process(child.pid, start, Clue(command=b"python"), 0) == before


def test_the_memory_for_processes_is_bounded(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.identity._PROCESSES", 3)
    for number in range(10):
        identity.process(1 << 30, number, Clue(command=b"x"), 0)
    assert len(identity._processes) == 3


def paths(monkeypatch: pytest.MonkeyPatch, known: dict[int, str], otherwise: int = errno.ESTALE) -> None:
    def path_of(_: int, number: int) -> str:
        if number not in known:
            raise OSError(otherwise, os.strerror(otherwise))
        return known[number]

    monkeypatch.setattr(cgroup2, "path_of", path_of)


def test_a_cgroup_is_asked_for_by_its_id(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {1: "/", 9: "/system.slice/made.service"}
    paths(monkeypatch, known)
    assert identity.workload(1) is None
    unit = Workload(kind="unit", id="made.service", name="made.service")
    assert identity.workload(9) == unit
    del known[9]
    assert identity.workload(9) == unit, "it has gone, but was asked for before"
    assert identity.workload(10) == GONE
    known[10] = "/late.service"
    assert identity.workload(10) == Workload(kind="unit", id="late.service", name="late.service")


def test_without_the_right_to_ask_the_hierarchy_is_walked_now_and_then(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks = []

    def walk() -> list[tuple[int, str]]:
        walks.append(1)
        return [(9, "/made.service")]

    monkeypatch.setattr(cgroup, "_directories", walk)
    paths(monkeypatch, {}, errno.EPERM)
    assert identity.workload(9) == Workload(kind="unit", id="made.service", name="made.service")
    assert [identity.workload(number) for number in (10, 11, 12)] == [GONE, GONE, GONE]
    assert len(walks) == 1
    identity._next_walk = 0.0
    identity.workload(10)
    assert len(walks) == 2


def test_who_has_left_a_cgroup_that_went_is_known_by_where_he_is_now(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Workload(kind="unit", id="made.service", name="made.service")
    paths(monkeypatch, {9: "/other.service"})
    monkeypatch.setattr(cgroup, "of_process", lambda _: unit)
    us = os.getpid(), own_start()
    assert identity.workload_of(10, *us) == unit
    assert identity.workload_of(9, *us) == Workload(kind="unit", id="other.service", name="other.service")
    assert identity.workload_of(10, os.getpid(), own_start() - 20_000_000) == GONE, "another process of the same number"
    assert identity.workload_of(10, 0, 0) == GONE
    monkeypatch.setattr(cgroup, "of_process", lambda _: None)
    assert identity.workload_of(10, *us) == GONE, "nobody but root moves a process into the root cgroup"


def test_a_process_that_became_another_program_is_named_by_what_it_was(identity: Identity) -> None:
    file = os.stat("/proc/self/exe")
    was = Clue(os.getpid(), b"was", file.st_ino + 1, file.st_dev)
    process = identity.process(os.getpid(), own_start(), was, 0)
    assert process is not None
    assert (process.name, process.executable, process.command) == ("was", None, None)
    same = identity.process(os.getpid(), own_start(), was._replace(inode=file.st_ino), 0)
    assert same == procfs.describe(os.getpid())


def test_a_program_that_was_met_is_known_when_its_process_has_gone(identity: Identity) -> None:
    file = os.stat("/proc/self/exe")
    clue = Clue(os.getpid(), b"python", file.st_ino, file.st_dev)
    met = identity.process(os.getpid(), own_start(), clue, 0)
    gone = identity.process(1 << 30, 5, clue, 0)
    assert met is not None
    assert gone is not None
    assert gone.executable == met.executable is not None


def test_where_nothing_tells_the_program_none_is_named(identity: Identity) -> None:
    process = identity.process(os.getpid(), own_start(), Clue(os.getpid()), 0)
    described = procfs.describe(os.getpid())
    assert process is not None
    assert described is not None
    assert (process.name, process.executable, process.command) == (described.name, None, None)


def test_a_namespace_is_looked_for_with_who_was_seen_in_it(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "discover", lambda: pytest.fail("there was no need to look at all of them"))
    monkeypatch.setattr(netns_cookie, "read", lambda: 5)
    assert identity.namespace(5, os.getpid()) == HERE


def test_a_namespace_is_looked_for_in_the_cgroup_when_its_process_has_gone(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netns, "discover", lambda: pytest.fail("there was no need to look at all of them"))
    monkeypatch.setattr(netns_cookie, "read", lambda: 5)
    monkeypatch.setattr(cgroup2, "pids_of", lambda _, number: [1 << 30, os.getpid()] if number == 9 else [])
    assert identity.namespace(5, 1 << 30, 9) == HERE


def test_a_namespace_is_known_by_its_cookie(identity: Identity) -> None:
    assert identity.namespace(COOKIE) == HERE
    assert identity.namespace(0) == 0
    assert identity.failures() == ["a failure"]


def test_an_unknown_namespace_is_looked_for_once(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look() -> tuple[list[netns.Namespace], list[str]]:
        looks.append(1)
        return [], []

    monkeypatch.setattr(netns, "discover", look)
    assert [identity.namespace(5), identity.namespace(5)] == [0, 0]
    assert len(looks) == 1
    assert identity.namespace(COOKIE) == HERE, "its cookie comes to mean nothing else"


def test_looking_stops_when_its_time_is_used_up(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def slowly() -> tuple[list[netns.Namespace], list[str]]:
        looks.append(1)
        identity._surroundings._credit -= 1.0  # as a second of looking would
        return [], []

    monkeypatch.setattr(netns, "discover", slowly)
    for cookie in range(100, 110):
        identity.namespace(cookie)
    assert len(looks) == 1


def test_a_new_namespace_is_looked_into_again_for_what_was_seen_later(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = addresses("10.9.0.1/24")
    monkeypatch.setattr(rtnetlink, "addresses", lambda: present)
    monkeypatch.setattr(netns_cookie, "read", lambda: 5)
    us = os.getpid()
    assert identity.namespace(5, us) == HERE
    present += addresses("10.9.0.2/24")
    before = time.monotonic_ns()
    assert identity.namespace(5, us, at=before) == HERE
    assert identity.end(HERE, MAPPED + bytes((10, 9, 0, 2)), 53).scope == "own"
    present += addresses("10.9.0.3/24")
    assert identity.namespace(5, us, at=before) == HERE
    assert identity.end(HERE, MAPPED + bytes((10, 9, 0, 3)), 53).scope == "private", "what was seen is older"
    assert identity.namespace(5, 1 << 30, at=time.monotonic_ns()) == 0, "it has gone, and nobody knows its addresses"


def test_a_namespace_that_has_its_addresses_is_not_looked_into_for_everything_seen(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netns, "inside", lambda *_: pytest.fail("there was no need to look"))
    assert identity.namespace(COOKIE, 1 << 30, at=time.monotonic_ns()) == HERE


def addresses(*texts: str) -> list[rtnetlink.InterfaceAddress]:
    import ipaddress

    parsed = [ipaddress.ip_interface(text) for text in texts]
    return [rtnetlink.InterfaceAddress(one.ip.packed, one.network.prefixlen, None) for one in parsed]


def test_an_end_is_judged_from_where_the_attempt_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rtnetlink, "addresses", lambda: addresses("10.9.0.1/24", "fd09::1/64"))
    monkeypatch.setattr(netns, "maker", lambda: 0)
    identity = Identity(epoch())
    identity.close()
    ends = {
        (inode, address): identity.end(inode, MAPPED + bytes(map(int, address.split("."))), 53).scope
        for inode in (HERE, 0)
        for address in ("10.9.0.1", "10.9.0.255", "10.9.0.7", "127.0.0.1", "8.8.8.8")
    }
    assert ends == {
        (HERE, "10.9.0.1"): "own",
        (HERE, "10.9.0.255"): "broadcast",
        (HERE, "10.9.0.7"): "private",
        (HERE, "127.0.0.1"): "loopback",
        (HERE, "8.8.8.8"): "public",
        (0, "10.9.0.1"): "host",
        (0, "10.9.0.255"): "private",
        (0, "10.9.0.7"): "private",
        (0, "127.0.0.1"): "loopback",
        (0, "8.8.8.8"): "public",
    }
    broadcast = MAPPED + bytes((10, 9, 0, 255))
    assert identity.end(HERE, broadcast, 53, datagram=False).scope == "private"
    assert identity.end(HERE, broadcast, 53).address == "10.9.0.255"


def test_an_address_that_appears_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    present = addresses("10.9.0.1/24")
    monkeypatch.setattr(rtnetlink, "addresses", lambda: present)
    monkeypatch.setattr(surroundings, "_PAUSE", 0.0)
    made = surroundings.Surroundings()
    present += addresses("10.9.0.2/24")
    assert made.peer(HERE, bytes((10, 9, 0, 2))).scope == "own"


def test_the_memory_for_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_ADDRESSES", 10)
    made = surroundings.Surroundings()
    for number in range(100):
        made.peer(HERE, bytes((192, 0, 2, number)))
    assert len(made._peers_of(HERE)) <= 10


def test_a_namespace_that_may_not_be_joined_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(netns, "inside", refuse)
    assert surroundings.Surroundings().failures() == [
        "a failure",
        f"could not look into a network namespace: net:[{HERE}] (Operation not permitted)",
    ]


def test_a_kernel_without_cookies_still_has_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    monkeypatch.setattr(netns_cookie, "read", refuse)
    monkeypatch.setattr(rtnetlink, "addresses", lambda: addresses("10.9.0.1/24"))
    made = surroundings.Surroundings()
    assert made.inode(COOKIE) == 0
    assert made.peer(HERE, bytes((10, 9, 0, 1))).scope == "own"
