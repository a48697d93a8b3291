"""Becomes a program whose calls for the network are told to a supervisor: installs a filter, then runs the program.

A stand-alone script of the standard library, run as ``python -I -S overseen.py`` with the number of a UNIX stream
socket in LINE, its only variable. It reads its orders there (a line of JSON, byte strings as Latin-1), sends the
descriptor that the filter tells of, and says why where it fails; the socket ends when the program runs.
Source: seccomp(2), capabilities(7), prctl(2), include/uapi/linux/{seccomp,capability}.h.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

_SET_MODE_FILTER = 1  # SECCOMP_
# SECCOMP_FILTER_FLAG_: a descriptor that tells; none of the mitigations that slow every call down; and, since Linux
# 5.19, only death interrupts a call that has been heard of, so that none is told twice.
_LISTENER, _NO_SLOWER, _KILLABLE = 1 << 3, 1 << 2, 1 << 5
_DEATH_SIGNAL, _BOUND, _UNBIND, _NO_NEW_PRIVILEGES, _AMBIENT, _RAISE = 1, 23, 24, 38, 47, 2  # PR_
_CAPABILITY_VERSION = 0x20080522
_NOT_RUN = 127
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def install(code: bytes, number: int) -> tuple[int, bool]:
    """Install the filter for this thread and what it starts; return what tells, and whether privileges are shut out.

    Only who has CAP_SYS_ADMIN may do without that. Raises OSError.
    """
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(held))
    for flags in (_LISTENER | _NO_SLOWER | _KILLABLE, _LISTENER | _NO_SLOWER):
        for shut in (False, True):
            if shut:
                _check(_LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
            told = _LIBC.syscall(number, _SET_MODE_FILTER, flags, program)
            if told >= 0:
                return told, shut
            if ctypes.get_errno() != errno.EACCES:
                break
        if ctypes.get_errno() != errno.EINVAL:
            break
    return _check(told), False


def limit(keep: list[int] | None, *, ambient: bool) -> None:
    """Give up all capabilities but these (None: keep all), for good; ``ambient``: those last when the program runs."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    _check(_LIBC.capget(header, data))
    _, low, _, _, high, _ = struct.unpack("=6I", data.raw)
    permitted = low | high << 32
    if keep is not None:
        wanted = sum(1 << number for number in keep)
        _unbind(wanted, may_fail=not permitted)
        permitted &= wanted
    inheritable = permitted if ambient else 0
    words = [number >> shift & 0xFFFFFFFF for shift in (0, 32) for number in (permitted, permitted, inheritable)]
    _check(_LIBC.capset(header, struct.pack("=6I", *words)))
    if ambient:
        for number in range(64):
            if permitted >> number & 1:
                _check(_LIBC.prctl(_AMBIENT, _RAISE, number, 0, 0))


def _unbind(wanted: int, *, may_fail: bool) -> None:
    """Let no program get another capability; one who has none cannot give up any either."""
    for number in range(64):
        if not wanted >> number & 1 and _LIBC.prctl(_BOUND, number, 0, 0, 0) == 1:
            if may_fail:
                with suppress(OSError):
                    _check(_LIBC.prctl(_UNBIND, number, 0, 0, 0))
            else:
                _check(_LIBC.prctl(_UNBIND, number, 0, 0, 0))


def _settle(parent: int) -> None:
    """Die with the parent, and meet every signal as a new program does."""
    _check(_LIBC.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(_NOT_RUN)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError):  # the C library keeps some for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _install(line: socket.socket, code: bytes, number: int) -> None:
    """Install the filter and hand over what tells.

    Another thread, which began before and has no filter, hands it over: our own call to do so would wait for an answer
    that nobody can give yet.
    """
    installed = threading.Event()
    told: list[tuple[int, bool]] = []

    def hand_over() -> None:
        installed.wait()
        for descriptor, shut in told:
            socket.send_fds(line, [json.dumps({"shut": shut}).encode() + b"\n"], [descriptor])
            os.close(descriptor)

    thread = threading.Thread(target=hand_over)
    thread.start()
    try:
        told.append(install(code, number))
    finally:
        installed.set()
        thread.join()


def main() -> None:
    """Do it all; what fails is said as a line of JSON."""
    line = socket.socket(fileno=int(os.environ["LINE"]))
    line.set_inheritable(False)
    with line.makefile("rb") as reader:
        orders: dict[str, Any] = json.loads(reader.readline())
    argv = [word.encode("latin-1") for word in orders["argv"]]
    environment = {name.encode("latin-1"): value.encode("latin-1") for name, value in orders["environment"]}
    step = "filter"
    try:
        _install(line, bytes.fromhex(orders["filter"]), orders["seccomp"])
        step = "capabilities"
        limit(orders["keep"], ambient=orders["ambient"])
        step = "program"
        _settle(orders["parent"])
        os.execvpe(argv[0], argv, environment)  # noqa: S606  (to run a program is what it is for)
    except OSError as error:
        with suppress(OSError):
            line.sendall(json.dumps({"step": step, "errno": error.errno}).encode() + b"\n")
    os._exit(_NOT_RUN)


if __name__ == "__main__":
    main()
