"""Reads what eBPF programs write into a ring buffer that they share with us; never makes them wait.

Source: kernel/bpf/ringbuf.c. A page with our position, which only we write; a page with the programs' position, which
they write; then the data, mapped twice so that a record never breaks. A record is two words (length and two flags; an
offset that is the kernel's own), then the data, padded to 8 bytes. When we are slow the programs find the ring full and
count what they could not say.
"""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from airgap_check.kernel import bpf

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_LENGTH = _DISCARDED - 1
_HEADER = 8
_STRIDE = 1024  # records that are looked for before any is read


class Ring:
    """A ring of ``size`` bytes, a power of two and whole pages. Raises BpfError or OSError where there can be none."""

    def __init__(self, size: int, name: str = "") -> None:
        page = mmap.PAGESIZE
        self.map = bpf.Map(bpf.RINGBUF, 0, 0, size, name=name)
        self._mask = size - 1
        with ExitStack() as undo:
            undo.callback(self.map.close)
            self._ours = mmap.mmap(self.map.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            undo.callback(self._ours.close)
            self._theirs = mmap.mmap(self.map.fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
            undo.pop_all()
        # Items of a memoryview are read and written in one piece, unlike those of `struct` with a fixed byte order.
        self._consumed = memoryview(self._ours).cast("Q")
        self._produced = memoryview(self._theirs)[:8].cast("Q")
        self._data = memoryview(self._theirs)[page:]
        self._words = self._data.cast("I")

    def fileno(self) -> int:
        """Return a descriptor that is readable, to poll(2) and epoll(7), while something waits."""
        return self.map.fd

    def read(self, limit: int) -> Iterator[bytes]:
        """Return the records that wait, ``limit`` at most, oldest first; makes room for others as it goes."""
        while limit > 0:
            places, end = self._find(min(limit, _STRIDE))
            if not places and end == self._consumed[0]:
                return
            # Python has no memory barrier: on processors that reorder loads, a system call stands between reading
            # that a record is there and reading it, and between that and giving its room back.
            os.getppid()
            records = [bytes(self._data[start:stop]) for start, stop in places]
            os.getppid()
            self._consumed[0] = end
            limit -= len(records)
            yield from records

    def close(self) -> None:
        """Let go of the ring; may be called more than once."""
        for view in (self._consumed, self._produced, self._words, self._data):
            view.release()
        self._ours.close()
        self._theirs.close()
        self.map.close()

    def _find(self, limit: int) -> tuple[list[tuple[int, int]], int]:
        """Return where the next records lie in the data, and our position behind them."""
        places: list[tuple[int, int]] = []
        position, produced = self._consumed[0], self._produced[0]
        while position < produced and len(places) < limit:
            start = position & self._mask
            header = self._words[start >> 2]
            if header & _BUSY:
                break
            length = header & _LENGTH
            if not header & _DISCARDED:
                places.append((start + _HEADER, start + _HEADER + length))
            position += (length + _HEADER + 7) & ~7
        return places, position
