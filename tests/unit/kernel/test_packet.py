from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import packet
from airgap_check.kernel.packet import BLOCK, OUTGOING, Frame, Ring, Statistics, frames

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = 48


def slot(data: bytes, after: int, *, network: int = 96, size: int | None = None, length: int | None = None) -> bytes:
    head = struct.pack(
        "=IIIIIIHH20x", after, 1700000000, 5, len(data) if size is None else size,
        len(data) if length is None else length, 1, 82, network,
    )  # fmt: skip
    address = struct.pack("=HHiHBB8x", 17, socket.htons(0x0800), 3, 1, OUTGOING, 6)
    return (head + address).ljust(96, b"\0") + data


def block(*slots: bytes) -> bytes:
    return (bytes(FIRST) + b"".join(slots)).ljust(BLOCK, b"\0")


def read(memory: bytes, count: int, first: int = FIRST) -> Sequence[Frame]:
    return list(frames(memory, 0, count, first))


def test_a_frame_has_what_the_kernel_says() -> None:
    assert read(block(slot(b"data", 0, length=1500)), 1) == [Frame(1700000000, 5, 3, OUTGOING, 0x0800, b"data", 1500)]


def test_frames_stand_one_after_the_other() -> None:
    memory = block(slot(b"one!", 104) + bytes(4), slot(b"two", 0))
    assert [frame.data for frame in read(memory, 2)] == [b"one!", b"two"]


def test_no_more_frames_are_read_than_there_are() -> None:
    memory = block(slot(b"one!", 104) + bytes(4), slot(b"two", 0))
    assert [frame.data for frame in read(memory, 1)] == [b"one!"]
    assert [frame.data for frame in read(memory, 9)] == [b"one!", b"two"]


@pytest.mark.parametrize("first", [BLOCK - 60, BLOCK, 1 << 31])
def test_a_first_frame_outside_the_block_is_none(first: int) -> None:
    assert read(block(slot(b"data", 0)), 1, first) == []


@pytest.mark.parametrize(("network", "size"), [(96, BLOCK), (96, 1 << 31), (65535, 4), (0, 4), (67, 4)])
def test_data_outside_the_block_or_inside_the_header_is_none(network: int, size: int) -> None:
    assert read(block(slot(b"data", 0, network=network, size=size)), 1) == []


def test_a_next_frame_outside_the_block_is_none() -> None:
    assert len(read(block(slot(b"data", 1 << 31)), 2)) == 1


def test_a_block_is_read_where_it_begins() -> None:
    memory = bytes(BLOCK) + block(slot(b"data", 0))
    assert [frame.data for frame in frames(memory, BLOCK, 1, FIRST)] == [b"data"]


@given(st.binary(max_size=300), st.integers(0, 1 << 32), st.integers(0, 1 << 32))
def test_no_block_is_read_beyond_its_end(memory: bytes, count: int, first: int) -> None:
    for frame in frames(memory, 0, count, first):
        assert len(frame.data) <= len(memory)


@given(st.lists(st.integers(0, 255), min_size=68, max_size=300), st.integers(1, 100))
def test_offsets_that_lead_nowhere_end_the_block(numbers: list[int], count: int) -> None:
    assert len(read(bytes(numbers), count, 0)) <= count


def test_what_several_rings_say_adds_up() -> None:
    assert packet.total((Statistics(1, 2, 3), Statistics(10, 20, 30))) == Statistics(11, 22, 33)
    assert packet.total(()) == Statistics()


def test_a_socket_is_closed_when_the_ring_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def socket_of(*_: object) -> socket.socket:
        opened.append(real(socket.AF_INET, socket.SOCK_DGRAM))
        return opened[0]

    def refuse(_: socket.socket) -> None:
        raise PermissionError

    real = socket.socket
    monkeypatch.setattr(socket, "socket", socket_of)
    with pytest.raises(PermissionError):
        Ring(refuse)
    assert opened[0].fileno() < 0
