"""Puts a schedule where the system finds it, and starts it; takes it away again. What others wrote is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.input import read_bytes, written_by_others

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNITS, CRON = "/etc/systemd/system", "/etc/cron.d"
_BOOTED = "/run/systemd/system"  # sd_booted(3)
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS = 120.0  # for systemctl; a watch is started when its observers see
_OURS = b"# Written by airgap-check schedule."


def place(folder: str, files: Mapping[str, str], *, force: bool) -> list[str]:
    """Write files of mode 0644, all or none; return the paths of those that were not there as they are.

    Raises `UsageError` where one is there that differs and is not ``force``d, or a folder that is not root's alone.
    """
    if os.geteuid() != 0:
        raise UsageError("--install and --remove are for root")
    try:
        reason = written_by_others(folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    if reason:
        raise UsageError(f"{folder}: {reason}")
    changed = {}
    for name, text in files.items():
        path = os.path.join(folder, name)
        present = _content(path)
        if present == text.encode():
            continue
        if present is not None and not force:
            raise UsageError(f"{path} is there and differs; --force replaces it")
        changed[path] = text
    for path, text in changed.items():
        _write(path, text)
    return list(changed)


def remove(folder: str, names: Iterable[str]) -> list[str]:
    """Delete the files that we wrote; return their paths. Raises `UsageError` for what somebody else wrote."""
    if os.geteuid() != 0:
        raise UsageError("--install and --remove are for root")
    found = []
    for name in names:
        path = os.path.join(folder, name)
        content = _content(path)
        if content is None:
            continue
        if not content.startswith(_OURS):
            raise UsageError(f"{path} was not written by airgap-check schedule: it stays")
        found.append(path)
    for path in found:
        os.unlink(path)
    return found


def booted() -> bool:
    """Tell whether systemd runs this system; in a chroot it does not."""
    return os.path.isdir(_BOOTED)


def systemctl(*words: str) -> None:
    """Run systemctl. Raises `UsageError` with what it said."""
    program = shutil.which("systemctl", path=_PATH)
    if program is None:
        raise UsageError("there is no systemctl")
    argv: Sequence[str] = [program, *words]
    try:
        done = subprocess.run(  # noqa: S603  (words of ours, no shell)
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS,
            check=False, env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"systemctl {' '.join(words)}: {error}") from error
    if done.returncode:
        raise UsageError(f"systemctl {' '.join(words)}: {done.stderr.strip() or f'exit {done.returncode}'}")


def _content(path: str) -> bytes | None:
    return read_bytes(path) if os.path.lexists(path) else None


def _write(path: str, text: str) -> None:
    """Write a file that everybody may read in one step. Raises `UsageError`."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        whole = False
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, path)
            whole = True
        finally:
            if not whole:
                os.unlink(temporary)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
