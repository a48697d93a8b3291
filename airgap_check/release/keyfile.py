"""Files that hold a secret of 32 bytes, or a key: for their owner alone, raw, in hexadecimal digits or in base64."""

from __future__ import annotations

import base64
import binascii
import os
import stat

from airgap_check.errors import UsageError
from airgap_check.input import open_regular

SIZE = 32  # bytes of an Ed25519 key, private or public (RFC 8032), and of a secret of ours
_LIMIT = 1 << 16


def read_private(path: str) -> bytes:
    """Return what a file holds that nobody but its owner may read or write. Raises `UsageError`."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LIMIT)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if b"PUBLIC KEY" in content:
        raise UsageError(f"{path}: a public key, which anybody may have: name the private one")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{path}: others can use this private key; chmod 600 {path}")
    return content


def raw(content: bytes) -> bytes | None:
    """Return the 32 bytes that a file holds which is not PEM; None for anything else."""
    if len(content) == SIZE:
        return content
    text = content.strip()
    for decode in (bytes.fromhex, lambda written: base64.b64decode(written, validate=True)):
        try:
            decoded = decode(text.decode("ascii"))
        except (ValueError, binascii.Error):
            continue
        if len(decoded) == SIZE:
            return decoded
    return None
