"""Observers at work: drained while others do other things, closed whatever happens, believed only if they saw ours."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from airgap_check.evidence import Evidence
from airgap_check.evidence.inspection import Trial
from airgap_check.kernel import netns
from airgap_check.kernel.sieve import NOTHING
from airgap_check.observers import selftest
from airgap_check.observers.observer import Epoch, UnobservableError
from airgap_check.plan import Observing
from airgap_check.watching import observation
from tests.building import STARTED, connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import AnyRecord
    from airgap_check.observers.calls import Calls

EPOCH = Epoch(STARTED, 0, 0)
KINDS = {"Attempts": "attempts", "Traffic": "traffic", "Counters": "counters", "SockdiagEvents": "sockdiag"}


class Fake:
    """An observer that a test can make speak."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.directory = "/cgroup"
        self.reader, self.writer = os.pipe()
        self.drained, self.failed = threading.Event(), threading.Event()
        self.waiting: list[AnyRecord] = []
        self.added: list[int] = []
        self.failure: Exception | None = None
        self.closed = 0

    def filenos(self) -> tuple[int, ...]:
        return (self.reader,)

    def drain(self) -> None:
        if self.failure:
            self.failed.set()
            raise self.failure
        self.drained.set()

    def fresh(self) -> list[AnyRecord]:
        return [self.waiting.pop() for _ in self.waiting[:]]

    def finish(self) -> Evidence:
        return Evidence(kind=self.kind, status="complete")

    def add(self, namespace: Any) -> None:
        self.added.append(namespace.inode)

    def close(self) -> None:
        self.closed += 1
        if self.closed == 1:
            os.close(self.reader)
            os.close(self.writer)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Fake]]:
    made: dict[str, Fake] = {}
    for name, kind in KINDS.items():

        def make(*_: Any, kind: str = kind, **_options: Any) -> Fake:
            made[kind] = Fake(kind)
            return made[kind]

        monkeypatch.setattr(observation, name, make)
    monkeypatch.setattr(observation, "Identity", lambda _: SimpleNamespace(close=lambda: None))
    yield made
    assert all(fake.closed for fake in made.values())


def begun(monkeypatch: pytest.MonkeyPatch, *trials: Trial, **wanted: Any) -> observation.Observation:
    monkeypatch.setattr(selftest, "run", lambda *_: trials)
    watching = observation.Observation(Observing(**wanted), NOTHING, EPOCH)
    watching.begin()
    return watching


def test_observers_are_drained_while_the_caller_does_other_things(
    monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]
) -> None:
    with begun(monkeypatch, sockdiag=True) as watching:
        assert all(fake.drained.wait(10) for fake in fakes.values())
        assert {evidence.kind for evidence in watching.finish()} == set(KINDS.values())


def test_what_is_not_wanted_is_not_opened(monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]) -> None:
    with begun(monkeypatch, traffic=False):
        assert fakes.keys() == {"attempts", "counters"}


def test_an_observer_that_cannot_run_here_is_evidence_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]
) -> None:
    def refuse(*_: Any) -> Fake:
        raise UnobservableError("attempts: CAP_BPF is missing")

    monkeypatch.setattr(observation, "Attempts", refuse)
    with begun(monkeypatch) as watching:
        seen = {evidence.kind: evidence for evidence in watching.finish()}
    assert (seen["attempts"].status, seen["attempts"].reason) == ("unavailable", "CAP_BPF is missing")
    assert "attempts" not in fakes


def test_attempts_may_be_observed_by_another_that_starts_the_self_test_too(
    monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]
) -> None:
    class Starter(Fake):
        def launch_aside(self, *_: Any) -> None:
            raise AssertionError

    monkeypatch.setattr(observation, "Calls", Starter)
    tried: list[tuple[Any, ...]] = []

    def run(*given: Any) -> tuple[Trial, ...]:
        tried.append(given)
        return ()

    monkeypatch.setattr(selftest, "run", run)
    fakes["attempts"] = starter = Starter("attempts")
    make = cast("observation.Maker", lambda *_: starter)
    with observation.Observation(Observing(), NOTHING, EPOCH, make) as watching:
        watching.begin()
        assert watching.attempts is cast("Any", starter)
    ((directory, watchers, seconds, launch),) = tried
    assert (directory, watchers.attempts, seconds) == ("/cgroup", starter, selftest.SECONDS)
    assert launch == starter.launch_aside


def test_another_that_cannot_run_here_is_evidence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Calls:
        raise UnobservableError("attempts: Linux 4.18 is older than 5.5")

    monkeypatch.setattr(selftest, "run", lambda *_: ())
    with observation.Observation(Observing(), NOTHING, EPOCH, refuse) as watching:
        watching.begin()
        assert watching.attempts is None
        seen = {evidence.kind: evidence for evidence in watching.finish()}
    assert (seen["attempts"].status, seen["attempts"].reason) == ("unavailable", "Linux 4.18 is older than 5.5")


def test_an_observer_that_missed_one_of_our_own_attempts_saw_only_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Trial(mode="no route", observer="attempts", seen="no")
    counted = Trial(mode="no route", observer="counters", seen="yes")
    with begun(monkeypatch, missed, counted) as watching:
        seen = {evidence.kind: evidence for evidence in watching.finish()}
        assert watching.trials == (missed, counted)
    assert seen["attempts"].status == "partial"
    assert "no route" in seen["attempts"].reason
    assert seen["counters"].status == "complete"
    assert "could not run" in seen["traffic"].reason


def test_without_the_self_test_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Trial(mode="no route", observer="attempts", seen="no")
    with begun(monkeypatch, missed, prove=False) as watching:
        assert watching.trials == ()


def test_what_is_new_is_handed_over_once(monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]) -> None:
    with begun(monkeypatch) as watching:
        fakes["attempts"].waiting.append(connection("10.0.0.1"))
        assert watching.fresh() == [connection("10.0.0.1")]
        assert watching.fresh() == []


def test_the_packets_of_the_runtimes_namespaces_are_watched_too(
    monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]
) -> None:
    with begun(monkeypatch) as watching:
        watching.look_into({netns.own_inode(), 1})
        assert fakes["traffic"].added == []


def test_a_fault_while_draining_ends_the_run(monkeypatch: pytest.MonkeyPatch, fakes: dict[str, Fake]) -> None:
    with begun(monkeypatch) as watching:
        fakes["attempts"].failure = ValueError("a fault of ours")
        os.write(fakes["attempts"].writer, b"x")
        assert fakes["attempts"].failed.wait(10)
        with pytest.raises(ValueError, match="a fault of ours"):
            watching.finish()
