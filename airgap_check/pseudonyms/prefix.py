"""A permutation of addresses that keeps prefixes: two that share their first n bits share them afterwards, and no more.

Crypto-PAn (Xu, Fan, Ammar and Moon, ICNP 2002): each bit is flipped, or not, by a keyed function of the bits before it.
Those fill the block of the cipher with a one and zeros behind them. The paper fills it with the bits of a secret, and
so asks the same again wherever the next bit agrees with that, which flips bits in long rows.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

_BLOCK = 16  # octets of AES


class Prefixes:
    """The permutation of all numbers of ``width`` bits, at most 128, under a key of AES."""

    def __init__(self, key: bytes, width: int) -> None:
        """Take the key."""
        self._key, self.width = key, width
        self._above = 128 - width
        # Hosts of one network share most of the work: 24 bits of IPv4, 64 of IPv6.
        self._shared = 24 if width == 32 else width // 2
        self._remembered = lru_cache(maxsize=1 << 14)(self._remember)
        self._masks = [(((1 << kept) - 1) << (128 - kept), 1 << (127 - kept)) for kept in range(width)]

    @cached_property
    def _cipher(self) -> CipherContext:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        # One block at a time is what the function is made of: no two of them belong to one message.
        return Cipher(algorithms.AES(self._key), modes.ECB()).encryptor()  # noqa: S305

    def permute(self, value: int, keep: int, until: int | None = None) -> int:
        """Permute the bits of a number from bit ``keep`` to before bit ``until``, counted from the first."""
        until = self.width if until is None else until
        middle = min(max(keep, self._shared), until)
        shared = value >> (self.width - middle)
        flips = self._remembered(shared, keep, middle) << (until - middle) | self._flips(value, middle, until)
        return value ^ flips << (self.width - until)

    def _remember(self, shared: int, begin: int, end: int) -> int:
        return self._flips(shared << (self.width - end), begin, end)

    def _flips(self, value: int, begin: int, end: int) -> int:
        """Return the bits to flip from one bit to before another, by what stands before each of them."""
        high = value << self._above
        blocks = [((high & mask) | fill).to_bytes(_BLOCK) for mask, fill in self._masks[begin:end]]
        flips = 0
        for first in self._cipher.update(b"".join(blocks))[::_BLOCK]:
            flips = flips << 1 | first >> 7
        return flips

    def restore(self, value: int, keep: int, until: int | None = None) -> int:
        """Take the permutation back; the first ``keep`` bits are those that were given to it."""
        for index in range(keep, self.width if until is None else until):
            mask, fill = self._masks[index]
            flip = self._cipher.update(((value << self._above & mask) | fill).to_bytes(_BLOCK))[0] >> 7
            value ^= flip << (self.width - 1 - index)
        return value
