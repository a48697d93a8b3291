"""The rehearsal itself, in the sealed world: observers first, then the command, then whoever exercises it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airgap_check import snapshot
from airgap_check.drivers.diary import Diary
from airgap_check.drivers.where import Where
from airgap_check.errors import AirgapError, UsageError
from airgap_check.evidence import Answer, Evidence, Resolver, Runtime, Setting
from airgap_check.evidence.fact import Workload
from airgap_check.kernel import netns, procfs
from airgap_check.kernel.sieve import NOTHING
from airgap_check.observers import overseen
from airgap_check.observers.calls import Calls
from airgap_check.observers.observer import Epoch, UnobservableError
from airgap_check.plan import Observing
from airgap_check.policy import many
from airgap_check.policy.allowlist import Allowlist
from airgap_check.rehearsal import encounters, inquiries, line, processes
from airgap_check.rehearsal.christening import Register
from airgap_check.rehearsal.exercise import Exercise
from airgap_check.rehearsal.meetings import Meetings
from airgap_check.watching.observation import Observation
from airgap_check.world.ground import RESOLVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from types import FrameType

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.plan import Plan
    from airgap_check.policy import Policy
    from airgap_check.rehearsal.wish import Wish
    from airgap_check.snapshot import Snapshot
    from airgap_check.world.enclosure import Within

_LOOKS = (1.0, 5.0, 15.0)  # seconds after which what runs is looked at, beside the look at the end
_TICK = 0.05  # seconds between two looks at the time
# What a command may send to whomever it may signal, by kill(-1): who asks us to end has a descriptor for that.
_DEAF_TO = tuple(
    signal.valid_signals()
    - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ}
    - {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS}
)
# What container engines leave to root: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
# NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP; and of those what an ordinary user needs to be
# seen as he would be there.
_KEPT_BY_ROOT = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})
_KEPT = frozenset({10, 13})
_BLIND = (
    "what the command does with the answers of real services: these were made up",
    "programs that want no address for benchmarks (RFC 2544), by which names are answered here",
)


class Rehearsal:
    """One command in its sealed world; `perform` tells everything to the tool outside."""

    def __init__(
        self, wish: Wish, plan: Plan, policy: Policy | None, inspection: Inspection, clock: Callable[[], datetime]
    ) -> None:
        self._wish, self._plan, self._policy = wish, plan, policy
        self._inspection, self._clock = inspection, clock
        self._workload = _workload(wish, policy)
        self._stop = threading.Event()
        self._latest: Snapshot | None = None
        self._ended: str | None = None
        self._exercise: Exercise
        self._tell = -1

    def perform(self, within: Within) -> None:
        """Rehearse, and tell the outcome, or why there is none."""
        self._tell = within.tell
        for number in _DEAF_TO:
            signal.signal(number, _hear_nothing)  # unlike SIG_IGN, it ends where a program is executed
        try:
            outcome: line.Line = self._rehearse(within)
        except UnobservableError as error:
            outcome = line.Unseen(str(error))
        except AirgapError as error:
            outcome = line.Refused(str(error))
        except BaseException:  # noqa: BLE001  (told to the tool outside, which fails of it)
            outcome = line.Failed(traceback.format_exc())
        line.write(within.tell, outcome)

    def _rehearse(self, within: Within) -> line.Outcome:
        threading.Thread(target=self._heed, args=(within.heed,), name="heed", daemon=True).start()
        environ = {**self._wish.environ, **within.trust}
        os.environ.clear()
        os.environ.update(environ)
        if os.geteuid():
            overseen.limit(None, ambient=True)  # uid 0 alone hands them on of itself
        imports = threading.Thread(target=_import_dissectors, name="imports", daemon=True)
        imports.start()
        meetings, diary = Meetings(within.meetings), Diary()
        epoch = Epoch(self._clock(), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._stage("attaching observers")
        wanted = Observing(prove=self._wish.prove)
        with Observation(wanted, NOTHING, epoch, attempts=Calls) as observation:
            self._stage("testing that they see")
            observation.begin()
            imports.join()
            calls = observation.attempts
            if not isinstance(calls, Calls):
                raise UnobservableError(
                    "; ".join(item.reason for item in observation.finish() if item.kind == "attempts")
                )
            launch = partial(calls.launch, **_rights())
            command = self._launch(launch, environ)
            where = Where(port=None, pid=command.pid, environ=environ, cwd=os.getcwd(), launch=launch)
            self._stage("rehearsing")
            cut = self._watch(command, diary, where)
            processes.dismiss(diary.own_pids)
            self._look(diary)
            observed = observation.finish()
        processes.hold(diary.own_pids)
        os.close(within.world)
        meetings.wait()
        assert self._latest is not None, "there was a look at the end"
        policy = self._latest.policy
        register = Register(meetings.names, policy.file.networks.domains)
        told = encounters.Witnesses(
            calls.log(), meetings.met, self._wish.world, diary.at, epoch.at_monotonic, register.christened
        )
        seen = [_of_the_command(item) for item in self._latest.evidence if item.kind not in {"resolution", "policy"}]
        world = self._world(told, meetings, calls, within)
        evidence = [
            *seen,
            self._resolution(register, meetings.names, policy),
            *inquiries.attributed(observed, meetings.inquiries, calls.asker, epoch.at_monotonic),
            world,
            *self._exercise.evidence(epoch.at_monotonic),
        ]
        christened = tuple(register.applied(item, self._workload) for item in evidence)
        return line.Outcome(christened, observation.trials, cut)

    def _heed(self, descriptor: int) -> None:
        """Wait for the word from outside that this shall come to its end."""
        os.read(descriptor, 1)
        self._stop.set()

    def _stage(self, text: str) -> None:
        line.write(self._tell, line.Stage(text))

    def _launch(
        self, launch: Callable[..., subprocess.Popen[bytes]], environ: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start the command."""
        descriptor = 2 if self._wish.shown else subprocess.DEVNULL
        try:
            return launch(list(self._wish.command), env=environ, stdin=0, stdout=descriptor, stderr=descriptor)
        except OSError as error:
            raise UsageError(f"cannot run {self._wish.command[0]}: {error.strerror}") from error

    def _watch(self, command: subprocess.Popen[bytes], diary: Diary, where: Where) -> str | None:
        """Wait until time is over, everything has ended, or the driver has done all; say what was cut short."""
        began = time.monotonic()
        looks = [began + seconds for seconds in _LOOKS]
        exercised = self._exercise = Exercise(self._wish, where, diary, self._stop)
        ends = began + self._wish.seconds
        while (now := time.monotonic()) < ends:
            if looks and now >= looks[0]:
                del looks[0]
                self._look(diary)
            self._note_end(command, began)
            if self._is_over(exercised, diary) or self._stop.wait(_TICK):
                break
        self._note_end(command, began)  # it may have ended since
        watched, stopped = time.monotonic() - began, self._stop.is_set()
        self._stop.set()
        exercised.wait()
        if stopped and self._wish.seconds - watched > 1:
            return f"rehearsed {watched:.0f}s of {self._wish.seconds:.0f}s"
        return None

    def _note_end(self, command: subprocess.Popen[bytes], began: float) -> None:
        """Note that the command has ended by itself, and how."""
        if self._ended is None and command.poll() is not None:
            self._ended = f"after {time.monotonic() - began:.0f} s, with exit code {command.returncode}"

    def _is_over(self, exercised: Exercise, diary: Diary) -> bool:
        if exercised.is_done() and exercised.drives and not self._wish.lasting:
            return True
        return exercised.is_done() and all(procfs.is_zombie(pid) for pid in processes.of_command(diary.own_pids))

    def _look(self, diary: Diary) -> None:
        """Look at what runs, and keep that look unless an earlier one knew more: a command may end at any time."""
        pids = list(processes.of_command(diary.own_pids))
        seen = snapshot.take(self._plan, self._policy, self._inspection, self._stage, pids=pids)
        if self._latest is None or _runtimes(seen) >= _runtimes(self._latest):
            self._latest = seen
        self._stage("rehearsing")

    def _resolution(self, register: Register, names: Iterable[str], policy: Policy) -> Evidence:
        """State what names lead to here: the world's own name server was asked, and nobody else."""
        own = netns.own_inode()
        allowlist = Allowlist(policy, (), self._inspection.started.date())
        wanted = [*policy.names(), *(name for name in names if allowlist.covers_name(name))]
        records: tuple[Resolver | Answer, ...] = (
            Resolver(netns=own, address=RESOLVER, scope="loopback", source="the sealed world"),
            *register.answers(wanted, own),
        )
        return Evidence(
            kind="resolution", status="complete", records=records, scope="the name server of the sealed world",
            counts={"names": len(records) - 1},
        )  # fmt: skip

    def _world(self, told: encounters.Witnesses, meetings: Meetings, calls: Calls, within: Within) -> Evidence:
        fetched = self._exercise.fetched(told.wall, told.known)
        found, unkept = encounters.united([*encounters.of(told), *fetched])
        reasons = list(meetings.shortcomings())
        if unkept:
            reasons.append(f"{unkept} encounters were not kept: there were more than {encounters.LIMIT} different ones")
        if calls.unlogged:
            reasons.append(f"{calls.unlogged} attempts were counted, but not kept one by one")
        if self._ended and not self._ended.endswith(" 0"):
            reasons.append(f"the command ended by itself {self._ended}")
        return Evidence(
            kind="world",
            status="partial" if reasons else "complete",
            records=tuple(found),
            reason="; ".join(reasons),
            scope=f"a sealed world ({self._wish.world})",
            counts={"names": len(meetings.names), "meetings": len(meetings.met), "encounters": len(found)},
            lost=meetings.unkept + unkept + calls.unlogged,
            blind=(*_BLIND, *within.blind),
        )


def _rights() -> dict[str, Any]:
    """Return what is left of our rights to the command, and to the programs of drivers: as container engines do."""
    return {"keep": _KEPT, "ambient": True} if os.geteuid() else {"keep": _KEPT_BY_ROOT, "ambient": False}


def _import_dissectors() -> None:
    """Import what the self-test's odder packets are read with (0.2 s), while others are waited for.

    While it is imported the environment is neither to be changed nor to be read.
    """
    from airgap_check.dissect import encapsulation
    from airgap_check.observers import wire  # noqa: F401  (imported, not used: that is the point)

    encapsulation.carried(encapsulation.IPV6, b"")


def _hear_nothing(_number: int, _frame: FrameType | None) -> None:
    """Go on."""


def _workload(wish: Wish, policy: Policy | None) -> Workload | None:
    """Return whom the command is judged as: what was asked for, else the subject of the policy, if that names one."""
    if wish.workload is not None:
        return wish.workload
    subject = policy.file.scope.subject if policy else None
    units, containers = (many(subject.unit), many(subject.container)) if subject else ((), ())
    found = [Workload(kind="unit", id=name, name=name) for name in units]
    found += [Workload(kind="container", id=name, name=name) for name in containers]
    return found[0] if found else None


def _of_the_command(evidence: Evidence) -> Evidence:
    """Leave out what units of this machine say, and our own environment where the command's own, the same, was seen."""
    stated = any(record.place.kind == "process" for record in evidence.of(Setting))
    others = {"unit", "own"} if stated else {"unit"}
    kept = (one for one in evidence.records if not (isinstance(one, Setting) and one.place.kind in others))
    return replace(evidence, records=tuple(kept))


def _runtimes(seen: Snapshot) -> int:
    return sum(1 for evidence in seen.evidence for _ in evidence.of(Runtime))
