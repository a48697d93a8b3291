"""The secret that pseudonyms rest on: 32 bytes in a file of their owner's, and the keys that are drawn from them.

Whoever holds it can take every pseudonym back. Each use has its own key (HKDF-SHA256, RFC 5869), so that what is learnt
about one says nothing of the others.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.input import open_regular

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_SIZE = 32
_LIMIT = 1 << 12  # bytes; the longest honest file is 32 bytes in hexadecimal digits and a line's end
_HOW = "openssl rand -hex 32 > {path} && chmod 600 {path}"


class Key:
    """The keys of one secret; ``id`` tells it from another without saying anything about it."""

    def __init__(self, secret: bytes) -> None:
        """Take the 32 bytes."""
        self._secret = secret
        self.id = self.draw("identity", 4).hex()

    def draw(self, purpose: str, size: int) -> bytes:
        """Return the key of one purpose."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), size, None, b"airgap-check pseudonyms/1 " + purpose.encode()).derive(self._secret)

    @cached_property
    def words(self) -> AESSIV:
        """The cipher of names and words: deterministic and authenticated (RFC 5297, AES-256)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        return AESSIV(self.draw("words", 64))

    @cached_property
    def _fingerprints(self) -> bytes:
        return self.draw("fingerprints", _SIZE)

    def fingerprint(self, text: str) -> str:
        """Return a fingerprint that is as stable as the one given, and confirms no guess of what it was made of."""
        return hmac.new(self._fingerprints, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]


def load(path: str) -> Key:
    """Read a key: 32 bytes, raw, in hexadecimal digits or in base64. Raises `UsageError`, also where others may."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(f"{path}: others can use this key of pseudonyms; chmod 600 {path}")
            content = file.read(_LIMIT)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such key; this makes one: {_HOW.format(path=path)}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    secret = _secret(content)
    if secret is None:
        raise UsageError(f"{path}: not a key of 32 bytes; this makes one: {_HOW.format(path=path)}")
    return Key(secret)


def _secret(content: bytes) -> bytes | None:
    if len(content) == _SIZE:
        return content
    text = content.strip()
    for decode in (bytes.fromhex, lambda written: base64.b64decode(written, validate=True)):
        try:
            decoded = decode(text.decode("ascii"))
        except (ValueError, binascii.Error):
            continue
        if len(decoded) == _SIZE:
            return decoded
    return None
