"""Signs a checksums file, and checks a signature: Ed25519 over the file's bytes (RFC 8032), 64 bytes in a file beside.

Keys are those that ``openssl genpkey -algorithm ed25519`` and ``openssl pkey -pubout`` write (PEM, RFC 8410), or 32 raw
bytes, also as hexadecimal digits or base64.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.input import read_bytes
from airgap_check.release import keyfile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    PrivateKey = Ed25519PrivateKey
    PublicKey = Ed25519PublicKey

_KEY_LIMIT = 1 << 16


def private_key(path: str) -> Ed25519PrivateKey:
    """Read the key to sign with. Raises `UsageError`, also where others than its owner may read or write it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = keyfile.read_private(path)
    raw = keyfile.raw(content)
    if raw is not None:
        return Ed25519PrivateKey.from_private_bytes(raw)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:  # what cryptography raises for want of a password
        raise UsageError(f"{path}: the key is encrypted; decrypt it into a file of mode 0600 first") from error
    except (ValueError, _unsupported()) as error:
        raise UsageError(f"{path}: no Ed25519 private key (openssl genpkey -algorithm ed25519 makes one)") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: a key, but not an Ed25519 one (openssl genpkey -algorithm ed25519 makes one)")
    return key


def public_key(path: str) -> Ed25519PublicKey:
    """Read the key to verify with; of a private key the public half is taken. Raises `UsageError`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = read_bytes(path, _KEY_LIMIT)
    if b"PRIVATE KEY" in content:
        return private_key(path).public_key()
    raw = keyfile.raw(content)
    try:
        key = load_pem_public_key(content) if raw is None else Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, _unsupported()) as error:
        raise UsageError(f"{path}: no Ed25519 public key (openssl pkey -in KEY -pubout writes it)") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: a key, but not an Ed25519 one")
    return key


def raw_public_key(content: bytes) -> Ed25519PublicKey:
    """Return the key of 32 bytes. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(content)


def generate() -> tuple[bytes, bytes, str]:
    """Make a key, and return it as PEM (PKCS #8, RFC 5958), its public half as PEM, and the fingerprint."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return private, public, fingerprint(key.public_key())


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return what people compare a public key by: SHA-256 over its 32 bytes, as OpenSSH writes digests."""
    digest = base64.b64encode(sha256(key.public_bytes_raw()).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def sign(key: Ed25519PrivateKey, content: bytes) -> bytes:
    """Return the signature over these bytes."""
    return key.sign(content)


def is_signed(key: Ed25519PublicKey, content: bytes, signature: bytes) -> bool:
    """Tell whether a signature over these bytes was made with the other half of this key."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
