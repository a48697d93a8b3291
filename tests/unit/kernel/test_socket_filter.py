from __future__ import annotations

import socket
import struct

import pytest

from airgap_check.kernel import socket_filter
from airgap_check.kernel.socket_filter import BYTE, HALF, INTERFACE, PACKET_TYPE, WORD, Assembler, FilterError
from tests.unit.kernel.classic_machine import Machine


def run(code: Assembler, packet: bytes = b"", kind: int = 0) -> int:
    return Machine(packet, 0x0800, kind, 1).run(code.build())


def test_the_bytes_are_those_of_the_kernels_header() -> None:
    code = Assembler().load(HALF, 12).jump_if("==", 0x0800, no="end").leave(96).label("end").leave(0)
    # what tcpdump -dd prints for "ip"
    assert code.build() == struct.pack("=HBBI", 0x28, 0, 0, 12) + struct.pack("=HBBI", 0x15, 0, 1, 0x800) + struct.pack(
        "=HBBIHBBI", 0x06, 0, 0, 96, 0x06, 0, 0, 0
    )


def test_words_halves_and_bytes_are_read_in_network_order() -> None:
    for size, value in ((WORD, 0x01020304), (HALF, 0x0102), (BYTE, 0x01)):
        code = Assembler().load(size, 1).jump_if("==", value, no="end").leave(7).label("end").leave(0)
        assert run(code, b"\0\1\2\3\4") == 7


def test_the_index_finds_what_follows_a_header_of_any_length() -> None:
    code = Assembler().index_header(0).load_indexed(BYTE, 1).jump_if(">", 8, no="end").leave(1).label("end").leave(0)
    assert run(code, b"\x41" + bytes(4) + b"\x09") == 1
    assert run(code, b"\x41" + bytes(4) + b"\x08") == 0


def test_what_is_left_behind_the_index_can_be_counted() -> None:
    code = Assembler().index(3).load_length().subtract_index().jump_if("==", 2, no="end").leave(1).label("end").leave(0)
    assert [run(code, bytes(length)) for length in (4, 5, 6)] == [0, 1, 0]


def test_bits_are_masked_shifted_and_added() -> None:
    code = Assembler().index(2).load(BYTE, 0).conjoin(0xF0).shift_right(2).add_index().index_accumulator()
    code.load_indexed(BYTE, 0).jump_if("&", 1, no="end").leave(1).label("end").leave(0)
    assert run(code, b"\x5f" + bytes(21) + b"\x03") == 1


def test_the_first_case_that_fits_is_taken_and_the_rest_goes_its_own_way() -> None:
    code = Assembler().load(WORD, PACKET_TYPE).branch({4: "four", 0: "zero"}, "else")
    code.label("four").leave(4).label("zero").leave(9).label("else").leave(1)
    assert [run(code, kind=kind) for kind in (4, 0, 2)] == [4, 9, 1]


def test_a_packet_that_is_too_short_is_refused() -> None:
    assert run(Assembler().load(WORD, 1).leave(5), bytes(4)) == 0


def test_a_label_may_stand_once_only() -> None:
    with pytest.raises(FilterError, match="label end stands twice"):
        Assembler().label("end").leave(0).label("end")


def test_a_jump_needs_a_label_that_is_there() -> None:
    with pytest.raises(FilterError, match="no label nowhere"):
        Assembler().jump("nowhere").leave(0).build()


def test_nothing_jumps_back() -> None:
    with pytest.raises(FilterError, match="does not stand ahead"):
        Assembler().label("again").load(BYTE, 0).jump_if("==", 1, "again").leave(0).build()


def test_nothing_jumps_behind_the_end() -> None:
    with pytest.raises(FilterError, match="does not stand ahead"):
        Assembler().jump("end").leave(0).label("end").build()


@pytest.mark.parametrize(("between", "fits"), [(254, True), (255, True), (256, False)])
def test_a_conditional_jump_has_eight_bits(between: int, *, fits: bool) -> None:
    code = Assembler().jump_if("==", 0, "end")
    for _ in range(between):
        code.load(BYTE, 0)
    code.label("end").leave(3)
    if fits:
        assert run(code) == 3
    else:
        with pytest.raises(FilterError, match="more than 255"):
            code.build()


def test_a_plain_jump_goes_as_far_as_it_likes() -> None:
    code = Assembler().jump("end")
    for _ in range(300):
        code.leave(0)
    assert run(code.label("end").leave(3)) == 3


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_value_has_thirty_two_bits(value: int) -> None:
    with pytest.raises(FilterError, match="32 bits"):
        Assembler().leave(value)


def test_a_program_ends_and_is_not_endless() -> None:
    with pytest.raises(FilterError, match="ends with a return"):
        Assembler().load(BYTE, 0).build()
    with pytest.raises(FilterError, match="ends with a return"):
        Assembler().build()
    code = Assembler()
    for _ in range(4097):
        code.leave(0)
    with pytest.raises(FilterError, match="4096"):
        code.build()


def test_the_kernel_obeys_it() -> None:
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receiver, sender:
        code = Assembler().load(BYTE, 0).jump_if("==", ord("y"), no="end").leave(3).label("end").leave(0)
        socket_filter.attach(receiver, code.build())
        for word in (b"no", b"yes", b"never", b"yesterday"):
            sender.send(word)
        assert [receiver.recv(10), receiver.recv(10)] == [b"yes", b"yes"]


def test_a_program_that_the_kernel_refuses_is_an_error() -> None:
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receiver, sender, pytest.raises(OSError, match="Invalid"):
        socket_filter.attach(receiver, struct.pack("=HBBI", 0xFFFF, 0, 0, 0))


def test_a_descriptor_that_is_no_program_is_an_error() -> None:
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receiver, sender, pytest.raises(OSError, match="Invalid"):
        socket_filter.attach_loaded(receiver, receiver.fileno())


def test_the_kernels_facts_lie_where_no_packet_reaches() -> None:
    assert INTERFACE == 0xFFFFF000 + 8  # SKF_AD_OFF + SKF_AD_IFINDEX
