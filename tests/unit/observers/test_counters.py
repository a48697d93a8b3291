from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from airgap_check.evidence import Counter
from airgap_check.kernel import netns
from airgap_check.kernel.drop_counter import DropCounter, Firewall
from airgap_check.kernel.netns import Namespace
from airgap_check.observers import counters
from airgap_check.observers.counters import Counters
from airgap_check.observers.observer import Epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from airgap_check.evidence import Evidence

EPOCH = Epoch(datetime(2026, 1, 1, tzinfo=UTC), 0, 0)
FIRST, SECOND = Namespace(1, "process"), Namespace(2, "process")


class Kernel:
    """What each source says at each reading: counters by identity, or an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says: dict[str, dict[str, int] | OSError] = {"nftables": {}}
        self.gone: dict[int, OSError] = {}
        self.uncounted = 0
        monkeypatch.setattr(netns, "inside", self._inside)
        monkeypatch.setattr(counters, "_SOURCES", {name: self._source(name) for name in ("nftables", "routes")})

    def _inside(self, namespace: Namespace, work: Callable[[], object]) -> object:
        if namespace.inode in self.gone:
            raise self.gone[namespace.inode]
        return work()

    def _source(self, name: str) -> Callable[[], Firewall]:
        def read() -> Firewall:
            said = self.says.get(name, {})
            if isinstance(said, OSError):
                raise said
            found: dict[Hashable, DropCounter] = {name: DropCounter(name, packets) for name, packets in said.items()}
            return Firewall(found, self.uncounted if name == "nftables" else 0)

        return read


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def grown(evidence: Evidence) -> list[tuple[int, str, int]]:
    return [(record.netns, record.name, record.increase) for record in evidence.of(Counter)]


def test_only_what_grew_is_a_record(kernel: Kernel) -> None:
    kernel.says = {"nftables": {"a": 3, "b": 3}, "routes": {"a": 0}}
    observer = Counters([FIRST], EPOCH)
    kernel.says = {"nftables": {"a": 5, "b": 3}, "routes": {"a": 1}}
    evidence = observer.finish()
    assert grown(evidence) == [(1, "a", 2), (1, "a", 1)]
    assert (evidence.kind, evidence.status, evidence.reason) == ("counters", "complete", "")
    assert evidence.counts == {"namespaces": 1, "counters": 3, "uncounted": 0, "vanished": 0}


def test_a_counter_that_was_set_back_is_counted_from_nothing_and_said(kernel: Kernel) -> None:
    kernel.says = {"nftables": {"a": 30}}
    observer = Counters([FIRST], EPOCH)
    kernel.says = {"nftables": {"a": 4}}
    evidence = observer.finish()
    assert grown(evidence) == [(1, "a", 4)]
    assert evidence.status == "partial"
    assert evidence.reason == "a counter was set back, and is counted from 0: net:[1] a"


def test_a_rule_that_came_counts_from_nothing(kernel: Kernel) -> None:
    observer = Counters([FIRST], EPOCH)
    kernel.says = {"nftables": {"new": 4}}
    evidence = observer.finish()
    assert grown(evidence) == [(1, "new", 4)]
    assert evidence.status == "complete"


def test_a_rule_that_went_leaves_a_gap(kernel: Kernel) -> None:
    kernel.says = {"nftables": {"old": 4}}
    observer = Counters([FIRST], EPOCH)
    kernel.says = {"nftables": {}}
    evidence = observer.finish()
    assert evidence.status == "partial"
    assert evidence.reason.startswith("a rule that refuses packets went away, and with it what it had counted: net:[1]")


def test_a_namespace_that_vanished_is_counted_and_no_gap(kernel: Kernel) -> None:
    observer = Counters([FIRST, SECOND], EPOCH)
    kernel.gone[2] = ProcessLookupError(errno.ESRCH, "gone")
    evidence = observer.finish()
    assert evidence.status == "complete"
    assert (evidence.counts["namespaces"], evidence.counts["vanished"]) == (1, 1)


def test_a_namespace_that_may_not_be_joined_is_a_gap(kernel: Kernel) -> None:
    kernel.gone[2] = PermissionError(errno.EPERM, "Operation not permitted")
    evidence = Counters([FIRST, SECOND], EPOCH).finish()
    assert evidence.status == "partial"
    assert evidence.reason == "could not join a network namespace: net:[2] (Operation not permitted)"


def test_a_source_that_may_not_be_read_is_a_gap_and_the_others_count(kernel: Kernel) -> None:
    kernel.says = {"nftables": PermissionError(errno.EPERM, "not permitted"), "routes": {"a": 1}}
    observer = Counters([FIRST], EPOCH)
    kernel.says = {"nftables": {"x": 100}, "routes": {"a": 2}}
    evidence = observer.finish()
    assert grown(evidence) == [(1, "a", 1)]
    assert evidence.status == "partial"
    assert "could not read the counters of nftables" in evidence.reason


def test_a_missing_program_is_a_blind_spot(kernel: Kernel) -> None:
    kernel.says = {"routes": FileNotFoundError(errno.ENOENT, "it is not installed")}
    evidence = Counters([FIRST], EPOCH).finish()
    assert evidence.status == "complete"
    assert "the counters of routes: it is not installed" in evidence.blind


def test_refusals_without_a_counter_are_a_blind_spot(kernel: Kernel) -> None:
    kernel.uncounted = 3
    evidence = Counters([FIRST], EPOCH).finish()
    assert (
        evidence.blind[0] == "3 rules and policies that refuse packets and have no counter for the outgoing ones alone"
    )


def test_a_namespace_that_is_set_aside_is_not_compared(kernel: Kernel) -> None:
    observer = Counters([FIRST, SECOND], EPOCH)
    observer.set_aside(1)
    kernel.says = {"nftables": {"a": 1}}
    assert grown(observer.finish()) == [(2, "a", 1)]


def test_without_any_namespace_there_is_no_evidence(kernel: Kernel) -> None:
    kernel.gone = {1: PermissionError(errno.EPERM, "no"), 2: ProcessLookupError(errno.ESRCH, "gone")}
    assert Counters([FIRST, SECOND], EPOCH).finish().status == "unavailable"
    assert Counters([], EPOCH).finish().reason == "no network namespace could be read twice"


def test_there_is_nothing_to_poll(kernel: Kernel) -> None:
    observer = Counters([FIRST], EPOCH)
    kernel.says = {"nftables": {"a": 1}}
    observer.drain()
    assert (observer.filenos(), observer.fresh()) == ((), [])
    observer.close()
    observer.close()
