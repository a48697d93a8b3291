"""The kernel readers against the kernel: each test plays a scene of `kernel_scenes` in namespaces of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 60


def play(scene: str) -> dict[str, Any]:
    argv = ["unshare", "-nmpf", "--kill-child", "--mount-proc", sys.executable, "-m", "tests.live.kernel_scenes", scene]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def elsewhere(scene: dict[str, Any]) -> dict[str, Any]:
    """Return the one namespace that the scene made."""
    (_, made) = sorted(scene["found"], key=lambda namespace: 1 not in namespace["pids"])
    assert isinstance(made, dict)
    return made


def test_the_tables_are_those_of_ss_and_of_proc() -> None:
    scene = play("the_same_as_ss")
    assert scene["only ours"] == scene["only ss"] == scene["changed meanwhile"] == scene["otherwise in /proc"] == []
    assert set(scene["states"]) >= {
        "ESTAB", "SYN-SENT", "TIME-WAIT", "UNCONN", "LISTEN", "CLOSE-WAIT", "FIN-WAIT-2",
    }  # fmt: skip
    assert scene["sockets"] >= 30


def test_a_namespace_that_only_a_socket_holds_is_found_with_its_holder() -> None:
    scene = play("held_by_a_socket_only")
    made = elsewhere(scene)
    assert made["holder"] == "socket"
    assert made["pids"] == [scene["child"]]
    assert made["listeners"] == {"7777": scene["child"]}
    assert made["raw"] == {"112": scene["child"]}


def test_a_namespace_that_only_a_descriptor_holds_is_found() -> None:
    made = elsewhere(play("held_by_a_descriptor_only"))
    assert (made["holder"], made["pids"]) == ("process", [])


def test_a_socket_that_only_a_thread_has_open_cannot_hide() -> None:
    scene = play("held_by_a_thread_with_files_of_its_own")
    made = elsewhere(scene)
    assert (made["holder"], made["pids"]) == ("socket", [scene["child"]])
    assert made["listeners"] == {"7777": scene["child"]}


def test_a_namespace_that_only_a_thread_is_in_is_found() -> None:
    scene = play("held_by_a_thread_only")
    made = elsewhere(scene)
    assert (made["holder"], made["pids"]) == ("process", [scene["child"]])


def test_a_process_whose_first_thread_has_ended_cannot_hide() -> None:
    scene = play("whose_first_thread_has_ended")
    made = elsewhere(scene)
    assert (made["holder"], made["pids"]) == ("process", [scene["child"]])
    assert made["listeners"] == {"8888": scene["child"]}


def test_a_namespace_that_only_a_mount_holds_is_found() -> None:
    made = elsewhere(play("held_by_a_mount_only"))
    assert (made["holder"], made["pids"]) == ("mount", [])


def test_a_namespace_whose_mount_is_covered_is_a_gap() -> None:
    scene = play("held_by_a_mount_below_another")
    hidden = elsewhere(scene)["inode"]
    assert len(scene["left"]) == 1
    why = "something else is mounted over it"
    assert scene["failures"] == [f"could not join a network namespace: net:[{hidden}] ({why})"]


def test_an_address_that_a_user_gave_himself_stays_what_it_is_for_everybody_else() -> None:
    scene = play("made_by_somebody")
    namespaces = {tuple(namespace["pids"]): namespace for namespace in scene["found"]}
    assert namespaces[scene["somebody"],]["maker"] == 65534
    assert namespaces[scene["container"],]["maker"] == 0
    scopes = {(record["netns"], record["remote"]): record["scope"] for record in scene["connections"]}
    host = next(namespace["inode"] for namespace in scene["found"] if 1 in namespace["pids"])
    somebodys = namespaces[scene["somebody"],]["inode"]
    assert scopes == {
        (host, "10.66.0.9 443"): "private",
        (host, "10.66.0.77 53"): "host",
        (somebodys, "10.66.0.9 53"): "own",
    }


def test_sockets_that_can_send_anything_are_found_with_their_process() -> None:
    scene = play("everything_raw")
    seen = {(record["protocol"], record["state"], record["remote"]) for record in scene["connections"]}
    assert seen == {
        ("raw", "proto 112", "0.0.0.0 None"),
        ("raw", "proto 58", ":: None"),
        ("raw", "proto 89", "10.66.0.9 None"),
        ("packet", "ethertype 0x0003", "None None"),
        ("icmp", "proto 1", "0.0.0.0 None"),
    }
    assert {(record["pid"], record["direction"]) for record in scene["connections"]} == {(scene["me"], "unknown")}


def test_udp_lite_and_multipath_tcp_do_not_escape() -> None:
    scene = play("other_protocols")
    seen = {(record["protocol"], record["remote"], record["pid"]) for record in scene["connections"]}
    expected = {
        "udplite": ("udp", "10.66.0.9 53", scene["me"]),
        "mptcp": ("tcp", "10.66.0.9 8443", scene["me"]),
    }
    assert seen == {expected[name] for name in scene["opened"]}


def test_who_called_whom_is_told_from_the_kernels_tables() -> None:
    seen = {
        (record["protocol"], record["direction"], record["remote"], record["scope"])
        for record in play("directions")["connections"]
    }
    assert seen == {
        ("tcp", "inbound", "10.66.0.1 None", "own"),
        ("tcp", "outbound", "10.66.0.1 50443", "own"),
        ("tcp", "outbound", "10.66.0.1 2222", "own"),
        ("udp", "outbound", "10.66.0.255 9", "broadcast"),
        ("udp", "inbound", "10.66.0.9 None", "private"),
    }


def test_an_unprivileged_look_says_what_it_could_not_see() -> None:
    scene = play("without_rights")
    assert scene["status"] == "partial"
    # Both children are somebody else's.
    assert "may not see the network namespace of a process: 2 times, first process " in scene["reason"]
    assert "may not read the open files of a process: " in scene["reason"]
    assert scene["listeners"] == [[9999, None]]
    assert scene["namespaces"] == 1


def test_processes_that_are_hidden_are_a_gap() -> None:
    assert (
        "the processes of other users are hidden from us (hidepid of /proc)"
        in play("with_hidden_processes")["failures"]
    )


def test_a_cgroup_names_the_unit_with_and_without_the_process() -> None:
    scene = play("in_a_cgroup")
    assert scene["by cgroup"] == [scene["unit"]]
    assert [record["workload"] for record in scene["by process"]] == [scene["unit"]]


def test_looking_into_other_namespaces_leaves_nothing_behind() -> None:
    scene = play("nothing_open_afterwards")
    assert scene["after"] == scene["before"]
    assert not scene["moved"]
    assert scene["threads"] == 1
