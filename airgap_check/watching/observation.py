"""Observers at work: opened, shown to see, drained by a thread while the main one does other things, and closed."""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec.structs import replace

from airgap_check.evidence import Evidence
from airgap_check.kernel import netns
from airgap_check.observers import selftest
from airgap_check.observers.attempts import Attempts
from airgap_check.observers.calls import Calls
from airgap_check.observers.counters import Counters
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch, Observer, UnobservableError
from airgap_check.observers.sockdiag import SockdiagEvents
from airgap_check.observers.traffic import Traffic
from airgap_check.observers.witness import Watchers

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.inspection import Trial
    from airgap_check.kernel.netns import Namespace
    from airgap_check.kernel.sieve import Sieve
    from airgap_check.plan import Observing

_IDLE_MS = 1000  # between two looks when nothing woke us
_BREATH = 0.05  # seconds in which events may gather, so that a busy host does not wake us for each of them
Maker = Callable[[Epoch, Identity], Calls]
_O = TypeVar("_O", bound=Observer)


class Observation:
    """The observers that could be opened here; each one that could not is evidence too, with the reason.

    ``attempts`` is the observer of attempts, None where there is none.
    """

    def __init__(self, wanted: Observing, sieve: Sieve, epoch: Epoch, attempts: Maker | None = None) -> None:
        """Open what is wanted; whatever happens from now on counts. ``attempts`` makes one that starts who it sees."""
        self.trials: tuple[Trial, ...] = ()
        self._wanted = wanted
        self._observers: list[Observer] = []
        self._missing: list[Evidence] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="observers", daemon=True)
        self._epoch, self._identity = epoch, Identity(epoch)
        self.attempts = self._open("attempts", lambda: self._try(attempts, sieve))
        namespaces, _ = netns.discover()
        self._own = netns.own_inode()
        own = [namespace for namespace in namespaces if namespace.inode == self._own]
        self._traffic = self._open("traffic", lambda: Traffic(own, epoch, self._identity)) if wanted.traffic else None
        self._counters = self._open("counters", lambda: self._count(*namespaces))
        self._sockdiag = self._open("sockdiag", lambda: self._hear(*namespaces)) if wanted.sockdiag else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._halt()
        for observer in self._observers:
            observer.close()
        self._identity.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _open(self, kind: str, construct: Callable[[], _O]) -> _O | None:
        try:
            observer = construct()
        except UnobservableError as error:
            self._missing.append(Evidence(kind=kind, status="unavailable", reason=str(error).removeprefix(f"{kind}: ")))
            return None
        self._observers.append(observer)
        return observer

    def _try(self, make: Maker | None, sieve: Sieve) -> Attempts | Calls:
        if make is not None:
            return make(self._epoch, self._identity)
        return Attempts(self._wanted.cgroup, sieve, self._epoch, self._identity)

    def _count(self, *namespaces: Namespace) -> Counters:
        return Counters(namespaces, self._epoch, legacy=not isinstance(self.attempts, Calls))

    def _hear(self, *namespaces: Namespace) -> SockdiagEvents:
        return SockdiagEvents(namespaces, self._epoch, self._identity)

    def kinds(self) -> list[str]:
        """Name the observers that are at work."""
        return [observer.kind for observer in self._observers]

    def begin(self) -> None:
        """Show that the observers see, unless that is not wanted, then let a thread drain them."""
        if self._wanted.prove:
            watchers = Watchers(
                attempts=self.attempts,
                traffic=self._traffic,
                counters=self._count if self._counters else None,
                sockdiag=self._hear if self._sockdiag else None,
            )
            directory = self.attempts.directory if self.attempts else None
            self.trials = selftest.run(directory, watchers, selftest.SECONDS, self._launch())
        self._thread.start()

    def _launch(self) -> selftest.Launch:
        return self.attempts.launch_aside if isinstance(self.attempts, Calls) else subprocess.Popen

    def look_into(self, inodes: Collection[int]) -> None:
        """Watch the packets of these network namespaces too: those that the runtimes live in."""
        if self._traffic is None:
            return
        namespaces, _ = netns.discover()
        with self._lock:
            for namespace in namespaces:
                if namespace.inode in inodes and namespace.inode != self._own:
                    self._traffic.add(namespace)

    def fresh(self) -> list[AnyRecord]:
        """Return what is new since the last call. Raises what the draining thread failed of."""
        self._check()
        with self._lock:
            return [record for observer in self._observers for record in observer.fresh()]

    def finish(self) -> list[Evidence]:
        """Stop watching and say what was seen; an observer that missed one of our own attempts saw only in part."""
        self._halt()
        self._check()
        seen = [observer.finish() for observer in self._observers]
        return [*map(self._believed, seen), *self._missing]

    def _believed(self, evidence: Evidence) -> Evidence:
        blind = selftest.blind_modes(self.trials, evidence.kind) if self._wanted.prove else []
        if not blind or evidence.status == "unavailable":
            return evidence
        reason = f"the self-test was not seen: {', '.join(blind)}"
        return replace(evidence, status="partial", reason="; ".join(filter(None, (evidence.reason, reason))))

    def _halt(self) -> None:
        if self._thread.is_alive():
            self._stop.set()
            os.eventfd_write(self._wake, 1)
            self._thread.join()

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        """Drain until stopped; a fault is kept for the main thread, which alone may end the run."""
        try:
            self._drain()
        except BaseException as error:  # noqa: BLE001  (handed over to the caller's thread, not swallowed)
            self._failure = error

    def _drain(self) -> None:
        polled: set[int] = set()
        with select.epoll() as poll:
            poll.register(self._wake, select.EPOLLIN)
            while not self._stop.is_set():
                with self._lock:
                    wanted = {number for observer in self._observers for number in observer.filenos()}
                    for observer in self._observers:
                        observer.drain()
                for number in polled - wanted:
                    poll.unregister(number)
                for number in wanted - polled:
                    poll.register(number, select.EPOLLIN)
                polled = wanted
                poll.poll(_IDLE_MS / 1000)
                self._stop.wait(_BREATH)
