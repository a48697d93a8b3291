"""Reads a secret out of a file that nobody but its owner can read."""

from __future__ import annotations

import os
import stat

from airgap_check.errors import UsageError
from airgap_check.input import open_regular

_LIMIT = 4096  # bytes


def read(path: str, least: int = 1) -> bytes:
    """Return a secret of at least so many bytes, without the end of its line. Raises `UsageError`, never quoting it."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            there = os.fstat(file.fileno())
            if there.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"{path}: others can use this secret: chmod 600 {path}")
            if there.st_uid not in {0, os.geteuid()}:
                raise UsageError(f"{path}: belongs to another user")
            content = file.read(_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    secret = content.rstrip(b"\r\n")
    if len(content) > _LIMIT:
        raise UsageError(f"{path}: larger than {_LIMIT:,} bytes")
    if len(secret) < least:
        raise UsageError(f"{path}: a secret of {len(secret)} bytes is too short: at least {least}")
    return secret


def read_text(path: str) -> str:
    """Return a secret that is one line of printable ASCII, as headers and logins need it. Raises `UsageError`."""
    secret = read(path)
    if not secret.isascii() or not secret.decode("ascii").isprintable():
        raise UsageError(f"{path}: holds more than one line of printable ASCII")
    return secret.decode("ascii")
