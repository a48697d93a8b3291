"""What the caller asked for, once the command line has been read, and who is with him while it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.engine import Terms
from airgap_check.evidence.fact import Fact

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime

    from airgap_check.history.change import Change


class Observing(Fact, frozen=True, kw_only=True):
    """How to watch. ``seconds`` is None until somebody stops it; ``cgroup`` names a sub-tree to keep to.

    ``sockdiag`` asks for destroy notifications, which slow hosts with many connections; ``traffic`` for packets;
    ``prove`` for attempts of our own, to show what the observers see.
    """

    seconds: float | None = None
    cgroup: str | None = None
    sockdiag: bool = False
    traffic: bool = True
    prove: bool = True


class Need(NamedTuple):
    """A destination that this very program needs: a name or address, a port, tcp or udp."""

    host: str
    port: int
    protocol: str


class Plan(Fact, frozen=True, kw_only=True):
    """What to do. ``max_time`` is in seconds, beyond any observation; ``every_owner`` looks up owners nobody needs yet.

    ``deployment`` names files to read besides, ``database`` asks for rows of the business database, ``state`` is the
    folder that remembers earlier runs, None for the default one, "" for none; ``every`` is how many seconds runs are
    meant to be apart, where somebody said so.
    ``needs`` are the destinations of alerts. ``relaxed`` names the options that make the collection milder than the
    default.
    """

    policy: str | None = None
    rules: tuple[str, ...] = ()
    terms: Terms = Terms()
    resolve: bool = True
    max_time: float = 60.0
    every_owner: bool = False
    argv: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
    observing: Observing | None = None
    deployment: tuple[str, ...] = ()
    database: bool = False
    state: str | None = None
    every: float | None = None
    needs: tuple[Need, ...] = ()


def _keep_silent(_change: Change) -> None:
    """Tell nobody."""


class Watcher(NamedTuple):
    """Who runs the collection: the wall clock; who hears of stages, that all are at work, of findings; the end.

    ``changed`` hears what a run has changed, before that is remembered.
    """

    clock: Callable[[], datetime]
    progress: Callable[[str], None]
    ready: Callable[[str], None]
    tell: Callable[[str], None]
    stop: threading.Event
    changed: Callable[[Change], None] = _keep_silent
