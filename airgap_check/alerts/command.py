"""Runs a program of the site for an alert: no shell, no rights, hardly an environment, JSON on its standard input.

It runs in a session of its own as the user who was named, with no supplementary group, no capability, not even to be
had again (``no_new_privs``), and is killed with its process group when it takes too long. What it prints is discarded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airgap_check.alerts import account, message
from airgap_check.alerts.failure import DeliveryError

if TYPE_CHECKING:
    from airgap_check.alerts.message import Alert
    from airgap_check.alerts.settings import Command

_LIMIT = 1 << 18  # bytes
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 38, 24  # include/uapi/linux/prctl.h
_DEATH = 1.0  # seconds until a process that was killed is gone
_CAPABILITIES = 64  # as many as the kernel has room for


def run(command: Command, alert: Alert, until: float) -> None:
    """Run it to its end, at most until a time of time.monotonic(). Raises `DeliveryError` unless it exits with 0."""
    process = _started(command, alert)
    try:
        process.communicate(message.body(alert, _LIMIT), timeout=max(0.001, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise DeliveryError("the command took too long, and was killed") from error
    finally:
        if process.returncode is None:
            _kill(process)
    if process.returncode < 0:
        raise DeliveryError(f"the command was ended by signal {-process.returncode}")
    if process.returncode:
        raise DeliveryError(f"the command exited with {process.returncode}")


def _started(command: Command, alert: Alert) -> subprocess.Popen[bytes]:
    """Start it from a thread that has given up what the program must not have, which its children inherit."""
    started: list[subprocess.Popen[bytes]] = []
    failed: list[OSError] = []

    def start() -> None:
        try:
            _relinquish()
            started.append(_popen(command, alert))
        except (OSError, subprocess.SubprocessError) as error:
            failed.append(error if isinstance(error, OSError) else OSError(0, type(error).__name__))

    thread = threading.Thread(target=start, name="alert command")
    thread.start()
    thread.join()
    if not started:
        raise DeliveryError(f"the command could not be started: {failed[0].strerror}")
    return started[0]


def _popen(command: Command, alert: Alert) -> subprocess.Popen[bytes]:
    user = account.find(command.user)
    if user is None or 0 in user:
        raise OSError(0, f"no user {command.user} who may do little")
    root = os.geteuid() == 0
    return subprocess.Popen(  # noqa: S603  (an argv that the owner of this host wrote, without a shell)
        command.argv,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd="/", env=_environment(alert), start_new_session=True, umask=0o077,
        user=user.uid if root else None, group=user.gid if root else None, extra_groups=[] if root else None,
    )  # fmt: skip


def _environment(alert: Alert) -> dict[str, str]:
    return {
        "PATH": _PATH,
        "AIRGAP_ID": alert.id,
        "AIRGAP_HOST": alert.host,
        "AIRGAP_SUBJECT": alert.subject,
        "AIRGAP_VERDICT": alert.verdict,
        "AIRGAP_BEFORE": alert.before or "unknown",
    }


def _relinquish() -> None:
    """Let this thread, and what it starts, gain no privilege any more (prctl(2)); raises OSError.

    The bounding set is emptied where we may: without it no_new_privs and the change of user are enough.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    for capability in range(_CAPABILITIES):
        if library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            return


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and whatever is still in its process group, whose number is taken as long as it has not been reaped."""
    with suppress(ProcessLookupError, PermissionError):  # a unit may have taken CAP_KILL from us
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_DEATH)
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
