"""The assembler writes what the kernel reads, and refuses what it would not."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel.assembler import (
    BYTE,
    DOUBLE,
    FRAME,
    HALF,
    R0,
    R1,
    R2,
    R3,
    R9,
    WORD,
    Assembler,
    AssemblyError,
    Helper,
    Instruction,
    decode,
    encode,
)

registers, signed16, signed32 = (
    st.integers(0, 10),
    st.integers(-(1 << 15), (1 << 15) - 1),
    st.integers(-(1 << 31), (1 << 31) - 1),
)
instructions = st.builds(Instruction, st.integers(0, 255), registers, registers, signed16, signed32)


@pytest.mark.parametrize(
    ("code", "meant"),
    [  # as clang and llvm-objdump spell them
        (Assembler().move(R1, 5), "b7 1 0 0 5"),
        (Assembler().move(R1, R2), "bf 1 2 0 0"),
        (Assembler().add(R2, -8), "07 2 0 0 -8"),
        (Assembler().conjoin(R1, R9), "5f 1 9 0 0"),
        (Assembler().unite(R1, 4), "47 1 0 0 4"),
        (Assembler().shift_left(R1, 32), "67 1 0 0 32"),
        (Assembler().shift_right(R1, 32), "77 1 0 0 32"),
        (Assembler().swap_network_order(R1, 16), "dc 1 0 0 16"),
        (Assembler().load(WORD, R1, R2, 24), "61 1 2 24 0"),
        (Assembler().load(HALF, R1, R2, 2), "69 1 2 2 0"),
        (Assembler().load(BYTE, R1, R2, 1), "71 1 2 1 0"),
        (Assembler().load(DOUBLE, R1, FRAME, -8), "79 1 10 -8 0"),
        (Assembler().store(WORD, FRAME, -4, R3), "63 10 3 -4 0"),
        (Assembler().store(DOUBLE, FRAME, -8, -1), "7a 10 0 -8 -1"),
        (Assembler().count(R0, 8, R1), "db 0 1 8 0"),
        (Assembler().call(Helper.KTIME_GET_NS), "85 0 0 0 5"),
    ],
)
def test_each_method_writes_its_instruction(code: Assembler, meant: str) -> None:
    (written,) = decode(code.build())
    opcode, *rest = meant.split()
    assert written == (int(opcode, 16), *map(int, rest))


def test_the_bytes_are_those_that_this_host_reads() -> None:
    low = 0xA1 if sys.byteorder == "little" else 0x1A
    assert Assembler().load(DOUBLE, R1, FRAME, -8).build() == struct.pack("=BBhi", 0x79, low, -8, 0)


def test_a_constant_and_a_map_take_two_instructions() -> None:
    assert decode(Assembler().constant(R1, 0x1_8000_0000).build()) == [(0x18, 1, 0, 0, -(1 << 31)), (0, 0, 0, 0, 1)]
    assert decode(Assembler().map(R2, 7).build()) == [(0x18, 2, 1, 0, 7), (0, 0, 0, 0, 0)]


def test_a_jump_leads_to_its_label_forward_and_back() -> None:
    code = Assembler().label("start").jump_if(R1, "==", 0, "out").jump("start").label("out").leave(1)
    assert decode(code.build()) == [(0x15, 1, 0, 1, 0), (5, 0, 0, -2, 0), (0xB7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("condition", "opcode"),
    [
        ("==", 0x1D),
        (">", 0x2D),
        (">=", 0x3D),
        ("&", 0x4D),
        ("!=", 0x5D),
        ("<", 0xAD),
        ("<=", 0xBD),
        ("s>", 0x6D),
        ("s<", 0xCD),
    ],
)
def test_a_condition_compares_registers_and_numbers(condition: str, opcode: int) -> None:
    code = Assembler().jump_if(R1, condition, R2, "out").jump_if(R1, condition, 3, "out").label("out").leave(0)
    first, second, *_ = decode(code.build())
    assert (first.opcode, second.opcode) == (opcode, opcode & ~8)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda: Assembler().jump("nowhere").build(), "no label nowhere"),
        (lambda: Assembler().label("here").label("here"), "stands twice"),
        (lambda: Assembler().move(R1, 1 << 31), "32 bits"),
        (lambda: Assembler().store(WORD, R1, 1 << 15, 0), "16 bits"),
        (lambda: Assembler().constant(R1, 1 << 64), "64 bits"),
        (lambda: Assembler().constant(R1, -1), "64 bits"),
        (lambda: Assembler().load(WORD, R1, FRAME, 0), "of the stack"),
        (lambda: Assembler().load(DOUBLE, R1, FRAME, -4), "of the stack"),
        (lambda: Assembler().store(DOUBLE, FRAME, -12, 0), "of the stack"),
        (lambda: Assembler().store(WORD, FRAME, -516, 0), "of the stack"),
        (lambda: Assembler().point(R1, -513), "of the stack"),
        (lambda: Assembler().load(3, R1, R2, 0), "3 bytes wide"),
        (lambda: decode(b"1234567"), "whole number"),
    ],
)
def test_what_the_kernel_would_not_take_is_refused(wrong: object, reason: str) -> None:
    assert callable(wrong)
    with pytest.raises(AssemblyError, match=reason):
        wrong()


def test_a_label_that_is_too_far_away_is_refused() -> None:
    code = Assembler().jump("out")
    for _ in range(1 << 15):
        code.move(R0, 1)
    with pytest.raises(AssemblyError, match="32768 instructions away"):
        code.label("out").leave(1).build()


@given(st.lists(instructions))
def test_what_is_written_is_what_is_read(code: list[Instruction]) -> None:
    assert decode(encode(code)) == code


@given(st.binary())
def test_any_whole_number_of_instructions_can_be_read(data: bytes) -> None:
    whole = data[: len(data) // 8 * 8]
    assert encode(decode(whole)) == whole


def test_registers_of_the_other_byte_order_stand_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    there = "big" if sys.byteorder == "little" else "little"
    here = Assembler().move(R1, R2).build()
    monkeypatch.setattr(sys, "byteorder", there)
    assert Assembler().move(R1, R2).build()[1] == (here[1] >> 4 | (here[1] & 15) << 4)
    assert decode(encode([Instruction(0xBF, 1, 2)])) == [Instruction(0xBF, 1, 2)]
