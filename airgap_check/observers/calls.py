"""Observes every attempt of the programs that it starts itself, by the calls that they make: no eBPF, no privilege.

Each call waits until it has been heard of, so none is too short, and whoever makes it is known while he is there.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.evidence import Evidence
from airgap_check.kernel import seccomp
from airgap_check.kernel.peer import plain
from airgap_check.kernel.programs.event import CONNECT4, CONNECT6, SENDMSG4, SENDMSG6
from airgap_check.observers import oversight
from airgap_check.observers.observer import UnobservableError
from airgap_check.observers.oversight import Terms
from airgap_check.observers.supervisor import Supervisor
from airgap_check.observers.tally import LIMIT, Tally, protocol_of
from airgap_check.redact import printable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence import AnyRecord, Protocol
    from airgap_check.evidence.fact import Process
    from airgap_check.kernel.programs.event import Event
    from airgap_check.kernel.seccomp import Listener
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.observer import Epoch
    from airgap_check.observers.supervisor import Noted

_LOGGED = 200_000  # calls kept in the log
_FEW = 5  # ways out that are named
_DNS = 53  # the port
_ASIDE = 4096  # events of the self-test that are kept
_BLIND = (
    (
        "where a call went when another thread rewrote its address, or the path of a socket file, after it was heard "
        "of: packets are the second witness"
    ),
    "what io_uring does: it is refused here, as container engines refuse it",
    "what programs of another architecture (32 bits) do: their networking is refused here",
    "what raw and packet sockets send beyond the address that they name, and associations by sctp_connectx(3)",
)


class Call(NamedTuple):
    """One attempt: when (CLOCK_MONOTONIC, nanoseconds), who, and where to; of a packet socket, that it was made.

    ``address`` is IPv4 where it was IPv4-mapped, and empty for a packet socket, whose ``port`` is its ethertype.
    """

    at: int
    process: Process | None
    protocol: Protocol
    address: str
    port: int | None


class Calls:
    """Observes what `launch` starts, and all that comes of it, from the first instruction on until `finish` or `close`.

    Whoever still runs then is refused its calls. ``hooks`` are those whose attempts it promises to see, ``unlogged``
    counts the calls for which the log had no room. Raises UnobservableError.
    """

    kind = "attempts"
    hooks = frozenset({CONNECT4, CONNECT6, SENDMSG4, SENDMSG6})
    names_processes = True
    directory: str | None = None

    def __init__(self, epoch: Epoch, identity: Identity, *, limit: int = LIMIT) -> None:
        try:
            self._kernel = seccomp.kernel()
        except OSError as error:
            raise UnobservableError(f"{self.kind}: {error.strerror}") from error
        self.unlogged = 0
        self._identity, self._limit = identity, limit
        self._tally = Tally(identity, epoch, by_process=True, limit=limit)
        self._log: list[Call] = []
        self._askers: dict[int, Process] = {}
        self._aside: deque[Event] = deque(maxlen=_ASIDE)
        self._tests = 0
        self._shut = self._closed = False
        self._evidence: Evidence | None = None
        self._supervisor = Supervisor()

    def launch(
        self, argv: Sequence[str], *, keep: frozenset[int] | None, ambient: bool, **popen: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program and observe it; the thread that calls must live as long as the program shall.

        It keeps these capabilities (None: all); ``ambient``: also where it is not root. It meets all signals as by
        default. Raises UnobservableError where the kernel refuses, and OSError where the program cannot be run.
        """
        return self._start(argv, Terms(keep, ambient), aside=False, **popen)

    def launch_aside(self, argv: Sequence[str], **popen: Any) -> subprocess.Popen[bytes]:
        """Start the program of the self-test with all our capabilities: `aside` returns what it attempts."""
        return self._start(argv, Terms(ambient=os.geteuid() != 0), aside=True, **popen)

    def filenos(self) -> tuple[int, ...]:
        """Return nothing: a thread of our own polls."""
        return ()

    def set_aside(self, cgroup: int) -> None:
        """Do nothing: what is set aside was started so."""

    def aside(self) -> list[Event]:
        """Return the events that were set aside, oldest first."""
        return list(self._aside)

    def log(self) -> list[Call]:
        """Return the attempts so far in their order, but for those that go no further than this host."""
        return list(self._log)

    def asker(self, cookie: int) -> Process | None:
        """Return who asked a name server of this host by the socket with this cookie, as far as that is known."""
        return self._askers.get(cookie)

    def drain(self) -> None:
        """Take what the supervisor has noted."""
        for noted in self._supervisor.take():
            self._take(noted)

    def fresh(self) -> list[AnyRecord]:
        """Return the attempts that are new since the last call."""
        return list(self._tally.fresh())

    def finish(self) -> Evidence:
        """Stop, take the rest and return everything that was seen."""
        if self._evidence is not None:
            return self._evidence
        self._closed = True
        ended = self._supervisor.stop()
        self.drain()
        counts, records = Counter(self._supervisor.counts), self._tally.records()
        counts.update(
            own=self._tally.own, self_test=self._tests, distinct=len(records), repeats=self._tally.repeats(),
            unlogged=self.unlogged,
        )  # fmt: skip
        reasons = list(self._shortcomings(ended=ended))
        self._evidence = Evidence(
            kind=self.kind,
            status="partial" if reasons else "complete",
            records=tuple(records),
            reason="; ".join(reasons),
            scope="the attempts of the programs that we started, and of all that they started",
            counts=dict(counts),
            lost=self._supervisor.lost + self._supervisor.overrun + self._tally.unkept,
            blind=(*_BLIND, *self._identity.failures(), *self._strangeness()),
        )
        return self._evidence

    def close(self) -> None:
        """Stop; may be called more than once."""
        self._closed = True
        self._supervisor.stop()

    def _start(self, argv: Sequence[str], terms: Terms, *, aside: bool, **popen: Any) -> subprocess.Popen[bytes]:
        if self._closed:
            raise UnobservableError(f"{self.kind}: this observation has ended")

        def serve(listener: Listener, shut: bool) -> None:  # noqa: FBT001  (called by position)
            self._shut |= shut
            self._supervisor.serve(listener, aside=aside)

        return oversight.start(argv, terms, self._kernel, serve, **popen)

    def _take(self, noted: Noted) -> None:
        attempt = noted.event
        if noted.aside:
            self._tests += 1
            self._aside.append(attempt)
        elif self._tally.add(attempt, noted.caller):
            if len(self._log) >= _LOGGED:
                self.unlogged += 1
            else:
                self._log.append(_logged(attempt, noted.caller.process))
        elif attempt.port == _DNS and noted.caller.process and len(self._askers) < _LOGGED:
            self._askers[attempt.cookie] = noted.caller.process

    def _shortcomings(self, *, ended: bool) -> Iterator[str]:
        """Say in words why this is not everything."""
        if not ended:
            yield "the supervisor was held up by the memory of a program"
        if lost := self._supervisor.lost:
            yield f"{lost} calls were lost: the memory that they point to, or who made them, could not be read"
        if overrun := self._supervisor.overrun:
            yield f"{overrun} attempts were lost: they came faster than they could be taken in"
        if ways := self._supervisor.ways_out:
            listed = ", ".join(f"{printable(way)} ({times})" for way, times in ways.most_common(_FEW))
            more = f" and {len(ways) - _FEW} more" if len(ways) > _FEW else ""
            yield f"calls that lead out of the network namespace by no IP were refused: {listed}{more}"
        if unasked := self._supervisor.counts["unasked files"]:
            yield f"the kernel cannot tell who answers at a socket file that was named by {unasked} calls (unix_diag)"
        if unkept := self._tally.unkept:
            yield f"{unkept} attempts were lost: more than {self._limit} different ones"

    def _strangeness(self) -> Iterator[str]:
        if self._shut:
            yield "what programs would do as another user: being set-user-ID gives no privileges here"
        counts = self._supervisor.counts
        if unasked := counts["unasked"]:
            yield f"by what protocol {unasked} attempts were made: their sockets could not be asked"
        for name in sorted(counts):
            if name.startswith("family "):
                yield f"where {counts[name]} calls to addresses of {name} lead, which is not IP"


def _logged(attempt: Event, process: Process | None) -> Call:
    protocol = protocol_of(attempt)
    address = "" if protocol == "packet" else str(ip_address(plain(attempt.address)))
    has_port = protocol in {"tcp", "udp", "packet"} or (protocol == "raw" and attempt.port)
    return Call(attempt.at, process, protocol, address, attempt.port if has_port else None)
