"""The ring is read as the kernel writes it; here a file in memory stands for the one they share."""

from __future__ import annotations

import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import bpf, ring

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 4 * mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Kernel:
    """Writes as a program does, and where it stands."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.truncate(self.fd, 2 * mmap.PAGESIZE + 2 * SIZE)
        self.position = 0

    def write(self, data: bytes, flags: int = 0, *, announce: bool = True) -> int:
        at = self.position
        record = struct.pack("=II", len(data) | flags, 0) + data.ljust(len(data) + 7 & ~7, b"\xee")
        for offset, byte in enumerate(record):  # the data is mapped twice, in a file it must be written twice
            place = (at + offset) % SIZE
            for copy in (place, place + SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * mmap.PAGESIZE + copy)
        self.position += len(record)
        if announce:
            self.announce()
        return at

    def announce(self) -> None:
        os.pwrite(self.fd, struct.pack("=Q", self.position), mmap.PAGESIZE)

    def set_length(self, at: int, word: int) -> None:
        for copy in (at % SIZE, at % SIZE + SIZE):
            os.pwrite(self.fd, struct.pack("=I", word), 2 * mmap.PAGESIZE + copy)

    def consumed(self) -> int:
        return int.from_bytes(os.pread(self.fd, 8, 0), sys.byteorder)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel()
    monkeypatch.setattr(bpf, "Map", lambda *_, **__: made)
    yield made
    made.close()


@pytest.fixture
def shared(kernel: Kernel) -> Iterator[ring.Ring]:
    made = ring.Ring(SIZE)
    assert made.fileno() == kernel.fd
    yield made
    made.close()


def test_records_come_in_order_and_give_their_room_back(kernel: Kernel, shared: ring.Ring) -> None:
    for data in (b"one", b"", b"three in more than eight"):
        kernel.write(data)
    assert list(shared.read(10)) == [b"one", b"", b"three in more than eight"]
    assert kernel.consumed() == kernel.position
    assert list(shared.read(10)) == []


def test_no_more_than_asked_for_is_taken(kernel: Kernel, shared: ring.Ring) -> None:
    for number in range(5):
        kernel.write(bytes([number]))
    assert list(shared.read(2)) == [b"\0", b"\1"]
    assert kernel.consumed() == 2 * 16
    assert list(shared.read(9)) == [b"\2", b"\3", b"\4"]
    assert list(shared.read(0)) == []


def test_a_record_that_is_being_written_is_waited_for(kernel: Kernel, shared: ring.Ring) -> None:
    kernel.write(b"done")
    at = kernel.write(b"soon", BUSY)
    kernel.write(b"after")
    assert list(shared.read(9)) == [b"done"]
    assert kernel.consumed() == at
    kernel.set_length(at, 4)
    assert list(shared.read(9)) == [b"soon", b"after"]


def test_what_was_discarded_is_passed_over(kernel: Kernel, shared: ring.Ring) -> None:
    kernel.write(b"no", DISCARDED)
    assert list(shared.read(9)) == []
    assert kernel.consumed() == kernel.position
    kernel.write(b"no", DISCARDED)
    kernel.write(b"yes")
    assert list(shared.read(1)) == [b"yes"]


def test_what_is_not_announced_is_not_there(kernel: Kernel, shared: ring.Ring) -> None:
    kernel.write(b"later", announce=False)
    assert list(shared.read(9)) == []
    kernel.announce()
    assert list(shared.read(9)) == [b"later"]


def test_a_record_may_lie_across_the_end(kernel: Kernel, shared: ring.Ring) -> None:
    filler = b"f" * (SIZE - 32)
    kernel.write(filler)
    assert list(shared.read(1)) == [filler]
    kernel.write(b"across the end of the ring")
    assert list(shared.read(1)) == [b"across the end of the ring"]


def test_a_ring_can_be_closed_twice_and_gives_everything_back(kernel: Kernel) -> None:
    made = ring.Ring(SIZE)
    made.close()
    made.close()
    assert kernel.fd == -1


@pytest.mark.parametrize("good", [0, 1])
def test_a_ring_that_cannot_be_mapped_leaves_nothing_open(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    mapped: list[mmap.mmap] = []
    real = mmap.mmap

    def fail(*arguments: int, **named: int) -> mmap.mmap:
        if len(mapped) == good:
            raise PermissionError
        mapped.append(real(*arguments, **named))
        return mapped[-1]

    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(PermissionError):
        ring.Ring(SIZE)
    assert kernel.fd == -1
    assert all(each.closed for each in mapped)


@given(st.lists(st.tuples(st.binary(max_size=300), st.sampled_from([0, DISCARDED])), max_size=60), st.integers(1, 7))
def test_everything_that_is_written_is_read_once(records: list[tuple[bytes, int]], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kernel = Kernel()
        patch.setattr(bpf, "Map", lambda *_, **__: kernel)
        shared = ring.Ring(SIZE)
        try:
            read: list[bytes] = []
            for data, flags in records:
                kernel.write(data, flags)
                read += shared.read(limit)
            while more := list(shared.read(limit)):
                read += more
        finally:
            shared.close()
    assert read == [data for data, flags in records if not flags]
