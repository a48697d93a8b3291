"""Proof of sight: fails on purpose in every way that the observers promise to see, and says which of them they saw.

The attempts are made by `canary`, in a throw-away cgroup and in network namespaces that lead nowhere; they go to
addresses for documentation (RFC 5737, RFC 3849), each mode to one of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airgap_check.errors import AirgapError
from airgap_check.evidence.inspection import Trial
from airgap_check.kernel.sandbox import Sandbox
from airgap_check.observers.mode import MODES
from airgap_check.observers.witness import Stage, promises, witnesses
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Literal

    from airgap_check.observers.mode import Mode
    from airgap_check.observers.witness import Watchers, Witness

    Launch = Callable[..., subprocess.Popen[bytes]]
    Verdict = Literal["right", "wrong", "unknown", "not promised"]

SECONDS = 3.0  # for all of it, where the machine has time for us
_BUSY = 4  # times as long may the attempts take where it has not: it would be no proof that anybody is blind
_LAST_LOOKS = 1.0  # seconds that the observers have, at the least, once the attempts are made
_SCRIPT = os.path.join(os.path.dirname(__file__), "canary.py")
_TICK, _LONGEST_PAUSE = 0.01, 0.1  # seconds between two looks at the observers
_READ = 1 << 16


class _Until(NamedTuple):
    """The time.monotonic() by which the attempts must be made, and by which they should be seen."""

    made: float
    seen: float


class _FailedError(AirgapError):
    """The self-test could not run; the text is a clause that says why."""


class _Canary:
    """The process that makes the attempts; it and its cgroup are gone after `close`. Raises OSError."""

    def __init__(self, directory: str | None, name: str, seconds: float, launch: Launch = subprocess.Popen) -> None:
        self._sandbox = Sandbox(directory) if directory is not None else None
        try:
            self._process = launch(
                [sys.executable, "-I", "-S", _SCRIPT],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=directory or "/",
                process_group=0,  # Ctrl-C on a terminal asks us for the report, and must not end what it is to rest on
            )  # fmt: skip
        except BaseException:
            if self._sandbox:
                self._sandbox.close()
            raise
        self.pid = self._process.pid
        self.cgroup = self._sandbox.number if self._sandbox else 0
        assert self._process.stdin
        assert self._process.stdout
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._text = b""
        self._orders = {
            "parent": os.getpid(), "seconds": seconds, "name": name, "modes": [mode[:5] for mode in MODES],
            "cgroup": self._sandbox.name if self._sandbox else None,
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, deadline: float) -> dict[str, Any]:
        """Wait until it stands on its ground, and move it into its cgroup; raises _FailedError."""
        self._tell(json.dumps(self._orders))
        for fact in self.facts(deadline):
            if "failed" in fact:
                raise _FailedError(f"it could make no network namespaces: {printable(str(fact['failed']))}")
            if self._sandbox:
                self._sandbox.admit(self.pid)
            return fact
        raise _FailedError("the process that makes the attempts did not start")

    def go(self) -> None:
        """Let it make its attempts."""
        self._tell("go")

    def facts(self, deadline: float) -> Iterator[dict[str, Any]]:
        """Iterate over what it says, until it ends or time is up."""
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        while True:
            line, found, rest = self._text.partition(b"\n")
            if found:
                self._text = rest
                yield json.loads(line)
                continue
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return
            data = os.read(self._output, _READ)
            if not data:
                return
            self._text += data

    def close(self) -> None:
        """End it, if it has not ended, and remove its cgroup."""
        with self._process:
            self._process.kill()
        if self._sandbox:
            self._sandbox.close()

    def _tell(self, line: str) -> None:
        os.write(self._input, line.encode() + b"\n")


def run(
    directory: str | None, watchers: Watchers, deadline_seconds: float = SECONDS, launch: Launch = subprocess.Popen
) -> tuple[Trial, ...]:
    """Make the attempts below an observed cgroup directory, and say which of them were seen, by whom.

    ``launch`` starts who makes them, for an observer that sees only what it has started itself.
    Takes at most the given seconds, unless the machine is too busy to make the attempts in that time, and little more
    where the kernel is slow to end a process. Never raises for what the kernel refuses: each trial says why it was
    skipped.
    """
    began = time.monotonic()
    limit = _BUSY * deadline_seconds
    name = f"airgap-check-selftest-{secrets.token_hex(4)}.invalid"
    try:
        with _Canary(directory, name, limit + 2 * _LAST_LOOKS, launch) as canary:
            return _perform(canary, watchers, name, _Until(began + limit, began + deadline_seconds))
    except (OSError, ValueError, AirgapError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return tuple(
            Trial(mode=mode.name, observer=observer, seen="skipped", note=printable(reason or "it failed"))
            for observer, modes in promises(watchers)
            for mode in modes
        )


def blind_modes(trials: tuple[Trial, ...], observer: str) -> list[str]:
    """Say in words what the trials of an observer did not prove; empty when it saw all that it promises."""
    own = [trial for trial in trials if trial.observer == observer]
    if all(trial.seen == "skipped" for trial in own):
        note = own[0].note if own else "this observer had no part in it"
        return [f"the self-test could not run: {note}"]
    return [f"{trial.mode}: {trial.note}" for trial in own if _failed(trial)]


def _failed(trial: Trial) -> bool:
    return trial.seen == "no" or (trial.seen == "yes" and trial.process in {"wrong", "unknown"})


def _perform(canary: _Canary, watchers: Watchers, name: str, until: _Until) -> tuple[Trial, ...]:
    ground = canary.prepare(until.made)
    stage = Stage(canary.pid, canary.cgroup, tuple(ground["namespaces"]), name, ground["reason"])
    with ExitStack() as stack:
        present = []
        for witness in witnesses(watchers, stage):
            stack.callback(witness.leave)
            present.append(witness)
        return _try(canary, present, until)


def _try(canary: _Canary, present: list[Witness], until: _Until) -> tuple[Trial, ...]:
    canary.go()
    told: dict[str, dict[str, str]] = {}
    for fact in canary.facts(until.made):
        if "done" in fact:
            break
        told[fact["mode"]] = fact
    seen = _watch(present, told, max(until.seen, time.monotonic() + _LAST_LOOKS))
    return tuple(
        _judge(witness, mode, told.get(mode.name, {}), canary.pid, seen[witness.observer].get(mode.name))
        for witness in present
        for mode in witness.modes
    )


def _watch(present: list[Witness], told: dict[str, dict[str, str]], deadline: float) -> dict[str, dict[str, set[int]]]:
    """Ask the observers until each has seen all that it should, or time is up; return the pids by observer and mode."""
    seen: dict[str, dict[str, set[int]]] = {witness.observer: {} for witness in present}
    made = {name for name, fact in told.items() if "ending" in fact}
    pause = _TICK
    while True:
        missing = False
        for witness in present:
            mine = seen[witness.observer]
            for name, pid in witness.look():
                mine.setdefault(name, set()).add(pid)
            missing |= any(
                m.name in made and m.name not in mine and m.name not in witness.excuses for m in witness.modes
            )
        if not missing or time.monotonic() + pause > deadline:
            return seen
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _judge(witness: Witness, mode: Mode, fact: Mapping[str, str], pid: int, pids: set[int] | None) -> Trial:
    """Say how one trial ended.

    An attempt that was seen, but ended in another way than it should, proves nothing and is skipped; one that was
    missed is missed, however it ended, and so is one of which nobody knows whether it was made.
    """

    def trial(seen: Literal["yes", "no", "skipped"], note: str = "", process: Verdict = "not promised") -> Trial:
        return Trial(mode=mode.name, observer=witness.observer, seen=seen, process=process, note=note)

    ending = fact.get("ending")
    otherwise = "" if ending in {mode.ending, None} else f"ended with {ending} instead of {mode.ending}"
    if mode.name in witness.excuses:
        return trial("skipped", witness.excuses[mode.name])
    if "why" in fact:
        return trial("skipped", printable(fact["why"]))
    if pids is None and not fact:
        return trial("no", "the process that makes the attempts did not get that far in time")
    if pids is None:
        return trial("no", f"not seen ({otherwise})" if otherwise else "not seen")
    if not (witness.names_processes and mode.named):
        return trial("skipped" if otherwise else "yes", otherwise)
    if pids == {pid}:
        return trial("skipped", otherwise) if otherwise else trial("yes", process="right")
    if pids <= {0, pid}:
        return trial("yes", "seen, but not of which process", "unknown")
    return trial("yes", "seen, but of the wrong process", "wrong")
