"""Runs a program of the user's beside the rehearsed command, and keeps the visits that it tells of.

Its environment names the server: AIRGAP_CHECK_URL and AIRGAP_CHECK_PORT. A line ``::visit LABEL`` that it prints begins
a visit of that label, which ends with the next such line, with ``::end`` or with the program. Each is answered by an
empty line on its standard input once it is noted, for a program that wants no doubt about the order.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from airgap_check.drivers.http import address
from airgap_check.drivers.where import Driven, Where, await_server
from airgap_check.errors import UsageError
from airgap_check.redact import printable

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from airgap_check.drivers.diary import Diary

_LINE = 4096  # bytes
_TICK = 0.1  # seconds between two looks at whether to stop
_FAREWELL = 2.0  # seconds from SIGTERM to SIGKILL


def check(path: str) -> str:
    """Return the absolute path of a program. Raises `UsageError` where it cannot be run."""
    whole = os.path.abspath(path)
    if not os.path.isfile(whole):
        raise UsageError(f"--drive {path}: there is no such program (known drivers: objectos, http:FILE)")
    if not os.access(whole, os.X_OK):
        raise UsageError(f"--drive {path}: may not be executed (chmod +x)")
    return whole


def run(path: str, where: Where, diary: Diary, stop: threading.Event) -> Driven:
    """Run it until it ends, or is to stop; its processes are a session of their own, which is ended whole."""
    port = await_server(where, stop)
    label = f"script {os.path.basename(path)}"
    if port is None:
        diary.skip(label, "time was up" if stop.is_set() else "nobody served")
        return Driven()
    environ = {**where.environ, "AIRGAP_CHECK_URL": f"http://{address(port)}:{port}", "AIRGAP_CHECK_PORT": str(port)}
    with diary.visiting(label) as remark:
        try:
            process = where.launch(
                [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=where.cwd,
                env=environ, start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            remark.say("failed", error.strerror or "it could not be started")
            return Driven(port)
        diary.own_pids.add(process.pid)
        with process:
            try:
                _listen(process, diary, stop)
            finally:
                _end(process)
        code = process.returncode
        if stop.is_set():
            remark.say("failed", "time was up")
        elif code:
            remark.say("failed", f"exit status {code}" if code > 0 else f"ended by {_signal(-code)}")
    return Driven(port)


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _listen(process: subprocess.Popen[bytes], diary: Diary, stop: threading.Event) -> None:
    """Keep the visits that it tells of, until it has ended or is to stop."""
    assert process.stdin
    os.set_blocking(process.stdin.fileno(), False)
    with ExitStack() as visit:
        for line in _lines(process, stop):
            word, _, label = line.partition(" ")
            if word not in {"::visit", "::end"}:
                continue
            visit.close()
            if word == "::visit" and label.strip():
                visit.enter_context(diary.visiting(label.strip()))
            with suppress(OSError):  # one that does not listen
                os.write(process.stdin.fileno(), b"\n")


def _lines(process: subprocess.Popen[bytes], stop: threading.Event) -> Iterator[str]:
    """Yield the lines that it prints, cut where they are too long; ends with it, whoever holds its output open."""
    assert process.stdout
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    text, ended = b"", False
    while not stop.is_set() and not ended:
        ended = process.poll() is not None  # asked first: what it said before its end is read below
        while poll.poll(0 if ended else _TICK * 1000):
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:  # it may have closed its output and work on
                ended = True
                while process.poll() is None and not stop.wait(_TICK):
                    pass
                break
            *lines, text = (text + data).split(b"\n")
            text = text[:_LINE]
            yield from (printable(line[:_LINE].decode(errors="replace")) for line in lines)
            if stop.is_set():
                return
    if text:
        yield printable(text.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it has started, so far as that stayed in its session's process group."""
    deadline = time.monotonic() + _FAREWELL
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(_TICK / 2)
    process.wait()
