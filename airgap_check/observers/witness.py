"""Says of each observer what it promises to see of the self-test, and what of it it has seen."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airgap_check.errors import AirgapError
from airgap_check.evidence import Connection, Counter, Question
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.programs.event import QUEUE
from airgap_check.kernel.snmp import NO_ROUTES4, NO_ROUTES6
from airgap_check.observers.mode import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airgap_check.evidence import AnyRecord
    from airgap_check.kernel.programs.event import Event
    from airgap_check.observers.mode import Mode
    from airgap_check.observers.observer import Observer


class Attempts(Protocol):
    """What the self-test asks of the observer of attempts; ``hooks`` are those that it attached."""

    hooks: frozenset[int]
    names_processes: bool

    def set_aside(self, cgroup: int) -> None:
        """Keep what happens in a cgroup out of the evidence."""

    def drain(self) -> None:
        """Take what waits in the kernel."""

    def aside(self) -> list[Event]:
        """Return what was set aside."""


class Traffic(Protocol):
    """What the self-test asks of the observer of traffic."""

    def add(self, namespace: Namespace) -> None:
        """Capture in one more network namespace; raises OSError or UnobservableError."""

    def remove(self, inode: int) -> None:
        """Let go of a network namespace."""

    def set_aside(self, inode: int) -> None:
        """Keep what is seen in a network namespace out of the evidence."""

    def drain(self) -> None:
        """Take what waits in the kernel."""

    def aside(self) -> list[AnyRecord]:
        """Return what was set aside."""


class Watchers(NamedTuple):
    """The observers to try, those that there are.

    Those that watch the namespaces that they began with are tried by another of their kind, which ``counters`` and
    ``sockdiag`` make for a namespace; they raise OSError or UnobservableError.
    """

    attempts: Attempts | None = None
    traffic: Traffic | None = None
    counters: Callable[[Namespace], Observer] | None = None
    sockdiag: Callable[[Namespace], Observer] | None = None


class Stage(NamedTuple):
    """Where the attempts are made: by which process, in which cgroup, in which network namespaces (its own first).

    ``name`` is what it asks DNS for; ``reason`` says why there is no wire but loopback.
    """

    pid: int
    cgroup: int
    namespaces: tuple[int, ...]
    name: str
    reason: str = ""


class Witness(NamedTuple):
    """An observer under trial: the modes that it promises, whether it names the process, and how to ask it.

    ``look`` yields what was seen since, as mode and pid (0: not known); ``excuses`` says why a mode is not tried;
    ``leave`` gives back what was taken for the trial.
    """

    observer: str
    modes: tuple[Mode, ...]
    look: Callable[[], Iterator[tuple[str, int]]]
    names_processes: bool = False
    excuses: Mapping[str, str] = {}
    leave: Callable[[], None] = lambda: None


def promises(watchers: Watchers) -> Iterator[tuple[str, tuple[Mode, ...]]]:
    """Iterate over the observers and what each promises."""
    if watchers.attempts:
        hooks = watchers.attempts.hooks
        yield "attempts", tuple(mode for mode in MODES if mode.hook in hooks)
    if watchers.traffic:
        yield "traffic", tuple(mode for mode in MODES if mode.on_wire)
    if watchers.counters:
        yield "counters", tuple(mode for mode in MODES if mode.place == "nowhere")
    if watchers.sockdiag:
        yield "sockdiag", tuple(mode for mode in MODES if mode.kind == "tcp" and mode.on_wire)


def witnesses(watchers: Watchers, stage: Stage) -> Iterator[Witness]:
    """Iterate over the observers, ready to watch the stage and to keep what they see there out of the evidence."""
    near = Namespace(stage.namespaces[0], "process", (stage.pid,), ((0, f"/proc/{stage.pid}/ns/net"),))
    modes = dict(promises(watchers))
    if watchers.attempts:
        watchers.attempts.set_aside(stage.cgroup)
        look = partial(_attempts_seen, watchers.attempts)
        # On loopback a packet socket reaches nobody, and is not reported.
        excuses = {mode.name: stage.reason for mode in MODES if mode.hook == QUEUE and stage.reason}
        yield Witness("attempts", modes["attempts"], look, watchers.attempts.names_processes, excuses)
    if watchers.traffic:
        for inode in stage.namespaces:
            watchers.traffic.set_aside(inode)
        look = partial(_traffic_seen, watchers.traffic, stage.name)
        leave = partial(watchers.traffic.remove, near.inode)  # its sockets would keep the namespace alive
        excuses = _excuses(watchers.traffic, near, stage.reason)
        yield Witness("traffic", modes["traffic"], look, excuses=excuses, leave=leave)
    for observer, make, seen in (
        ("counters", watchers.counters, _counters_seen),
        ("sockdiag", watchers.sockdiag, _sockets_seen),
    ):
        if make:
            yield _another(observer, modes[observer], partial(make, near), seen)


def _another(
    observer: str,
    modes: tuple[Mode, ...],
    make: Callable[[], Observer],
    seen: Callable[[Observer], Iterator[tuple[str, int]]],
) -> Witness:
    try:
        made = make()
    except (OSError, AirgapError) as error:
        return Witness(observer, modes, lambda: iter(()), excuses=_refused(error))
    return Witness(observer, modes, partial(seen, made), leave=made.close)


_BY_ADDRESS = {ip_address(mode.address): mode for mode in MODES}


def _attempts_seen(watcher: Attempts) -> Iterator[tuple[str, int]]:
    watcher.drain()
    for event in watcher.aside():
        address = IPv6Address(event.address)
        mode = _BY_ADDRESS.get(address.ipv4_mapped or address)
        if mode:
            yield mode.name, event.pid


def _traffic_seen(watcher: Traffic, name: str) -> Iterator[tuple[str, int]]:
    watcher.drain()
    for record in watcher.aside():
        if isinstance(record, Question) and record.name == name:
            yield from ((mode.name, 0) for mode in MODES if mode.kind == "dns")
        else:
            yield from _connected(record)


def _sockets_seen(watcher: Observer) -> Iterator[tuple[str, int]]:
    watcher.drain()
    for record in watcher.fresh():
        yield from _connected(record)


def _connected(record: AnyRecord) -> Iterator[tuple[str, int]]:
    if isinstance(record, Connection) and record.remote.address:
        mode = _BY_ADDRESS.get(ip_address(record.remote.address))
        if mode and mode.kind != "dns":
            yield mode.name, 0


def _counters_seen(watcher: Observer) -> Iterator[tuple[str, int]]:
    grown = {record.name for record in watcher.finish().of(Counter)}
    for mode in MODES:
        if mode.place == "nowhere" and (NO_ROUTES6 if ":" in mode.address else NO_ROUTES4) in grown:
            yield mode.name, 0


def _excuses(watcher: Traffic, namespace: Namespace, reason: str) -> dict[str, str]:
    """Let the observer capture there; say which modes cannot be tried, and why. On loopback it looks at DNS alone."""
    try:
        watcher.add(namespace)
    except (OSError, AirgapError) as error:
        return _refused(error)
    return {mode.name: reason for mode in MODES if mode.kind != "dns" and reason}


def _refused(error: Exception) -> dict[str, str]:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return dict.fromkeys((mode.name for mode in MODES), f"could not watch a namespace of our own: {why}")
