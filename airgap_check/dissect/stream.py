"""Puts the pieces of a stream of bytes (TCP segments, QUIC CRYPTO frames) in order, within bounds."""

from __future__ import annotations

_PIECES = 64  # that wait for an earlier one


class Stream:
    """Bytes in order: ``data`` are those that have come without a gap and were not taken yet.

    Where pieces overlap, what came first stays. ``room`` bounds what is held, in bytes.
    """

    __slots__ = ("_early", "_held", "_room", "_start", "data")

    def __init__(self, room: int) -> None:
        self.data = bytearray()
        self._start = 0  # offset in the stream of data's first byte
        self._room = room
        self._early: dict[int, bytes] = {}
        self._held = 0

    def add(self, offset: int, piece: bytes) -> bool:
        """Add what stands at ``offset`` of the stream, less what has come; False when there is no room for it."""
        end = self.end
        if offset > end:
            return self._hold(offset, piece)
        fresh = piece[end - offset :]
        if len(self.data) + len(fresh) > self._room:
            return False
        self.data += fresh
        while self._early and (first := min(self._early)) <= (end := self.end):
            piece = self._early.pop(first)
            self._held -= len(piece)
            self.data += piece[end - first :]
        return True

    def _hold(self, offset: int, piece: bytes) -> bool:
        known = len(self._early.get(offset, b""))
        if len(piece) <= known:
            return True
        if (
            offset + len(piece) > self._start + self._room
            or self._held - known + len(piece) > self._room
            or (not known and len(self._early) >= _PIECES)
        ):
            return False
        self._early[offset] = piece
        self._held += len(piece) - known
        return True

    def take(self, size: int) -> bytes:
        """Remove and return the first bytes."""
        taken = bytes(self.data[:size])
        del self.data[:size]
        self._start += len(taken)
        return taken

    @property
    def end(self) -> int:
        """Return the offset in the stream of the first byte that has not come."""
        return self._start + len(self.data)

    @property
    def unfinished(self) -> bool:
        """Tell whether bytes wait, for more or for earlier ones."""
        return bool(self.data or self._early)


def distance(start: int, sequence: int) -> int:
    """Return how far a TCP sequence number lies behind another; negative before it (RFC 9293 3.4: modulo 2**32)."""
    return (sequence - start + 0x80000000 & 0xFFFFFFFF) - 0x80000000
