"""The observer of calls on this kernel, as root and as anybody: it tells every attempt once, with its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import pytest

from tests.live import attempts_generator as generator
from tests.live.calls_scenes import CHECKOUT, EACH

PATIENCE = 120.0
NAMESPACES = ("--net", "--pid", "--fork", "--kill-child", "--mount-proc")
# Before becoming nobody: what is ours is made reachable, though a folder above it may be closed to others.
EXPOSE = """
import os, sys
from tests.live.lab_init import _expose
_expose(sorted({sys.base_prefix, sys.prefix, os.getcwd()}))
os.execvp(sys.argv[1], sys.argv[1:])
"""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")
USERS = {
    "root": ("unshare", "--mount", *NAMESPACES),
    "nobody who is root inside": (*NOBODY, "unshare", "--user", "--map-root-user", *NAMESPACES),
    "nobody": (
        *NOBODY, "unshare", "--user", "--map-current-user", "--keep-caps", *NAMESPACES,
    ),
}  # fmt: skip
users = pytest.mark.parametrize("user", USERS)
USERS = {**USERS, "nobody without a user namespace": ("unshare", *NAMESPACES, *NOBODY)}
BASES = {
    generator.HERE: ("accepted and closed", "refused", "closed at once", "TCP to a mapped address", "UDP unconnected",
                     "UDP connected", "UDP connected and silent", "UDP to a mapped address", "Fast Open by sendto",
                     "Fast Open by connect", "MPTCP", "ping", "a process for each", "a thread for each"),
    generator.HERE6: ("TCP over IPv6", "UDP over IPv6"),
    generator.DROPPED: ("dropped by the local firewall", "UDP dropped by the local firewall"),
    generator.UNANSWERED: ("unanswered",),
    generator.BLACKHOLE: ("black hole",),
    generator.ROUTELESS: ("no route", "UDP without a route"),
    generator.PROHIBITED: ("prohibited",),
    generator.UNREACHABLE: ("unreachable",),
}  # fmt: skip
BASE = {kind: base for base, kinds in BASES.items() for kind in kinds}


@lru_cache(maxsize=64)
def scene(name: str, user: str) -> Any:
    """Play a scene of `calls_scenes` as this user."""
    argv = [*USERS[user], sys.executable, "-W", "error", "-m", "tests.live.calls_scenes", name]
    environ = dict(os.environ)
    if user != "root":
        argv = ["unshare", "--mount", sys.executable, "-c", EXPOSE, *argv]
        # Nobody may write where coverage is kept.
        environ = {name: value for name, value in environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=PATIENCE, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@users
@pytest.mark.parametrize("kind", generator.KINDS)
def test_each_attempt_is_told_once_with_its_process(kind: str, user: str) -> None:
    seen = scene("kinds", user)[kind]
    made = [
        [pid, str(BASE[kind] + index)] for pid, first, count in seen["shares"] for index in range(first, first + count)
    ]
    assert len(made) == EACH
    assert sorted(seen["told"]) == sorted(made)
    assert seen["counted"] == EACH
    protocol = "icmp" if kind == "ping" else "udp" if kind.startswith("UDP") else "tcp"
    assert seen["protocols"] == [protocol]
    assert seen["states"] == ["connect" if kind.startswith("UDP connected") else "attempt"]
    assert seen["netns"] == [seen["ours"]]
    assert seen["status"] == "complete"


@users
def test_what_stands_in_memory_is_read(user: str) -> None:
    seen = scene("messages", user)
    assert seen["said"] == [5, 1]  # the kernel sent them all, the one without a family too
    datagrams = ["198.18.1.1", "198.18.1.2", "198.18.1.3", *(f"198.18.2.{index}" for index in range(5)), "198.18.1.4"]
    assert seen["log"] == [
        *(["udp", address, 53] for address in datagrams),
        ["icmp", "198.18.3.1", None],
        ["raw", "198.18.3.2", None],
        ["packet", "", 0x88CC],
        ["packet", "", 0x0800],
    ]
    assert [row[:3] for row in seen["rows"]] == [[*call[:1], call[1] or None, call[2]] for call in seen["log"]]
    assert seen["status"] == "complete"


@users
def test_what_leaves_no_machine_is_counted_alone(user: str) -> None:
    seen = scene("messages", user)
    assert seen["counts"]["local"] == 2  # a UNIX socket, and an address that TCP takes no notice of
    assert seen["counts"]["own"] == 2  # 127.0.0.1 and 0.0.0.0
    assert seen["counts"]["calls"] == len(seen["log"]) - 4 + 2 + 2 + 2  # five messages were one call; two had no name


@users
def test_whoever_calls_is_named_by_the_program_that_it_runs_at_that_moment(user: str) -> None:
    seen = scene("names", user)
    assert {address: name[1].partition("3")[0] for address, name in seen.items()} == {
        "198.18.4.1": "python", "198.18.4.2": "bash", "198.18.4.3": "python", "198.18.4.4": "python",
        "198.18.4.5": "python",
    }  # fmt: skip
    assert seen["198.18.4.2"][3].startswith("bash -c exec 3<>")
    assert seen["198.18.4.3"][0] == seen["198.18.4.4"][0]
    assert "s.connect_ex" in seen["198.18.4.4"][3]
    assert "s.connect_ex" not in seen["198.18.4.3"][3]


@users
def test_a_daemon_that_has_left_its_parents_is_still_heard(user: str) -> None:
    seen = scene("names", user)
    assert seen["198.18.4.5"][0] not in {seen[address][0] for address in seen if address != "198.18.4.5"}


@users
def test_ten_thousand_connections_are_counted_exactly(user: str) -> None:
    seen = scene("many", user)
    assert (seen["facts"], seen["counts"]["calls"], seen["logged"], seen["status"]) == (100, 10_000, 10_000, "complete")


@users
def test_pointers_that_lead_nowhere_are_said_and_do_no_harm(user: str) -> None:
    seen = scene("pointers", user)
    assert seen["said"] == [-14, -14, -14, -22, -22, -9, -88, -14, -14, 0, -14, -14]  # as without us
    assert seen["log"] == [["udp", "198.18.6.1", 53], ["tcp", "198.18.6.2", 443]]
    assert (seen["status"], seen["lost"]) == ("partial", 7)
    assert seen["reason"].startswith("7 calls were lost")


def test_memory_that_a_program_gives_out_itself_holds_nobody_up() -> None:
    seen = scene("held_up", "root")
    assert seen["said"] == 0
    assert seen["log"] == [["tcp", "198.18.12.1", 443]]
    assert (seen["status"], seen["lost"]) == ("partial", 1)


@users
def test_callers_that_die_in_the_call_leave_nothing_wrong_behind(user: str) -> None:
    seen = scene("deaths", user)
    assert seen["places"] == ["198.18.7.1", "198.18.7.2"]
    assert (seen["status"], seen["lost"], seen["counts"]["unasked"]) == ("complete", 0, 0)


@users
def test_a_storm_of_signals_makes_no_call_count_twice(user: str) -> None:
    seen = scene("signals", user)
    assert seen["caught"] > 100
    assert seen["logged"] == 3000
    assert seen["status"] == "complete"


@users
def test_what_nobody_could_hear_of_is_refused_and_said(user: str) -> None:
    seen = scene("refused", user)
    assert seen["said"] == [-38, -38, 0]
    assert any("io_uring" in line for line in seen["blind"])
    assert any("32 bits" in line for line in seen["blind"])


@users
def test_a_program_starts_as_it_would_without_us(user: str) -> None:
    found = scene("conduct", user)
    assert found["environment"] == {"A": "b\udcff", "LC_ALL": "C.UTF-8"}
    assert (found["argv"], found["cwd"], found["returned"]) == (["café", "\udcff"], "/usr", 0)
    files = set(map(int, found["files"]))
    assert (files >= {0, 1, 2, found["passed"]}, len(files)) == (True, 5)  # the fifth is the folder that it lists
    # The C library keeps two real-time signals (32, 33) to itself: nobody sets, or resets, what is inherited of those.
    kept = {name: int(found["signals"][name], 16) & ~(0b11 << 31) for name in ("SigBlk", "SigIgn", "SigPnd")}
    assert set(kept.values()) == {0}
    assert found["missing"] == "[Errno 2] No such file or directory: '/none/such'"
    assert found["children"] == ""


@users
def test_a_program_keeps_the_capabilities_that_it_shall(user: str) -> None:
    status = scene("conduct", user)["status"]
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0000000000002400"}
    assert status["CapAmb"] == ("0000000000002400" if user == "nobody" else "0" * 16)
    assert status["NoNewPrivs"] == "0"


@users
def test_after_the_end_calls_are_refused_and_nobody_waits(user: str) -> None:
    assert scene("after", user) == {"said": 38, "status": "complete", "descriptors": []}


@users
def test_a_program_ends_with_who_started_it(user: str) -> None:
    assert scene("orphan", user)["after"] == "gone"


@users
def test_the_self_test_proves_that_it_sees(user: str) -> None:
    seen = scene("proof", user)
    own = {mode: (told, process) for observer, mode, told, process in seen["trials"] if observer == "attempts"}
    assert len(own) == 11
    assert set(own.values()) == {("yes", "right")}
    # Where groups have no names outside of us, nobody may be given ping sockets by the range that the canary asks for.
    excused = set() if user == "root" else {("traffic", "ping socket")}
    assert {(observer, mode) for observer, mode, told, _ in seen["trials"] if told != "yes"} <= excused
    assert seen["log"] == [["tcp", "198.18.11.1", 443]]
    assert seen["counts"]["self_test"] >= len(own)
    assert seen["status"] == "complete"


def test_without_any_privilege_programs_gain_none_and_that_is_said() -> None:
    seen = scene("powerless", "nobody without a user namespace")
    assert seen["log"] == [["tcp", "198.51.100.1", 443]]
    assert seen["shut"] == "1"
    assert any("set-user-ID" in line for line in seen["blind"])
    assert seen["status"] == "complete"


def test_where_another_supervisor_is_at_work_there_can_be_none_of_ours() -> None:
    assert scene("nested", "root") == (
        "the kernel takes no filter: another supervisor is at work around us already, and there can be one only"
    )


def test_the_addresses_are_those_that_the_generator_makes() -> None:
    assert BASE.keys() == generator.KINDS.keys()
    assert all(ip_address(str(base)) for base in BASE.values())
