"""The secret that pseudonyms rest on: 32 bytes in a file of their owner's, and the keys that are drawn from them.

Whoever holds it can take every pseudonym back. Each use has its own key (HKDF-SHA256, RFC 5869), so that what is learnt
about one says nothing of the others.
"""

from __future__ import annotations

import hmac
import os
import secrets
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.release import keyfile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_HOW = "this makes one: airgap-check keygen --pseudonyms {path}"


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
        return self.draw("fingerprints", keyfile.SIZE)

    def digest(self, text: str) -> str:
        """Return a digest that is as stable as the one given, and confirms no guess of what that was made of."""
        return hmac.new(self._fingerprints, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()

    def fingerprint(self, text: str) -> str:
        """Return such a digest as short as fingerprints of findings are."""
        return self.digest(text)[:32]


def load(path: str) -> Key:
    """Read a key: 32 bytes, raw, in hexadecimal digits or in base64. Raises `UsageError`, also where others may."""
    if not os.path.lexists(path):
        raise UsageError(f"{path}: there is no such key; {_HOW.format(path=path)}")
    secret = keyfile.raw(keyfile.read_private(path))
    # 32 letters as they are were thought of by somebody, and who guesses them can try each on the key's id.
    if secret is None or (secret.isascii() and secret.decode().rstrip().isprintable()):
        raise UsageError(f"{path}: not a key of 32 bytes; {_HOW.format(path='FILE')}")
    return Key(secret)


def generate() -> bytes:
    """Make a key, and return the content of its file."""
    return secrets.token_hex(keyfile.SIZE).encode() + b"\n"
