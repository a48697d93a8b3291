"""Answers the calls that filters tell of, at once: they go on, having noted who wants to go where, or fail.

A thread of its own does so, as the callers wait. What is noted waits for `take`, in a memory that has an end.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import foreign_socket, socket_call
from airgap_check.kernel.foreign_memory import Memory
from airgap_check.kernel.programs.event import QUEUE, Event
from airgap_check.kernel.socket_call import UnreadableError
from airgap_check.observers.callers import Callers
from airgap_check.observers.destination import LOCAL, destination, family_of
from airgap_check.observers.way_out import foreign_family, foreign_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.kernel.foreign_socket import Kind
    from airgap_check.kernel.seccomp import Listener, Notice
    from airgap_check.kernel.socket_call import Sent
    from airgap_check.observers.callers import Caller
    from airgap_check.observers.destination import Destination

_WAITING = 1 << 16  # noted at most until somebody takes it
_THREADS = 1 << 12  # whose last call is kept
_PATIENCE = 5.0  # seconds until our thread ends, unless somebody's memory holds it up
_INTERNET = frozenset({2, 10})  # AF_INET, AF_INET6
_XDP = 44
_WAYS, _ELSEWHERE = 100, "others"  # different ways out that are told apart


class Noted(NamedTuple):
    """An attempt, who makes it, and whether it is kept out of the evidence."""

    event: Event
    caller: Caller
    aside: bool


class _Told(NamedTuple):
    """What one call says; ``lost`` is how much of it could not be read, ``counts`` what of it is no attempt.

    ``refused`` is the errno that it fails with, as it leads out by ``way``; 0 where it goes on.
    """

    attempts: tuple[tuple[Event, Caller], ...] = ()
    lost: int = 0
    counts: Mapping[str, int] = {}
    refused: int = 0
    way: str = ""


class Supervisor:
    """The listeners, and the thread that serves them until `stop`.

    ``counts`` says how many calls there were, how many were *local*, *abandoned* by a caller that died, or met a
    signal, before they went on, or *continued* what a signal had interrupted; and how many were *unasked*, as nobody
    said what the socket is; *family N* are names that are neither IP nor local; *unasked files* are names of socket
    files of which nobody said who has bound them. ``lost`` counts what could not be read, ``overrun`` what could not be
    kept; ``ways_out`` how often each way out of the network namespace was refused.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(calls=0, local=0, abandoned=0, continued=0, unasked=0)
        self.lost = self.overrun = 0
        self.ways_out: Counter[str] = Counter()
        self._callers = Callers()
        self._last: dict[int, Sent] = {}  # by thread, of those that connect
        self._noted: deque[Noted] = deque()
        self._listeners: dict[int, tuple[Listener, bool]] = {}
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._stopped = False
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def serve(self, listener: Listener, *, aside: bool = False) -> None:
        """Answer the calls that come by a listener from now on; it is closed at the end."""
        with self._lock:
            if self._failure:
                listener.close()
                raise self._failure
            self._listeners[listener.fileno()] = listener, aside
            self._poll.register(listener.fileno(), select.EPOLLIN)

    def take(self) -> Iterator[Noted]:
        """Iterate over what waits, oldest first. Raises what the thread failed of."""
        if self._failure:
            raise self._failure
        for _ in range(len(self._noted)):
            yield self._noted.popleft()

    def stop(self) -> bool:
        """End; who calls from now on is refused. False where the thread did not end: it is stuck in a foreign memory.

        May be called more than once.
        """
        if self._stopped:
            return not self._thread.is_alive()
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            return False
        self._close()
        self._poll.close()
        os.close(self._wake)
        return True

    def _close(self) -> None:
        with self._lock:
            for listener, _ in self._listeners.values():
                listener.close()
            self._listeners.clear()

    def _run(self) -> None:
        """Serve until stopped; a fault is kept for who takes, and nobody shall wait for an answer after it."""
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001  (handed over to the caller's thread, not swallowed)
            self._failure = error
            self._close()

    def _serve(self) -> None:
        while True:
            for descriptor, happened in self._poll.poll():
                if descriptor == self._wake:
                    return
                listener, aside = self._listeners[descriptor]
                if happened & select.EPOLLIN:
                    notice = listener.receive()
                    if notice is not None:
                        self._hear(listener, notice, aside=aside)
                else:
                    self._forget(listener)

    def _forget(self, listener: Listener) -> None:
        """Let go of a listener by which nobody can call any more."""
        with self._lock:
            self._poll.unregister(listener.fileno())
            del self._listeners[listener.fileno()]
            listener.close()

    def _hear(self, listener: Listener, notice: Notice, *, aside: bool) -> None:
        self.counts["calls"] += 1
        at = time.monotonic_ns()
        told = self._read(notice, at)
        # What was read is the caller's own only if he still waits; and what goes no further was no attempt.
        if not listener.is_waiting(notice) or not self._answer(listener, notice, told.refused):
            self.counts["abandoned"] += 1
            return
        if told.way:
            self.ways_out[told.way if told.way in self.ways_out or len(self.ways_out) < _WAYS else _ELSEWHERE] += 1
        self.lost += told.lost
        self.counts.update(told.counts)
        for event, caller in told.attempts:
            if len(self._noted) >= _WAITING:
                self.overrun += 1
            else:
                self._noted.append(Noted(event, caller, aside))

    @staticmethod
    def _answer(listener: Listener, notice: Notice, refused: int) -> bool:
        return listener.refuse(notice, refused) if refused else listener.proceed(notice)

    def _read(self, notice: Notice, at: int) -> _Told:
        try:
            if notice.call == "socket":
                if way := foreign_family(notice.arguments[0] & 0xFFFFFFFF):
                    return _Told(refused=errno.EAFNOSUPPORT, way=way)
                caller = _placed(self._callers.of(notice.tid))
                return _Told(((_packets(notice, caller, at), caller),))
            with Memory(notice.tid) as memory:
                names, lost = socket_call.names(notice, memory.read), 0
        except UnreadableError as error:
            names, lost = error.seen, 1
        except (OSError, IndexError, ValueError):  # gone, or hidden: which of both, the listener knows
            return _Told(lost=1)
        counts: Counter[str] = Counter()
        try:
            for way in filter(None, (foreign_file(name, notice.tid) for name in names)):
                return _Told(refused=errno.ECONNREFUSED, way=way)
        except OSError:
            counts["unasked files"] += 1
        wanted = tuple(name for name in names if _is_wanted(name, counts))
        if not wanted:
            return _Told((), lost, counts)
        try:
            return _Told(tuple(self._attempts(wanted, self._callers.of(notice.tid), at, counts)), lost, counts)
        except (OSError, IndexError, ValueError):
            return _Told((), lost + len(wanted), counts)

    def _attempts(
        self, names: tuple[Sent, ...], caller: Caller, at: int, counts: Counter[str]
    ) -> Iterator[tuple[Event, Caller]]:
        kind = None
        try:
            kind = foreign_socket.ask(caller.tid, caller.pid, names[0].descriptor)
            if kind is None:
                return  # no socket: the call fails
        except OSError:
            counts["unasked"] += 1
        if kind is None or not kind.cookie:
            caller = _placed(caller)
        for sent in names:
            to = destination(sent, kind)
            if to is None:
                counts["local"] += 1
            elif sent.connects and kind is not None and self._is_continued(sent, kind, caller.tid):
                counts["continued"] += 1
            else:
                yield _event(to, kind, caller, at), caller

    def _is_continued(self, sent: Sent, kind: Kind, tid: int) -> bool:
        """Tell whether a thread only goes on waiting: a signal restarts the call, which connects to nobody anew."""
        if kind.is_begun and self._last.get(tid) == sent:
            return True
        if len(self._last) >= _THREADS:
            del self._last[next(iter(self._last))]
        self._last[tid] = sent
        return False


def _is_wanted(sent: Sent, counts: Counter[str]) -> bool:
    """Tell whether a name may lead elsewhere; what is not IP is counted, by family where it is not local."""
    family = family_of(sent.name)
    if family in _INTERNET or not family:
        return True
    counts["local" if family in LOCAL else f"family {family}"] += 1
    return False


def _event(to: Destination, kind: Kind | None, caller: Caller, at: int) -> Event:
    return Event(
        at=at, pid=caller.pid, tid=caller.tid, uid=caller.uid, source=0, cgroup=0, netns=kind.cookie if kind else 0,
        cookie=kind.number if kind else 0, address=to.address, port=to.port, protocol=to.protocol, hook=to.hook,
        family=to.family, type=kind.type if kind else 0, flags=0, started=caller.started, command=caller.command,
        executable=caller.number,
    )  # fmt: skip


def _placed(caller: Caller) -> Caller:
    """Say in which network namespace a thread is, where no socket does. Raises OSError."""
    return caller._replace(netns=os.stat(f"/proc/{caller.tid}/ns/net").st_ino)


def _packets(notice: Notice, caller: Caller, at: int) -> Event:
    """Return the event of a socket that sends whole frames; its port is the ethertype of those (packet(7))."""
    family, kind, protocol = (argument & 0xFFFFFFFF for argument in notice.arguments[:3])
    ethertype = 0 if family == _XDP else int.from_bytes((protocol & 0xFFFF).to_bytes(2, "little"), "big")
    return Event(
        at=at, pid=caller.pid, tid=caller.tid, uid=caller.uid, source=0, cgroup=0, netns=0, cookie=caller.number,
        address=bytes(16), port=ethertype, protocol=0, hook=QUEUE, family=family, type=kind & 0xF, flags=0,
        started=caller.started, command=caller.command, executable=caller.number,
    )  # fmt: skip
