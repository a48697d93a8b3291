from __future__ import annotations

import fcntl
import json
import os
import time
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

import psutil
import pytest

from airgap_check.evidence import Connection, Counter, Evidence, Question
from airgap_check.evidence.fact import Endpoint
from airgap_check.evidence.inspection import Trial
from airgap_check.kernel.programs.event import CONNECT4, CONNECT6, EGRESS, QUEUE, SENDMSG4, SENDMSG6, Event
from airgap_check.observers import selftest
from airgap_check.observers.mode import MODES
from airgap_check.observers.observer import UnobservableError
from airgap_check.observers.selftest import blind_modes, run
from airgap_check.observers.witness import Watchers

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence import AnyRecord
    from airgap_check.kernel.netns import Namespace

EVERY_HOOK = frozenset({CONNECT4, CONNECT6, SENDMSG4, SENDMSG6, EGRESS, QUEUE})
NAMES = [mode.name for mode in MODES]
PLAY = """
import json, sys, time
who = json.loads(sys.stdin.readline())
ENDINGS = {endings}
READY = {ready}
print(json.dumps(READY), flush=True)
sys.stdin.readline()
for mode in who["modes"]:
    fact = ENDINGS.get(mode[0])
    if fact is None:
        time.sleep(60)
    print(json.dumps(fact | {{"mode": mode[0]}}), flush=True)
print('{{"done": true}}', flush=True)
sys.stdin.readline()
"""
GROUND = {"namespaces": [11, 12], "reason": ""}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path / "script.py", monkeypatch)


class Stage:
    """Puts a script in the place of the canary, which plays what it is told."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        monkeypatch.setattr(selftest, "_SCRIPT", str(path))
        self.endings: dict[str, dict[str, str] | None] = {mode.name: {"ending": mode.ending} for mode in MODES}
        self.ready: dict[str, object] = dict(GROUND)

    def plays(self, text: str) -> None:
        self._path.write_text(text)

    def run(self, watchers: Watchers, seconds: float = 20.0) -> dict[str, Trial]:
        self.plays(PLAY.format(endings=repr(self.endings), ready=repr(self.ready)))
        trials = run(None, watchers, seconds)
        assert psutil.Process().children() == []
        return {trial.mode: trial for trial in trials}


def mapped(address: str) -> bytes:
    parsed = ip_address(address)
    return b"\0" * 10 + b"\xff\xff" + parsed.packed if isinstance(parsed, IPv4Address) else parsed.packed


class Attempts:
    """Sees everything but the modes in ``misses``; says that another process was it in those of ``pids``."""

    hooks = EVERY_HOOK
    names_processes = True

    def __init__(self, misses: tuple[str, ...] = (), pids: dict[str, int] | None = None, after: int = 0) -> None:
        self.misses, self.pids, self.after = misses, pids or {}, after
        self.cgroups: list[int] = []
        self.drained = False

    def set_aside(self, cgroup: int) -> None:
        self.cgroups.append(cgroup)

    def drain(self) -> None:
        self.drained = True
        self.after -= 1

    def aside(self) -> list[Event]:
        assert self.drained
        if self.after > 0:
            return []
        (canary,) = psutil.Process().children()
        return [
            Event(1, self.pids.get(mode.name, canary.pid), 1, 0, 0, 9, 9, 9, mapped(mode.address), mode.port,
                  6, mode.hook, 2, 1, 0, 1, b"python")
            for mode in MODES
            if mode.name not in self.misses
        ] + [Event(1, 77, 1, 0, 0, 9, 9, 9, mapped("10.0.0.1"), 1, 6, CONNECT4, 2, 1, 0, 1, b"")]  # fmt: skip


class Traffic:
    """Sees every packet but those of the modes in ``misses``."""

    def __init__(self, misses: tuple[str, ...] = (), refusal: Exception | None = None) -> None:
        self.misses, self.refusal = misses, refusal
        self.namespaces: list[int] = []
        self.removed: list[int] = []
        self.added: list[Namespace] = []
        self.name = ""

    def add(self, namespace: Namespace) -> None:
        if self.refusal:
            raise self.refusal
        self.added.append(namespace)

    def remove(self, inode: int) -> None:
        self.removed.append(inode)

    def set_aside(self, inode: int) -> None:
        self.namespaces.append(inode)

    def drain(self) -> None:
        pass

    def aside(self) -> list[AnyRecord]:
        seen = [mode for mode in MODES if mode.on_wire and mode.name not in self.misses]
        records: list[AnyRecord] = [
            Connection(
                netns=11, protocol="tcp", state="SYN", direction="outbound", ownerless=True, seen="traffic",
                local=Endpoint(address="192.0.2.1"), remote=Endpoint(address=mode.address, port=mode.port),
            )
            for mode in seen
        ]  # fmt: skip
        if "DNS question" not in self.misses:
            server = Endpoint(address="192.0.2.53", port=53)
            records += [
                Question(netns=11, name=name, type="A", protocol="dns", server=server)
                for name in ("other.invalid", self.name)
            ]
        return [*records, Question(netns=11, name="x.invalid", type="A", protocol="dns", server=Endpoint())]


class Counts:
    """Counts what had no route; ``names`` are the counters that grow."""

    kind = "counters"

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def filenos(self) -> tuple[int, ...]:
        return ()

    def drain(self) -> None:
        pass

    def fresh(self) -> list[AnyRecord]:
        return []

    def finish(self) -> Evidence:
        records = tuple(Counter(netns=11, name=name, increase=1) for name in self._names)
        return Evidence(kind="counters", status="complete", records=records)

    def close(self) -> None:
        pass


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name that the self-test asks for, without the chance in it."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    return "airgap-check-selftest-00000000.invalid"


def test_an_observer_that_sees_every_mode_of_the_right_process_is_proven(stage: Stage) -> None:
    attempts = Attempts()
    trials = stage.run(Watchers(attempts))
    assert list(trials) == NAMES
    unnamed = trials.pop("source routed")
    assert (unnamed.seen, unnamed.process, unnamed.note) == ("yes", "not promised", "")
    assert {(trial.seen, trial.process, trial.note) for trial in trials.values()} == {("yes", "right", "")}
    assert blind_modes(tuple(trials.values()), "attempts") == []
    assert attempts.cgroups == [0]


def test_a_mode_that_is_missed_is_named(stage: Stage) -> None:
    trials = stage.run(Watchers(Attempts(misses=("no route",))), seconds=2)
    assert {name for name, trial in trials.items() if trial.seen != "yes"} == {"no route"}
    assert trials["no route"].seen == "no"
    assert blind_modes(tuple(trials.values()), "attempts") == ["no route: not seen"]


def test_what_is_seen_late_counts(stage: Stage) -> None:
    assert stage.run(Watchers(Attempts(after=3)))["refused"].seen == "yes"


def test_another_process_and_no_process_are_failures(stage: Stage) -> None:
    trials = stage.run(Watchers(Attempts(pids={"refused": 1, "IPv6": 0})))
    assert (trials["refused"].process, trials["IPv6"].process) == ("wrong", "unknown")
    assert blind_modes(tuple(trials.values()), "attempts") == [
        "refused: seen, but of the wrong process",
        "IPv6: seen, but not of which process",
    ]


def test_an_observer_that_does_not_name_processes_is_not_asked_for_them(stage: Stage) -> None:
    attempts = Attempts(pids=dict.fromkeys(NAMES, 0))
    attempts.names_processes = False
    trials = stage.run(Watchers(attempts))
    assert {(trial.seen, trial.process) for trial in trials.values()} == {("yes", "not promised")}
    assert blind_modes(tuple(trials.values()), "attempts") == []


def test_only_what_a_hook_stands_for_is_promised(stage: Stage) -> None:
    attempts = Attempts(misses=("source routed", "raw ICMP", "IPv6, raw ICMP", "ping socket"))
    attempts.hooks = EVERY_HOOK - {EGRESS}
    trials = stage.run(Watchers(attempts))
    assert set(NAMES) - set(trials) == {"source routed", "raw ICMP", "IPv6, raw ICMP", "ping socket"}
    assert {trial.seen for trial in trials.values()} == {"yes"}


def test_what_the_kernel_cannot_be_made_to_do_is_skipped_and_is_no_failure(stage: Stage) -> None:
    stage.endings["ping socket"] = {"why": "no such socket can be made: Permission denied"}
    trials = stage.run(Watchers(Attempts(misses=("ping socket",))))
    assert trials["ping socket"] == Trial(
        mode="ping socket",
        observer="attempts",
        seen="skipped",
        note="no such socket can be made: Permission denied",
    )
    assert blind_modes(tuple(trials.values()), "attempts") == []


def test_an_attempt_that_ends_otherwise_proves_nothing_of_its_mode(stage: Stage) -> None:
    stage.endings["refused"] = {"ending": "EPERM"}
    trials = stage.run(Watchers(Attempts(), counters=lambda _: Counts(("Ip OutNoRoutes", "Ip6OutNoRoutes"))))
    assert (trials["refused"].seen, trials["refused"].note) == ("skipped", "ended with EPERM instead of ECONNREFUSED")


def test_an_attempt_that_ends_otherwise_and_is_missed_is_missed(stage: Stage) -> None:
    stage.endings["refused"] = {"ending": "EPERM"}
    trials = stage.run(Watchers(Attempts(misses=("refused",))), seconds=2)
    assert (trials["refused"].seen, trials["refused"].note) == (
        "no",
        "not seen (ended with EPERM instead of ECONNREFUSED)",
    )


def test_the_wrong_process_is_told_whatever_the_ending(stage: Stage) -> None:
    stage.endings["refused"] = {"ending": "EPERM"}
    assert stage.run(Watchers(Attempts(pids={"refused": 1})))["refused"].process == "wrong"


def test_a_canary_that_hangs_is_killed_and_what_it_did_not_do_is_not_proven(stage: Stage) -> None:
    stage.endings["no route"] = None
    trials = stage.run(Watchers(Attempts(misses=("no route", "ping socket"))), seconds=1)
    assert trials["refused"].seen == "yes"
    assert trials["ping socket"].seen == "no"
    assert blind_modes(tuple(trials.values()), "attempts") == [
        f"{name}: the process that makes the attempts did not get that far in time"
        for name in ("no route", "ping socket")
    ]


def test_packets_are_recognised_by_address_and_name(stage: Stage, marked: str) -> None:
    traffic = Traffic()
    traffic.name = marked
    trials = stage.run(Watchers(traffic=traffic))
    assert list(trials) == [mode.name for mode in MODES if mode.on_wire]
    assert {(trial.seen, trial.process) for trial in trials.values()} == {("yes", "not promised")}
    assert traffic.namespaces == [11, 12]
    assert [namespace.inode for namespace in traffic.added] == traffic.removed == [11]


@pytest.mark.usefixtures("marked")
def test_a_question_for_another_name_is_not_ours(stage: Stage) -> None:
    trials = stage.run(Watchers(traffic=Traffic()), seconds=2)
    assert blind_modes(tuple(trials.values()), "traffic") == ["DNS question: not seen"]


def test_without_a_wire_only_names_can_be_tried_on_packets(stage: Stage, marked: str) -> None:
    stage.ready["reason"] = "the kernel made no veth pair: Operation not supported"
    traffic = Traffic(misses=tuple(name for name in NAMES if name != "DNS question"))
    traffic.name = marked
    trials = stage.run(Watchers(traffic=traffic))
    assert trials.pop("DNS question").seen == "yes"
    assert {(trial.seen, trial.note) for trial in trials.values()} == {("skipped", stage.ready["reason"])}


def test_without_a_wire_packet_sockets_are_not_tried_on_attempts(stage: Stage) -> None:
    stage.ready["reason"] = "the kernel made no veth pair: Operation not supported"
    trials = stage.run(Watchers(Attempts(misses=("packet socket",))))
    assert [name for name, trial in trials.items() if trial.seen == "skipped"] == ["packet socket"]
    assert blind_modes(tuple(trials.values()), "attempts") == []


@pytest.mark.parametrize("refusal", [PermissionError(1, "may not"), UnobservableError("may not")])
def test_an_observer_that_cannot_watch_the_stage_is_not_proven_and_the_others_are(
    stage: Stage, refusal: Exception
) -> None:
    stage.plays(PLAY.format(endings=repr(stage.endings), ready=repr(stage.ready)))
    trials = run(None, Watchers(Attempts(), Traffic(refusal=refusal)), 20)
    assert blind_modes(trials, "attempts") == []
    assert blind_modes(trials, "traffic") == [
        "the self-test could not run: could not watch a namespace of our own: may not"
    ]


def test_the_counters_are_tried_by_what_has_no_route(stage: Stage) -> None:
    trials = stage.run(Watchers(counters=lambda _: Counts(("Ip OutNoRoutes", "Ip6OutNoRoutes"))))
    assert {name: trial.seen for name, trial in trials.items()} == {"no route": "yes", "IPv6, no route": "yes"}


class Sockets(Counts):
    """Tells of the sockets that ended, but for those to the addresses in ``misses``."""

    def __init__(self, misses: tuple[str, ...] = ()) -> None:
        super().__init__(())
        self._misses = misses
        self.closed = False

    def fresh(self) -> list[AnyRecord]:
        return [
            Connection(
                netns=11, protocol="tcp", state="ended", direction="outbound", seen="sockdiag",
                local=Endpoint(), remote=Endpoint(address=mode.address),
            )
            for mode in MODES
            if mode.kind == "tcp" and mode.on_wire and mode.name not in self._misses
        ]  # fmt: skip

    def close(self) -> None:
        self.closed = True


def test_the_events_of_sockets_are_tried_by_connections_that_leave(stage: Stage) -> None:
    sockets = Sockets()
    trials = stage.run(Watchers(sockdiag=lambda _: sockets))
    assert list(trials) == ["accepted and closed at once", "refused", "silently dropped", "IPv6"]
    assert blind_modes(tuple(trials.values()), "sockdiag") == []
    assert sockets.closed


def test_an_event_that_is_missing_is_named(stage: Stage) -> None:
    trials = stage.run(Watchers(sockdiag=lambda _: Sockets(misses=("IPv6",))), seconds=2)
    assert blind_modes(tuple(trials.values()), "sockdiag") == ["IPv6: not seen"]


def test_another_observer_that_cannot_begin_is_not_proven(stage: Stage) -> None:
    def refuse(_: Namespace) -> Counts:
        raise UnobservableError("may not")

    trials = stage.run(Watchers(sockdiag=refuse))
    assert blind_modes(tuple(trials.values()), "sockdiag") == [
        "the self-test could not run: could not watch a namespace of our own: may not"
    ]


def test_a_counter_that_stands_still_is_named(stage: Stage) -> None:
    trials = stage.run(Watchers(counters=lambda _: Counts(("Ip OutNoRoutes",))), seconds=2)
    assert blind_modes(tuple(trials.values()), "counters") == ["IPv6, no route: not seen"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            'import sys; sys.stdin.readline(); print(\'{"failed": "Operation not permitted"}\')',
            "it could make no network namespaces: Operation not permitted",
        ),
        ("import sys; sys.stdin.readline()", "the process that makes the attempts did not start"),
        ("import sys; sys.stdin.readline(); print('nonsense', flush=True)", "Expecting value"),
    ],
)
def test_a_self_test_that_cannot_run_is_no_proof(stage: Stage, script: str, why: str) -> None:
    stage.plays(script)
    trials = run(None, Watchers(Attempts(), Traffic()), 20)
    assert {trial.seen for trial in trials} == {"skipped"}
    for observer in ("attempts", "traffic"):
        (sentence,) = blind_modes(trials, observer)
        assert sentence.startswith(f"the self-test could not run: {why}")


def test_an_interpreter_that_cannot_be_started_is_no_proof(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")
    trials = stage.run(Watchers(Attempts()))
    assert blind_modes(tuple(trials.values()), "attempts") == ["the self-test could not run: No such file or directory"]


def test_a_canary_that_never_gets_ready_is_waited_for_no_longer_than_allowed(stage: Stage) -> None:
    stage.plays("import time; time.sleep(60)")
    started = time.monotonic()
    trials = run(None, Watchers(Attempts()), 0.3)
    assert time.monotonic() - started < 30
    assert blind_modes(trials, "attempts") == [
        "the self-test could not run: the process that makes the attempts did not start"
    ]


def test_a_busy_machine_that_takes_longer_is_no_proof_that_anybody_is_blind(stage: Stage) -> None:
    play = PLAY.format(endings=repr(stage.endings), ready=repr(stage.ready))
    stage.plays(play.replace("who = ", "time.sleep(2.5)\nwho = "))
    trials = run(None, Watchers(Attempts(after=3)), 2)
    assert blind_modes(trials, "attempts") == []


def test_a_directory_that_takes_no_cgroup_is_no_proof(tmp_path: Path, stage: Stage) -> None:
    stage.plays("")
    trials = run(str(tmp_path / "missing"), Watchers(Attempts()), 20)
    assert blind_modes(trials, "attempts") == ["the self-test could not run: No such file or directory"]


def test_a_directory_that_is_no_cgroup_is_left_as_it_was(tmp_path: Path, stage: Stage) -> None:
    stage.plays(PLAY.format(endings="{}", ready=repr(GROUND)))
    folder = tmp_path / "folder"
    folder.mkdir()
    trials = run(str(folder), Watchers(Attempts()), 20)
    assert {trial.seen for trial in trials} == {"skipped"}
    assert list(folder.iterdir()) == []


def test_what_an_earlier_run_left_behind_is_removed_but_not_what_is_in_use(tmp_path: Path, stage: Stage) -> None:
    kept = ["airgap-check-selftest-1-0123abcd", "airgap-check-selftest-x", "other.service"]
    for name in ("airgap-check-selftest-2-0123abcd", *kept):
        (tmp_path / name).mkdir()
    stage.plays("")
    used = os.open(tmp_path / kept[0], os.O_RDONLY)
    fcntl.flock(used, fcntl.LOCK_EX)
    run(str(tmp_path), Watchers(Attempts()), 20)
    os.close(used)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(kept)


def test_without_observers_there_is_nothing_to_prove(stage: Stage) -> None:
    assert stage.run(Watchers()) == {}
    assert blind_modes((), "attempts") == ["the self-test could not run: this observer had no part in it"]


def test_the_report_of_a_trial_is_printable(stage: Stage) -> None:
    stage.endings["refused"] = {"why": "no such\x1b[2Jsocket"}
    assert "\x1b" not in stage.run(Watchers(Attempts()))["refused"].note


def test_every_mode_has_an_address_of_its_own_that_is_for_documentation() -> None:
    documentation = [f"{network}." for network in ("192.0.2", "198.51.100", "203.0.113")] + ["2001:db8:"]
    assert len({mode.address for mode in MODES}) == len(MODES)
    assert all(any(mode.address.startswith(prefix) for prefix in documentation) for mode in MODES)
    assert {mode.hook for mode in MODES} == EVERY_HOOK
    assert json.dumps([mode[:5] for mode in MODES])
