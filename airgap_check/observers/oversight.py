"""Starts programs under a filter of their own, by the script `overseen`, and takes what the filter tells by."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.kernel import seccomp_filter
from airgap_check.kernel.seccomp import Listener
from airgap_check.observers.observer import UnobservableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airgap_check.kernel.seccomp import Kernel

_SCRIPT = os.path.join(os.path.dirname(__file__), "overseen.py")
_PATIENCE = 20.0  # seconds in which the script is done; it takes some hundredths
_READ = 4096
_WHAT = {"filter": "the kernel takes no filter", "capabilities": "capabilities cannot be given up"}


class Terms(NamedTuple):
    """How a program is to run: the capabilities that it keeps (None: all), and whether they last as ambient ones."""

    keep: frozenset[int] | None = None
    ambient: bool = False


def start(
    argv: Sequence[str], terms: Terms, kernel: Kernel, serve: Callable[[Listener, bool], None], **popen: Any
) -> subprocess.Popen[bytes]:
    """Start a program, as `subprocess.Popen` does; the thread that calls must live as long as the program shall.

    ``serve`` takes the listener, and whether no program gains privileges by being set-user-ID, before the program runs.
    Raises UnobservableError where the kernel refuses, and OSError where the program cannot be run.
    """
    environment: Mapping[str, str] = popen.pop("env", None) or os.environ
    ours, theirs = socket.socketpair()
    with ours, ExitStack() as stack:
        with theirs:
            process = subprocess.Popen(  # noqa: S603  (our own interpreter and script)
                [sys.executable, "-I", "-S", _SCRIPT],
                env={"LINE": str(theirs.fileno())},
                pass_fds=(*popen.pop("pass_fds", ()), theirs.fileno()),
                **popen,
            )
        process.args = list(argv)
        stack.callback(_end, process)
        ours.settimeout(_PATIENCE)
        orders = {
            "argv": [_latin(word) for word in argv],
            "environment": [(_latin(name), _latin(value)) for name, value in environment.items()],
            "filter": seccomp_filter.build(kernel.machine).hex(),
            "seccomp": kernel.machine.seccomp,
            "keep": None if terms.keep is None else sorted(terms.keep),
            "ambient": terms.ambient,
            "parent": os.getpid(),
        }
        try:
            ours.sendall(json.dumps(orders).encode() + b"\n")
            _follow(ours, kernel, serve, argv[0])
        except (TimeoutError, ConnectionError) as error:
            raise UnobservableError("the program that installs the filter ended, or took too long") from error
        stack.pop_all()
    return process


def _follow(line: socket.socket, kernel: Kernel, serve: Callable[[Listener, bool], None], program: str) -> None:
    """Take the listener, and wait until the program runs."""
    text, descriptors, _, _ = socket.recv_fds(line, _READ, 1)
    listeners = [Listener(descriptor, kernel) for descriptor in descriptors]
    while not text.endswith(b"\n") and (more := line.recv(_READ)):
        text += more
    fact = json.loads(text or b"{}")
    if listeners:
        serve(listeners[0], bool(fact.get("shut")))
        text = b""
        while more := line.recv(_READ):
            text += more
        fact = json.loads(text or b"{}")
    elif "step" not in fact:
        raise ConnectionError
    if "step" in fact:
        reason = os.strerror(fact["errno"])
        if fact["errno"] == errno.EBUSY:
            reason = "another supervisor is at work around us already, and there can be one only"
        if fact["step"] in _WHAT:
            raise UnobservableError(f"{_WHAT[fact['step']]}: {reason}")
        raise OSError(fact["errno"], reason, program)


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:
        process.kill()


def _latin(text: str) -> str:
    """Return the bytes of a word, each as the character of its number."""
    return os.fsencode(text).decode("latin-1")
