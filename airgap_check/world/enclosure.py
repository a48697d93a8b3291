"""The processes of a rehearsal: who stays outside, who answers, who is sealed in; and that nothing outlives the tool.

Each process dies with the one that forked it, down to the first process of a pid namespace, with which the kernel ends
whatever was started inside, however it detached itself. Namespaces, mounts and sockets end with the processes.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import msgspec

from airgap_check.errors import AirgapError
from airgap_check.kernel import namespaces
from airgap_check.kernel.syscalls import setns
from airgap_check.world import ferry, ground, interior, publication
from airgap_check.world.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime
    from typing import NoReturn

    from airgap_check.world.ground import Ground
    from airgap_check.world.meeting import Orders

_T = TypeVar("_T")
_MODULES = "the kernel modules nf_tables, nft_tproxy and veth are needed"
_CONTAINED = (
    "in a container, its engine must mask nothing of /proc "
    "(docker: --security-opt systempaths=unconfined, podman: --security-opt unmask=ALL)"
)
_ADVICE = "run this as root, or where ordinary users may make user namespaces"


class SealError(AirgapError):
    """This machine does not let us make a sealed world; the text is a clause that says what is missing."""


class Within(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal has inside. Descriptors, each to be closed by whoever is done with it.

    ``tell`` leads to the tool outside, ``heed`` ends when the rehearsal shall; ``meetings`` is what the world tells,
    until its end, which comes when ``world`` is closed. ``trust`` are variables that make a command trust the world.
    """

    tell: int
    heed: int
    meetings: int
    world: int
    trust: dict[str, str]
    blind: tuple[str, ...]


class Surroundings(NamedTuple):
    """What the world needs of this machine: the time, the command's environment, sockets that listen, by port."""

    now: datetime
    environ: Mapping[str, str]
    published: Mapping[int, socket.socket]


class Enclosure:
    """A sealed world with a rehearsal at work in it. Raises SealError.

    Must be made by the main thread, and before there is any other. ``output`` is what the rehearsal tells.
    """

    def __init__(
        self,
        orders: Orders,
        around: Surroundings,
        rehearse: Callable[[Within], None],
    ) -> None:
        """Seal, then let ``rehearse`` work inside."""
        self.output, tell = os.pipe()
        heed, self._halt = os.pipe()
        status, unsealed = os.pipe()
        listeners = [listener.fileno() for listener in around.published.values()]
        self._keeper = _fork(
            lambda: _Keeper(orders, around, unsealed).keep(rehearse, tell, heed), [tell, heed, unsealed, *listeners]
        )
        for descriptor in (tell, heed, unsealed):
            os.close(descriptor)
        with os.fdopen(status, "rb") as file:
            reason = file.read().decode()
        if reason:
            self.close()
            raise SealError(reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def halt(self) -> None:
        """Ask the rehearsal to come to its end; may be called more than once."""
        if self._halt >= 0:
            os.close(self._halt)
            self._halt = -1

    def close(self) -> None:
        """End everything that is left."""
        self.halt()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
            os.kill(self._keeper, signal.SIGKILL)
            os.waitpid(self._keeper, 0)


def _fork(work: Callable[[], None], keep: Iterable[int], *, first: bool = False) -> int:
    """Let a process of its own do some work, and die when we do; ``first`` is that of a new pid namespace.

    It keeps these descriptors and the standard ones: any other might be the end of a pipe that somebody waits for.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        namespaces.die_with(0 if first else parent)
        _close_all_but({0, 1, 2, *keep})
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001  (what our parent was doing is none of this process's business)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(3)


def _close_all_but(kept: Collection[int]) -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(descriptor)


class _Keeper:
    """The process that makes the namespaces, forks whoever works in them, and waits for the first one inside."""

    def __init__(self, orders: Orders, around: Surroundings, unsealed: int) -> None:
        self._orders, self._around, self._unsealed = orders, around, unsealed

    def keep(self, rehearse: Callable[[Within], None], tell: int, heed: int) -> None:
        """Do all that; what the kernel refuses is said, and the end."""
        os.setsid()  # Ctrl-C is for the tool, which then asks us for the report
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _quiet()
        ferryman = self._ferry() if self._orders.through else None
        if not namespaces.may_administer():
            self._try("user namespace", namespaces.become_own_user, namespaces.why_not() or _ADVICE)
            namespaces.die_with(os.getppid())  # the kernel may have forgotten, as our rights have changed
        laid: Ground = self._try("network namespaces", lambda: ground.lay(self._orders.world), _MODULES)
        authority = Authority(self._around.now)
        meetings, told = os.pipe()
        ended, world = os.pipe()
        ends = [*laid.tcp, *laid.udp, *laid.name_tcp, *laid.name_udp, *filter(None, (laid.table, ferryman))]
        _fork(
            lambda: self._answer(laid, authority, ferryman, told, ended),
            [laid.far, told, ended, *(end.fileno() for end in ends)],
        )
        published = self._around.published
        if published:
            _fork(lambda: publication.serve(published), [listener.fileno() for listener in published.values()])
        self._try("pid namespace", lambda: namespaces.unshare(namespaces.PID), _ADVICE)
        trusted = authority.certificate if self._orders.trusted else None
        pipes = [tell, heed, meetings, world]

        def begin() -> None:
            room = self._furnish(trusted)
            os.close(self._unsealed)
            within = Within(tell=tell, heed=heed, meetings=meetings, world=world, trust=room.trust, blind=room.blind)
            child = _fork(lambda: rehearse(within), pipes)
            _close_all_but({0, 1, 2})
            _reap(child)

        first = _fork(begin, [self._unsealed, *pipes], first=True)
        _close_all_but({0, 1, 2})
        os.waitpid(first, 0)

    def _furnish(self, trusted: bytes | None) -> interior.Interior:
        def furnish() -> interior.Interior:
            namespaces.unshare(namespaces.MOUNT | namespaces.IPC)
            return interior.furnish(socket.gethostname(), trusted, self._around.environ)

        return self._try("mount namespace with a /proc of its own", furnish, _CONTAINED)

    def _ferry(self) -> socket.socket:
        """Leave somebody in the machine's network who connects to what was asked for, and to nothing else."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        places = frozenset(self._orders.through.values())
        _fork(lambda: ferry.serve(theirs, places), [theirs.fileno()])
        theirs.close()
        return ours

    def _answer(
        self, laid: Ground, authority: Authority, ferryman: socket.socket | None, told: int, ended: int
    ) -> None:
        """Answer for the world until the rehearsal closes its end."""
        from airgap_check.world import far  # what speaks all these protocols is heavy, and nobody else's

        setns(laid.far, namespaces.NETWORK)
        far.serve(
            self._orders, tcp=laid.tcp, udp=laid.udp, name_udp=laid.name_udp, name_tcp=laid.name_tcp,
            table=laid.table, authority=authority, tell=told, ferry=ferryman, stop=ended,
        )  # fmt: skip

    def _try(self, what: str, make: Callable[[], _T], advice: str) -> _T:
        try:
            return make()
        except OSError as error:
            limit = namespaces.why_not() or "a limit is reached (sysctl user.max_user_namespaces and its likes)"
            known = limit if error.errno == errno.ENOSPC else advice
            self._refuse(f"the kernel makes us no {what} ({error.strerror or error}): {known}")

    def _refuse(self, reason: str) -> NoReturn:
        os.write(self._unsealed, reason.encode())
        os._exit(2)


def _quiet() -> None:
    """Let nobody read what the tool is given, nor write where its report goes."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)


def _reap(child: int) -> NoReturn:
    """Be the first process of a pid namespace: take in whoever has lost his parent, until our own child ends.

    Whoever is rehearsed may stop our child, as he is the same user: then it goes on.
    """
    while True:
        with suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WUNTRACED)
            if pid == child and os.WIFSTOPPED(status):
                os.kill(child, signal.SIGCONT)
            elif pid == child:
                os._exit(0)
