"""What stands for a word: its AES-SIV ciphertext in the letters of host names, so that the key takes it back.

A token begins with ``x``. As a label of a longer name it may be too long for one (RFC 1035: 63 octets), and is then
continued: every label before the last one begins with ``y``.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap_check.pseudonyms.key import Key

TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:(?:y[a-z2-7]{62}\.)+x[a-z2-7]+|x[a-z2-7]{26,})(?![A-Za-z0-9])")
_LABEL = 63


def seal(key: Key, word: str) -> str:
    """Return the token of a word, the same whenever and wherever it is met."""
    sealed = key.words.encrypt(word.encode("utf-8", "surrogatepass"), None)
    return "x" + base64.b32encode(sealed).decode().rstrip("=").lower()


def seal_label(key: Key, label: str) -> str:
    """Return the token of a label that stands in a longer name."""
    token = seal(key, label)
    if len(token) <= _LABEL:
        return token
    letters, step = token[1:], _LABEL - 1
    parts = [letters[begin : begin + step] for begin in range(0, len(letters), step)]
    return ".".join([*("y" + part for part in parts[:-1]), "x" + parts[-1]])


def unseal(key: Key, token: str) -> str | None:
    """Return the word that a token stands for; None when this key did not make it."""
    from cryptography.exceptions import InvalidTag

    letters = "".join(label[1:] for label in token.split(".")).upper()
    try:
        sealed = base64.b32decode(letters + "=" * (-len(letters) % 8))
        return key.words.decrypt(sealed, None).decode("utf-8", "surrogatepass")
    except (binascii.Error, InvalidTag, ValueError):
        return None
