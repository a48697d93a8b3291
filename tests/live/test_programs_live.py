"""The programs that see connect(2) and sendto(2), in the kernel: each test plays a scene of `program_scenes`.

The observer runs in a pid namespace of its own, as an audit in a container does: pids are those of that namespace.
"""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from airgap_check.kernel.programs import event
from tests.live.attempts_generator import KINDS
from tests.live.twin import build

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 300
MANY, FEW = 10_000, 1_000
CONNECT, SEND = [event.CONNECT4, event.CONNECT6], [event.SENDMSG4, event.SENDMSG6]
FATES = {  # what the kernel says of every attempt, by kind
    "refused": errno.ECONNREFUSED,
    "closed at once": errno.EINPROGRESS,
    "dropped by the local firewall": errno.EINPROGRESS,
    "unanswered": errno.EINPROGRESS,
    "black hole": errno.EINVAL,
    "no route": errno.ENETUNREACH,
    "prohibited": errno.EACCES,
    "unreachable": errno.EHOSTUNREACH,
    "TCP over IPv6": errno.ECONNREFUSED,
    "TCP to a mapped address": errno.ECONNREFUSED,
    "UDP without a route": errno.ENETUNREACH,
    "UDP dropped by the local firewall": errno.EPERM,
    "Fast Open by sendto": errno.EINPROGRESS,
    "Fast Open by connect": errno.ECONNREFUSED,
    "MPTCP": errno.ECONNREFUSED,
    "a process for each": errno.ECONNREFUSED,
    "a thread for each": errno.ECONNREFUSED,
}


def play(scene: str, *arguments: str, own_pids: bool = True, module: str = "program_scenes") -> dict[str, Any]:
    unshare = ["unshare", "--mount", *(["--pid", "--mount-proc"] if own_pids else []), "--fork", "--kill-child"]
    argv = [*unshare, sys.executable, "-m", f"tests.live.{module}", scene, *arguments]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@cache
def every_kind(count: int, own_pids: bool) -> dict[str, Any]:  # noqa: FBT001 - a key of the cache
    return play("every_kind", str(count), own_pids=own_pids)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "own_pids"), [(MANY, True), (FEW, False)], ids=["own pids", "our pids"])
def test_every_attempt_is_seen_with_the_right_process(kind: str, count: int, own_pids: bool) -> None:  # noqa: FBT001
    seen = every_kind(count, own_pids)[kind]
    if kind == "MPTCP" and set(seen["errors"]) == {str(errno.EPROTONOSUPPORT)}:
        pytest.skip("this kernel has no MPTCP")
    assert seen["errors"] == ({str(FATES[kind]): count} if kind in FATES else {}), "the attempts met another fate"
    assert (seen["made"], seen["seen"], seen["right"]) == (count, count, count)
    assert (seen["other"], seen["elsewhere"], seen["twice"], seen["lost"]) == (0, 0, 0, 0)
    assert seen["starts"] == seen["makers"], "each process has one start, and its own"
    assert seen["missing"] == {}
    assert len(seen["hooks"]) == len(seen["protocols"]) == len(seen["commands"]) == 1
    sends = kind.startswith("UDP") and "connected" not in kind.replace("unconnected", "")
    assert seen["hooks"][0] in (SEND if sends else CONNECT)


def test_who_spoke_first_decides_what_is_a_reply() -> None:
    scene = play("conversation")
    assert scene["flags"] == {
        "198.18.1.2:7002": 0, "198.18.1.1:0": event.REPLY, "198.18.1.3:7003": 0, "2001:db8:1::6:7006": 0,
        "2001:db8:1::7:0": event.REPLY, "198.18.1.8:7008": 0,
    }  # fmt: skip
    # One socket answers 198.18.1.1 as IPv4, another as a mapped address; and one of IPv6 answers ::7.
    assert scene["times"] == {"0": [1, 1, 3], "7002": [3], "7003": [1], "7006": [1], "7008": [1]}


def test_the_answers_to_all_ports_of_a_client_are_one_event() -> None:
    scene = play("crowd", "2000")
    (answer, question) = scene["events"]
    assert answer == ["198.18.1.1", 0, event.REPLY, 7002]
    assert question[:3] == ["198.18.1.2", 7002, 0]
    assert scene["times"] == [[0, event.REPLY, 2000], [7002, 0, 2000]]


def test_the_local_port_of_the_first_is_told_and_a_dhcp_client_is_not_counted_with_others() -> None:
    scene = play("from_ports")
    sent, sent6, connected = event.SENDMSG4, event.SENDMSG6, event.CONNECT4
    assert scene["events"] == [
        [sent, "198.18.0.1", 68, event.FROM_DHCP_CLIENT], [sent, "198.18.0.1", 40001, 0],
        [sent6, "2001:db8:1::1", 40003, 0], [sent6, "2001:db8:1::1", 546, event.FROM_DHCP_CLIENT],
        [connected, "198.18.0.1", 68, event.FROM_DHCP_CLIENT], [connected, "198.18.0.2", 0, 0],
    ]  # fmt: skip
    assert sorted(scene["times"]) == sorted([
        [sent, "198.18.0.1", event.FROM_DHCP_CLIENT, 2], [sent, "198.18.0.1", 0, 6],
        [sent6, "2001:db8:1::1", 0, 2], [sent6, "2001:db8:1::1", event.FROM_DHCP_CLIENT, 2],
        [connected, "198.18.0.1", event.FROM_DHCP_CLIENT, 1], [connected, "198.18.0.2", 0, 1],
    ])  # fmt: skip


def test_only_what_leaves_the_host_is_said() -> None:
    assert play("stays_here")["seen"] == [
        "126.255.255.255", "128.0.0.0", "0.0.0.1", "::2", "128.0.0.1", "::7f00:1",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", ["1", "2", "3", "4"])
def test_the_kernel_decides_as_the_allowlist_does_and_counts_every_use(seed: str) -> None:
    scene = play("sifted", seed)
    assert scene["differences"] == []
    assert scene["same"]
    assert scene["same uses"]
    assert scene["uses"] > 1
    assert 0 < scene["refused"] < scene["tried"]


def test_a_flood_loses_nothing_uncounted_and_what_was_lost_is_said_when_it_comes_again() -> None:
    scene = play("flood", str(MANY))
    assert scene["taken"] + scene["lost"] == MANY
    assert 0 < scene["taken"] <= (1 << 16) // event.SIZE
    assert scene["said"] == 2000
    assert scene["rounds"] > 1


def test_nothing_stays_attached_when_the_observer_is_killed() -> None:
    scene = play("killed")
    assert scene["before"] == [1] * 6
    assert scene["after"] == [0] * 6


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_with_fewer_rights_less_is_said_or_nothing_at_all() -> None:
    assert play("with_rights", "bpf", "net_admin", "perfmon") == {"links": 6, "missing": {}}
    poorer = play("with_rights", "bpf", "net_admin")
    assert poorer["links"] == 6
    assert poorer["missing"].keys() == {"command", "started", "executable", "inner"}
    assert all("CAP_PERFMON" in reason for reason in poorer["missing"].values())
    assert play("with_rights", "net_raw") == {"error": errno.EPERM}
    assert play("with_rights", "bpf") == {"error": errno.EPERM}


@pytest.mark.parametrize("own_pids", [True, False], ids=["own pids", "our pids"])
@pytest.mark.parametrize("depth", ["1", "3"])
def test_a_process_of_an_inner_pid_namespace_has_the_pid_that_we_see(depth: str, own_pids: bool) -> None:  # noqa: FBT001
    walk = play("inner_namespace", depth, own_pids=own_pids, module="pid_scenes")["walk"]
    assert walk["missing"] == {}
    assert walk["seen"] == {"9": [walk["pid"], walk["pid"], True], "10": [walk["pid"], walk["other"], True]}
    assert walk["pid"] > 1, "inside it is 1"


def test_without_type_information_a_process_of_an_inner_pid_namespace_is_not_guessed() -> None:
    helper = play("inner_namespace", "1", module="pid_scenes")["helper"]
    assert helper["missing"] == {}
    assert helper["seen"] == {"9": [0, 0, True], "10": [0, 0, True]}


@pytest.mark.parametrize("own_pids", [True, False], ids=["own pids", "our pids"])
def test_the_kernel_takes_every_program_with_and_without_type_information(own_pids: bool) -> None:  # noqa: FBT001
    attached = play("poorer", own_pids=own_pids)
    assert len(attached) == 8
    for name, (links, missing) in attached.items():
        assert (links, missing) == (6 if name.startswith("connect") else 2, {}), name


def test_a_process_of_an_outer_pid_namespace_is_not_guessed() -> None:
    ((pid, thread, started, command),) = play("outer_namespace", module="pid_scenes")["seen"]
    assert (pid, thread, started) == (0, 0, True)
    assert command.startswith("python")


def test_only_what_the_kernel_sends_from_its_own_sockets_is_housekeeping() -> None:
    scene = play("own_and_others", module="packet_scenes")
    assert scene["kernel"] == [[58, event.HOUSEKEEPING]], "what looks for neighbours and groups"
    assert scene["user"] == [[1, 0], [6, 0]], "an answer and a reset of a raw socket that nobody knows the maker of"
    assert scene["without types"] == [[1, event.HOUSEKEEPING], [6, event.HOUSEKEEPING]]


def test_many_sockets_do_not_push_out_who_made_another() -> None:
    scene = play("crowded", "20000", module="packet_scenes")
    assert scene["seen"] == [[scene["pid"], 0]]


def test_an_event_tells_the_program_that_ran_then_not_the_one_that_came_after() -> None:
    scene = play("replaced", module="packet_scenes")
    assert scene["seen"] == [scene["before"], scene["after"]], "each program is told by itself, and counted so"
    assert scene["times"] == [1, 1]


TWINS = pytest.mark.skipif(not build.available(), reason="needs clang and the headers of libbpf")


@TWINS
@pytest.mark.parametrize("own_pids", [True, False], ids=["own pids", "our pids"])
def test_the_programs_say_what_their_twins_in_c_say(own_pids: bool) -> None:  # noqa: FBT001
    compared = play("connects", str(FEW), own_pids=own_pids, module="twin_scenes")
    assert compared.keys() == {*KINDS, "conversation", "ports", "inner"}
    for kind, both in compared.items():
        assert both["ours"] == both["theirs"], kind
        assert both["ours"]["events"], kind
    assert any(both["ours"]["uses"] for both in compared.values())


@TWINS
@pytest.mark.parametrize("own_pids", [True, False], ids=["own pids", "our pids"])
def test_what_sends_packets_is_seen_as_the_twins_in_c_see_it(own_pids: bool) -> None:  # noqa: FBT001
    compared = play("packets", own_pids=own_pids, module="twin_scenes")
    for side in ("events", "repeats", "uses", "lost"):
        assert compared["raw"]["ours"][side] == compared["raw"]["theirs"][side]
        assert compared["queue"]["ours"][side] == compared["queue"]["theirs"][side]
    events = compared["raw"]["ours"]["events"]
    routed = [each for each in events if f"flags={event.SOURCE_ROUTED}," in each]
    nameless = {each for each in events if ", pid=0," in each}
    assert nameless == {each for each in routed if "type=3" not in each}, "of TCP and UDP no maker is remembered"
    assert len(nameless) == 5 * 3 + 4 * 2, "each way to name a route, of each socket that connects or sends"
    assert len(compared["raw"]["ours"]["events"]) > 15
    assert len(compared["queue"]["ours"]["events"]) > 15
    assert compared["raw"]["ours"]["uses"]
    assert not compared["queue"]["ours"]["uses"]  # what raw frames reach, no entry approves without saying for whom


@TWINS
def test_held_sockets_are_listed_as_the_twin_in_c_lists_them() -> None:
    compared = play("sockets", module="twin_scenes")
    assert compared["ours"] == compared["theirs"]
    assert len(compared["ours"]) == 8
