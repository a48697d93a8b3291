"""Takes QUIC Initial packets apart: the keys that protect them follow from salts that everybody knows.

Source: RFC 9000 17.2 and 19 (packets, frames), RFC 9001 5 (keys), RFC 9369 3 (version 2). Only what a client sends can
be read: keys derive from a connection id that the client chose, and a server's packets need other ones.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.dissect.stream import Stream

SMALLEST_DATAGRAM = 1200  # a client pads what holds an Initial to that (RFC 9000 14.1)

_LONGEST_ID, _SHORTEST_FIRST_ID = 20, 8  # a client's own choice for the server is 8 at least (RFC 9000 7.2)
_COALESCED = 8  # packets of a datagram that are looked at
_TAG = 16  # bytes that authenticate a packet
_FRAMES = 1024  # of a packet that are read
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0, 1, 2, 3, 6


class _Version(NamedTuple):
    """What a version publishes: ``initial`` is its packet type."""

    salt: bytes
    label: bytes
    initial: int


_VERSIONS = {
    0x00000001: _Version(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"quic", 0),
    0x6B3343CF: _Version(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"quicv2", 1),
}


class Initial(NamedTuple):
    """A packet that is still protected: its bytes from the header on, and where the packet number begins."""

    version: int
    target: bytes
    data: bytes
    number: int


class _Keys(NamedTuple):
    """The AEAD, its initialization vector, and what masks the header."""

    aead: Any
    vector: int
    mask: Callable[[bytes], bytes]


def split(data: bytes) -> tuple[list[Initial], bool]:
    """List the Initial packets of a datagram; tell whether there is one that cannot be read, being cut or unknown."""
    packets: list[Initial] = []
    start = 0
    for _ in range(_COALESCED):
        try:
            if data[start] < 0xC0:  # a short header, or what fills the datagram up
                break
            number = int.from_bytes(data[start + 1 : start + 5], "big")
            version = _VERSIONS.get(number)
            target_end = start + 6 + data[start + 5]
            source_end = target_end + 1 + data[target_end]
            if version is None:
                plausible = data[start + 5] >= _SHORTEST_FIRST_ID and source_end < len(data)
                return packets, not packets and plausible and len(data) >= SMALLEST_DATAGRAM
            kind = data[start] >> 4 & 3
            if data[start + 5] > _LONGEST_ID:
                break
            position = source_end
            if kind == version.initial:
                token, position = _varint(data, position)
                position += token
            length, position = _varint(data, position)
        except IndexError:
            break
        if position + length > len(data):
            return packets, kind == version.initial
        if kind == version.initial:
            target = data[start + 6 : target_end]
            packets.append(Initial(number, target, data[start : position + length], position - start))
        start = position + length
    return packets, False


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a number (RFC 9000 16); return it and where it ends."""
    size = 1 << (data[position] >> 6)
    value = int.from_bytes(data[position : position + size], "big") & (1 << 8 * size - 2) - 1
    return value, position + size


@lru_cache(maxsize=64)
def _keys(version: int, target: bytes) -> _Keys | None:
    """Derive a client's keys (RFC 9001 5.2); None where the library of ciphers is missing."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.ciphers.modes import ECB
    except ImportError:
        return None
    salt, label, _ = _VERSIONS[version]
    secret = _expand(hmac.digest(salt, target, "sha256"), b"client in", 32)
    key, vector, mask = (
        _expand(secret, label + b" " + use, size) for use, size in ((b"key", 16), (b"iv", 12), (b"hp", 16))
    )
    # One block of one use is no pattern to hide: ECB is what RFC 9001 5.4.3 asks for.
    header = Cipher(AES(mask), ECB()).encryptor()  # noqa: S305 -- as above
    return _Keys(AESGCM(key), int.from_bytes(vector, "big"), header.update)


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 7.1), for what fits into one block of SHA-256."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return hmac.digest(secret, info + b"\1", "sha256")[:size]


def decrypted(packet: Initial, target: bytes) -> bytes | None:
    """Take the protection off (RFC 9001 5.3, 5.4) and return the frames.

    ``target`` is the connection id that the keys derive from; None when it is not that one.
    """
    keys = _keys(packet.version, target)
    data, position = packet.data, packet.number
    sample = data[position + 4 : position + 4 + _TAG]
    if keys is None or len(sample) < _TAG:
        return None
    from cryptography.exceptions import InvalidTag

    mask = keys.mask(sample)
    first = data[0] ^ mask[0] & 0x0F
    size = (first & 3) + 1
    # The number is sent without its high bits, which are zero: a client sends few Initial packets.
    number = int.from_bytes(data[position : position + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
    header = bytes([first]) + data[1:position] + number.to_bytes(size, "big")
    try:
        plain: bytes = keys.aead.decrypt((keys.vector ^ number).to_bytes(12, "big"), data[position + size :], header)
    except InvalidTag:
        return None
    return plain


def collect(frames: bytes, stream: Stream) -> bool:
    """Add the CRYPTO frames among those of a packet to the stream; False when there is no room for one."""
    position = 0
    try:
        for _ in range(_FRAMES):
            if position >= len(frames):
                break
            kind = frames[position]
            position += 1
            if kind == _PADDING:
                position = len(frames) - len(frames[position:].lstrip(b"\0"))
            elif kind in {_ACK, _ACK_ECN}:
                position = _after_ack(frames, position, ecn=kind == _ACK_ECN)
            elif kind == _CRYPTO:
                offset, position = _varint(frames, position)
                length, position = _varint(frames, position)
                if not stream.add(offset, frames[position : position + length]):
                    return False
                position += length
            elif kind != _PING:
                break
    except IndexError:
        pass
    return True


def _after_ack(frames: bytes, position: int, *, ecn: bool) -> int:
    """Return where an ACK frame ends (RFC 9000 19.3)."""
    for _ in range(2):
        _, position = _varint(frames, position)
    ranges, position = _varint(frames, position)
    for _ in range(min(1 + 2 * ranges + 3 * ecn, len(frames))):
        _, position = _varint(frames, position)
    return position
