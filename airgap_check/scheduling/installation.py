"""Puts a schedule where the system finds it, and starts it; takes it away again. What others wrote is left alone."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

from airgap_check import output
from airgap_check.errors import UsageError
from airgap_check.input import read_bytes, written_by_others

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNITS, CRON = "/etc/systemd/system", "/etc/cron.d"
_BOOTED = "/run/systemd/system"  # sd_booted(3)
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS = 960.0  # for systemctl; a watch is started when its observers see, and its unit allows a minute less
_OURS = b"# Written by airgap-check schedule."


def place(folder: str, files: Mapping[str, str], *, force: bool) -> dict[str, bytes | None]:
    """Write files of mode 0644, all or none; return what was there before, by path, for each that was written.

    Raises `UsageError` where one is there that differs and is not ``force``d, or a folder that is not root's alone.
    """
    _check(folder)
    before: dict[str, bytes | None] = {}
    for name, text in files.items():
        path = os.path.join(folder, name)
        present = _content(path)
        if present == text.encode():
            continue
        if present is not None and not force:
            raise UsageError(f"{path} is there and differs; --force replaces it")
        before[path] = present
    written: dict[str, bytes | None] = {}
    with ExitStack() as undo:
        undo.callback(put_back, written)
        for path, content in before.items():
            _write(path, files[os.path.basename(path)].encode())
            written[path] = content
        undo.pop_all()
    return before


def put_back(before: Mapping[str, bytes | None]) -> None:
    """Undo what `place` did. Raises `UsageError`."""
    for path, content in before.items():
        if content is not None:
            _write(path, content)
        elif os.path.lexists(path):
            _delete(path)


def remove(folder: str, names: Iterable[str]) -> list[str]:
    """Delete the files that we wrote; return their paths. Raises `UsageError`, also for what somebody else wrote."""
    found = ours(folder, names)
    for path in found:
        _delete(path)
    return found


def ours(folder: str, names: Iterable[str]) -> list[str]:
    """Return the paths of files that are there. Raises `UsageError` for what somebody else wrote."""
    _check(folder)
    found = []
    for name in names:
        path = os.path.join(folder, name)
        content = _content(path)
        if content is None:
            continue
        if not content.startswith(_OURS):
            raise UsageError(f"{path} was not written by airgap-check schedule: it stays")
        found.append(path)
    return found


def _check(folder: str) -> None:
    """Refuse a folder that is not root's alone, and everybody but root."""
    if os.geteuid() != 0:
        raise UsageError("--install and --remove are for root")
    try:
        reason = written_by_others(folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error
    if reason:
        raise UsageError(f"{folder}: {reason}")


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


def _delete(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _write(path: str, content: bytes) -> None:
    """Write a file that everybody may read in one step. Raises `UsageError`."""
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"  # with a dot: neither cron nor systemd reads it
    output.create(temporary, content, 0o644)
    try:
        os.rename(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        raise UsageError(f"{path}: {error.strerror}") from error
