from __future__ import annotations

import struct
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import socket_call
from airgap_check.kernel.seccomp import Notice
from airgap_check.kernel.seccomp_filter import CallName
from airgap_check.kernel.socket_call import Sent, UnreadableError, names

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = bytes.fromhex("0200 01bb cb007101 0000000000000000")
HIGH = 0xFFFFFFFF00000000  # of a register, where the kernel takes an int


class Memory:
    """Pieces of memory by address; between them is nothing."""

    def __init__(self, **pieces: bytes) -> None:
        self.pieces = {int(address[1:]): data for address, data in pieces.items()}
        self.reads = 0

    def read(self, address: int, size: int) -> bytes:
        self.reads += 1
        for start, data in self.pieces.items():
            if start <= address < start + len(data):
                return data[address - start : address - start + size]
        return b""


def notice(call: CallName, *arguments: int) -> Notice:
    return Notice(1, 2, call, (*arguments, *[0] * (6 - len(arguments))))


def header(pointer: int, length: int = 16) -> bytes:
    return struct.pack("=Qi4x40x", pointer, length)


def element(pointer: int, length: int = 16) -> bytes:
    return header(pointer, length) + bytes(8)


def test_a_connect_gives_one_name() -> None:
    assert names(notice("connect", 7, 100, 16), Memory(m100=NAME).read) == (Sent(7, NAME, connects=True),)


def test_the_kernel_takes_the_lower_half_of_numbers() -> None:
    sent = names(notice("sendto", HIGH | 7, 0, 0, HIGH | 64, 100, HIGH | 16), Memory(m100=NAME).read)
    assert sent == (Sent(7, NAME, connects=False, flags=64),)


@pytest.mark.parametrize("length", [0, -1 & 0xFFFFFFFF, 129, 1 << 31])
def test_a_name_of_a_length_that_the_kernel_refuses_is_none(length: int) -> None:
    memory = Memory(m100=NAME)
    assert names(notice("connect", 7, 100, length), memory.read) == ()
    assert memory.reads == 0


def test_no_more_of_a_name_is_read_than_is_looked_at() -> None:
    (sent,) = names(notice("connect", 7, 100, 128), Memory(m100=NAME + bytes(112)).read)
    assert len(sent.name) == 28


def test_a_message_has_the_name_that_its_header_points_to() -> None:
    read = Memory(m100=NAME, m200=header(100)).read
    assert names(notice("sendmsg", 7, 200, 5), read) == (Sent(7, NAME, connects=False, flags=5),)


@pytest.mark.parametrize(("pointer", "length"), [(0, 16), (100, 0), (100, -1)])
def test_a_message_may_have_no_name(pointer: int, length: int) -> None:
    read = Memory(m100=NAME, m200=header(pointer, length)).read
    assert names(notice("sendmsg", 7, 200), read) == ()


def test_a_name_of_a_message_that_is_too_long_is_cut() -> None:
    read = Memory(m100=NAME + bytes(80), m200=header(100, 5000)).read
    assert len(names(notice("sendmsg", 7, 200), read)[0].name) == 28


def test_many_messages_have_a_name_each() -> None:
    other = NAME[:4] + bytes([10, 0, 0, 1]) + NAME[8:]
    block = element(100) + element(0) + element(150) + element(100)
    read = Memory(m100=NAME, m150=other, m1000=block).read
    found = names(notice("sendmmsg", 7, 1000, 4, 2), read)
    assert [sent.name for sent in found] == [NAME, other, NAME]
    assert {sent.flags for sent in found} == {2}


def test_of_more_messages_than_the_kernel_takes_no_more_are_read() -> None:
    memory = Memory(m100=NAME, m1000=element(100) * 2000)
    assert len(names(notice("sendmmsg", 7, 1000, 0xFFFFFFFF), memory.read)) == 1024
    assert memory.reads == 2  # all headers at once, and the one name


def test_messages_beyond_readable_memory_are_said_and_those_before_kept() -> None:
    with pytest.raises(UnreadableError) as caught:
        names(notice("sendmmsg", 7, 1000, 3), Memory(m100=NAME, m1000=element(100) * 2).read)
    assert len(caught.value.seen) == 2
    with pytest.raises(UnreadableError) as caught:
        names(notice("sendmmsg", 7, 1000, 3), Memory(m100=NAME, m1000=element(100) + element(9) * 2).read)
    assert len(caught.value.seen) == 1


def test_the_last_header_may_end_where_the_memory_does() -> None:
    block = element(100) + header(100)
    assert len(names(notice("sendmmsg", 7, 1000, 2), Memory(m100=NAME, m1000=block).read)) == 2


@pytest.mark.parametrize(
    "call",
    [
        notice("connect", 7, 999, 16), notice("connect", 7, 0, 16), notice("sendto", 7, 0, 0, 0, 999, 16),
        notice("sendmsg", 7, 999), notice("sendmsg", 7, 300), notice("sendmmsg", 7, 999, 1),
        notice("connect", 7, 105, 16),
    ],
)  # fmt: skip
def test_memory_that_is_not_there_is_said(call: Notice) -> None:
    with pytest.raises(UnreadableError):
        names(call, Memory(m100=NAME, m300=header(999)).read)


@given(
    st.sampled_from(get_args(CallName)),
    st.lists(st.integers(0, (1 << 64) - 1) | st.integers(0, 3000), min_size=6, max_size=6),
    st.binary(max_size=4096),
)
def test_whatever_a_program_passes_ends_soon(call: CallName, arguments: list[int], data: bytes) -> None:
    reads = [0]

    def read(address: int, size: int) -> bytes:
        reads[0] += 1
        assert 0 < size <= 65536
        return data[address % 4096 :][:size]

    reader: Callable[[int, int], bytes] = read
    try:
        found = names(notice(call, *arguments), reader)
    except UnreadableError as error:
        found = error.seen
    assert len(found) <= 1024
    assert reads[0] <= 1025
    assert all(0 < len(sent.name) <= socket_call.ENOUGH for sent in found)
