"""The observer of attempts against the kernel: each test plays a scene of `attempts_scenes` in its own namespaces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence.fact import GONE
from tests.live.lab import _new_cgroup, _remove_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 60
OWN_PIDS = ("unshare", "-nmpf", "--kill-child", "--mount-proc")
HOST_PIDS = ("unshare", "-nm")
EXPECTED = {
    "tcp 203.0.113.1 443": 3,
    "tcp 203.0.113.65 443": 1,
    "tcp 203.0.113.129 443": 1,
    "tcp 2001:db8::1 443": 1,
    "tcp 203.0.113.2 443": 1,
    "udp 203.0.113.3 53": 2,
    "udp 203.0.113.4 99": 2,
    "icmp 203.0.113.5 None": 2,
    "icmp 203.0.113.6 None": 1,
    "icmp 203.0.113.7 None": 1,
    "icmp 2001:db8::7 None": 1,
    "udp 203.0.113.8 53": 1,
    "raw 203.0.113.9 None": 1,
    "udp 2001:db8::8 53": 1,
}


def play(scene: str, *arguments: str, way: tuple[str, ...] = OWN_PIDS) -> dict[str, Any]:
    argv = [*way, sys.executable, "-m", "tests.live.attempts_scenes", scene, *arguments]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("way", [OWN_PIDS, HOST_PIDS], ids=["own pids", "host pids"])
def test_every_way_to_reach_out_is_one_fact_with_its_count_and_owner(way: tuple[str, ...]) -> None:
    scene = play("everything", way=way)
    records, actor = scene["records"], scene["actor"]
    assert {record["to"]: record["count"] for record in records} == EXPECTED
    assert len(records) == len(EXPECTED)
    assert {record["pid"] for record in records} == {actor["pid"]}
    assert {record["netns"] for record in records} == {actor["netns"]}
    assert {record["workload"] for record in records} == {"made.service"}
    assert {(record["how"], record["user"], record["scope"]) for record in records} == {
        ("outbound attempt", "root", "documentation")
    }
    assert all("python" in record["executable"] for record in records)
    assert all(record["age"] >= 0 for record in records)
    assert any(record["age"] > 0 for record in records)
    assert (scene["lost"], scene["counts"]["distinct"], scene["counts"]["own"]) == (0, len(EXPECTED), 0)
    # The UDP socket that connects is told twice: when it connects, and when it has sent.
    assert (scene["fresh"], scene["again"]) == (len(EXPECTED) + 1, 0)


def test_a_sub_tree_is_named_and_never_said_to_be_everything() -> None:
    scene = play("everything")
    assert (scene["status"], scene["reason"]) == ("complete", "")
    assert scene["scope"].startswith("the attempts of the processes below /")
    assert "sockets that were made before their process came into the observed cgroup" in scene["blind"]


@pytest.mark.parametrize("way", [OWN_PIDS, HOST_PIDS], ids=["own pids", "host pids"])
def test_what_packet_sockets_send_is_seen_below_ip(way: tuple[str, ...]) -> None:
    scene = play("frames", way=way)
    assert {(record["to"], record["scope"], record["count"]) for record in scene["records"]} == {
        ("packet 203.0.113.10 53", "documentation", 2),
        ("packet 2001:db8::10 53", "documentation", 1),
        ("packet None 2054", "unspecified", 1),
        ("packet 203.0.113.11 None", "documentation", 1),
    }
    assert {(record["pid"], record["netns"], record["workload"]) for record in scene["records"]} == {
        (scene["actor"]["pid"], scene["actor"]["netns"], "made.service")
    }


def test_what_stays_on_the_host_is_counted_and_not_reported() -> None:
    scene = play("here")
    assert scene["records"] == []
    # Loopback never leaves the kernel's own table; the addresses of the namespace are dropped by us.
    assert scene["counts"]["own"] == scene["counts"]["events"] == 4


def test_an_answer_is_told_from_a_question() -> None:
    scene = play("replies")
    assert scene["records"] == []  # all of it between addresses of the namespace
    assert (scene["counts"]["own"], scene["counts"]["replies"]) == (2, 1)


def test_what_is_approved_is_counted_by_entry_and_workload_only() -> None:
    scene = play("approved")
    assert {record["to"]: record["count"] for record in scene["records"]} == {
        "tcp 203.0.113.1 444": 1,
        "udp 203.0.113.8 53": 1,
        "packet 203.0.113.8 53": 1,
        "packet 203.0.113.8 None": 1,
    }
    assert sorted(scene["uses"]) == [
        ["database", "made.service", 6],
        ["pings", "made.service", 1],
        ["replica", "made.service", 6],
    ]
    assert scene["counts"]["approved"] == 7


def test_what_had_gone_before_it_was_read_is_seen_all_the_same() -> None:
    scene = play("gone")
    (record,) = scene["records"]
    assert record["to"] == "tcp 203.0.113.1 443"
    assert (record["pid"], record["executable"]) == (scene["actor"]["pid"], None)
    assert record["name"].startswith("python")
    assert (record["netns"], record["workload"]) == (0, GONE.id)


def test_who_comes_back_from_a_cgroup_that_went_is_of_his_unit() -> None:
    (record,) = play("moved")["records"]
    assert (record["to"], record["workload"]) == ("tcp 203.0.113.1 443", "made.service")


def test_the_program_that_it_became_is_not_the_one_that_attempted() -> None:
    (record,) = play("became")["records"]
    assert record["to"] == "tcp 203.0.113.1 443"
    assert record["name"].startswith("python")
    assert record["executable"] is None


def test_the_self_test_of_another_run_is_no_finding() -> None:
    scene = play("anothers_test")
    assert [record["to"] for record in scene["records"]] == ["tcp 203.0.113.2 443"]
    assert scene["counts"]["self_test"] == 1


def test_our_own_trials_are_kept_apart() -> None:
    scene = play("aside")
    assert [record["to"] for record in scene["records"]] == ["tcp 203.0.113.2 443"]
    assert scene["aside"] == [["00000000000000000000ffffcb007101", scene["actor"]["pid"]]]


def test_what_the_tool_itself_asks_is_no_finding() -> None:
    scene = play("ourselves")
    assert scene["records"] == []
    assert scene["counts"]["self"] == scene["counts"]["events"] == 1


def test_what_exceeds_the_memory_is_lost_and_said() -> None:
    scene = play("flood")
    assert len(scene["records"]) == 500
    assert scene["lost"] == 1500
    assert "1500 attempts were lost: more than 500 different ones" in scene["reason"]


@pytest.mark.parametrize("way", [OWN_PIDS, HOST_PIDS], ids=["own pids", "host pids"])
def test_a_raw_socket_of_before_is_somebodys(way: tuple[str, ...]) -> None:
    scene = play("made_before", way=way)
    assert [(record["to"], record["pid"]) for record in scene["records"]] == [
        ("icmp 203.0.113.7 None", scene["actor"]["pid"])
    ]
    assert [scene["actor"]["pid"], 3, 1] in scene["held"]
    assert {pid for pid, *_ in scene["held"]} == {scene["actor"]["pid"]}


def test_nothing_stays_attached_or_open() -> None:
    scene = play("leftovers")
    assert scene["attached"] == [1] * 6
    assert scene["after"] == [0] * 6
    assert scene["opened"] == 0


@pytest.fixture
def cgroup() -> Iterator[str]:
    made = _new_cgroup()
    yield str(made)
    _remove_cgroup(made)


@pytest.mark.parametrize(
    ("left", "missing"),
    [
        ("-bpf,-sys_admin", "CAP_BPF is missing"),
        ("-bpf,-net_admin,-sys_admin", "CAP_BPF and CAP_NET_ADMIN are missing"),
        ("-net_admin,-sys_admin", "CAP_NET_ADMIN is missing"),
    ],
)
def test_without_the_rights_one_line_says_which(cgroup: str, left: str, missing: str) -> None:
    scene = play("refused", cgroup, way=("setpriv", "--bounding-set", left))
    assert scene == {"why": f"attempts: may not load eBPF programs ({missing})", "opened": 0}


def test_in_a_user_namespace_one_line_says_so(cgroup: str) -> None:
    scene = play("refused", cgroup, way=("unshare", "--user", "--map-root-user"))
    why = "attempts: may not load eBPF programs in a user namespace (run it on the host, as root)"
    assert scene == {"why": why, "opened": 0}


def test_a_directory_that_is_no_cgroup_is_refused() -> None:
    why = play("refused", "/proc", way=("env",))["why"]
    assert why == "attempts: /proc is not a directory of the unified cgroup hierarchy (cgroup2)"


def test_inside_a_namespace_of_cgroups_the_root_is_not_the_root(cgroup: str) -> None:
    scene = play("in_a_cgroup_namespace", cgroup, way=HOST_PIDS)
    mounted, part, detached = scene["shown"]
    assert mounted[1:] == [True, "every process of this host"]
    assert cgroup == mounted[0] + scene["path"]
    assert part == ["/mnt", False, "the processes of our own cgroup namespace"]
    assert detached == ["", False, "the processes of our own cgroup namespace"]
    assert scene["same"]
