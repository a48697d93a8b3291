"""Assembles eBPF programs: instructions by name, jumps to labels, every offset and constant checked.

Source: RFC 9669 (the instruction set), include/uapi/linux/bpf.h (the helpers). The bytes are in the order of this host,
as the kernel wants them.
"""

from __future__ import annotations

import struct
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from airgap_check.kernel.netlink import Bytes

BYTE, HALF, WORD, DOUBLE = 1, 2, 4, 8  # sizes in memory, in bytes
STACK = 512  # bytes below the frame pointer that a program has


class Register(IntEnum):
    """R0 holds what a call or the program returns, R1 to R5 arguments (lost in a call), R6 to R9 keep their value."""

    R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME = range(11)


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME = Register


class Helper(IntEnum):
    """What a program can ask of the kernel: the functions of bpf-helpers(7), by number."""

    MAP_LOOKUP = 1
    MAP_UPDATE = 2
    MAP_DELETE = 3
    KTIME_GET_NS = 5  # CLOCK_MONOTONIC
    GET_CURRENT_PID_TGID = 14
    GET_CURRENT_UID_GID = 15
    GET_CURRENT_COMM = 16
    SKB_LOAD_BYTES = 26
    CURRENT_TASK_UNDER_CGROUP = 37
    GET_SOCKET_COOKIE = 46
    GET_SOCKET_UID = 47
    SKB_LOAD_BYTES_RELATIVE = 68
    SKB_CGROUP_ID = 79
    GET_CURRENT_CGROUP_ID = 80
    SK_FULLSOCK = 95
    SK_STORAGE_GET = 107
    PROBE_READ_KERNEL = 113
    PROBE_READ_KERNEL_STR = 115
    GET_NS_CURRENT_PID_TGID = 120
    GET_NETNS_COOKIE = 122
    SEQ_WRITE = 127
    SK_CGROUP_ID = 128
    RINGBUF_OUTPUT = 130
    GET_CURRENT_TASK_BTF = 158
    SOCK_FROM_FILE = 162


class AssemblyError(ValueError):
    """The program cannot be written down as it is: a fault of ours, never of the host."""


class Instruction(NamedTuple):
    """One instruction. The second half of a 64-bit constant is an instruction of its own, with opcode 0."""

    opcode: int
    to: int = 0
    source: int = 0
    offset: int = 0
    immediate: int = 0


LOAD_CONSTANT, CALL, EXIT, JUMP, MOVE = 0x18, 0x85, 0x95, 0x05, 0xB7  # opcodes that whoever reads programs must know
FROM_REGISTER = 0x08  # the bit of an opcode: the operand is a register
_LAYOUT = struct.Struct("=BBhi")
_SIZES = {BYTE: 0x10, HALF: 0x08, WORD: 0x00, DOUBLE: 0x18}
_CONDITIONS = {
    "==": 0x15, ">": 0x25, ">=": 0x35, "&": 0x45, "!=": 0x55, "<": 0xA5, "<=": 0xB5, "s>": 0x65, "s<": 0xC5,
}  # fmt: skip
_LOAD, _STORE, _STORE_CONSTANT, _ATOMIC = 0x61, 0x63, 0x62, 0xC3
_MAP_DESCRIPTOR = 1  # BPF_PSEUDO_MAP_FD
_TO_BIG_ENDIAN = 0xDC


class Assembler:
    """A program in the making. Every method adds one instruction (or the few it says) and returns the assembler.

    A value is a `Register` or a number that fits in 32 bits with its sign, which is extended to 64 bits.
    """

    def __init__(self) -> None:
        self._instructions: list[Instruction] = []
        self._labels: dict[str, int] = {}
        self._jumps: dict[int, str] = {}

    def label(self, name: str) -> Self:
        """Name the instruction that follows."""
        if name in self._labels:
            raise AssemblyError(f"label {name} stands twice")
        self._labels[name] = len(self._instructions)
        return self

    def move(self, to: Register, value: Register | int) -> Self:
        """Copy a value into a register."""
        return self._operate(0xB7, to, value)

    def add(self, to: Register, value: Register | int) -> Self:
        """Add a value to a register."""
        return self._operate(0x07, to, value)

    def conjoin(self, to: Register, value: Register | int) -> Self:
        """Keep the bits of a register that the value has too."""
        return self._operate(0x57, to, value)

    def unite(self, to: Register, value: Register | int) -> Self:
        """Set the bits of a register that the value has."""
        return self._operate(0x47, to, value)

    def shift_left(self, to: Register, value: Register | int) -> Self:
        """Shift a register left by so many bits."""
        return self._operate(0x67, to, value)

    def shift_right(self, to: Register, value: Register | int) -> Self:
        """Shift a register right by so many bits, without a sign."""
        return self._operate(0x77, to, value)

    def swap_network_order(self, to: Register, bits: int) -> Self:
        """Turn the low 16, 32 or 64 bits of a register from network order into the host's, or back; the rest is 0."""
        return self._emit(_TO_BIG_ENDIAN, to, immediate=bits)

    def constant(self, to: Register, value: int) -> Self:
        """Load 64 bits, without a sign (two instructions)."""
        if not 0 <= value < 1 << 64:
            raise AssemblyError(f"{value} has more than 64 bits")
        self._emit(LOAD_CONSTANT, to, immediate=_signed(value))
        return self._emit(0, immediate=_signed(value >> 32))

    def map(self, to: Register, descriptor: int) -> Self:
        """Load the map that a file descriptor of ours stands for (two instructions)."""
        self._emit(LOAD_CONSTANT, to, _MAP_DESCRIPTOR, immediate=descriptor)
        return self._emit(0)

    def load(self, size: int, to: Register, base: Register, offset: int) -> Self:
        """Read from memory into a register, filled up with zeros."""
        _check_stack(size, base, offset)
        return self._emit(_LOAD | _SIZES[size], to, base, offset)

    def store(self, size: int, base: Register, offset: int, value: Register | int) -> Self:
        """Write the low bytes of a value to memory."""
        _check_stack(size, base, offset)
        if isinstance(value, Register):
            return self._emit(_STORE | _SIZES[size], base, value, offset)
        return self._emit(_STORE_CONSTANT | _SIZES[size], base, 0, offset, value)

    def count(self, base: Register, offset: int, value: Register) -> Self:
        """Add a register to 64 bits in memory, in one piece whatever other processors do."""
        _check_stack(DOUBLE, base, offset)
        return self._emit(_ATOMIC | _SIZES[DOUBLE], base, value, offset)

    def point(self, to: Register, offset: int) -> Self:
        """Point a register at a place on the stack (two instructions)."""
        _check_stack(BYTE, FRAME, offset)
        return self.move(to, FRAME).add(to, offset)

    def call(self, helper: Helper) -> Self:
        """Ask the kernel; the answer is in R0, and R1 to R5 are lost."""
        return self._emit(CALL, immediate=helper)

    def jump(self, label: str) -> Self:
        """Go on at a label."""
        self._jumps[len(self._instructions)] = label
        return self._emit(JUMP)

    def jump_if(self, register: Register, condition: str, value: Register | int, label: str) -> Self:
        """Go on at a label if ``register condition value``; ``&`` asks for a common bit, ``s<`` compares with sign."""
        self._jumps[len(self._instructions)] = label
        return self._operate(_CONDITIONS[condition], register, value)

    def leave(self, value: int) -> Self:
        """End the program with a return value (two instructions)."""
        self.move(R0, value)
        return self._emit(EXIT)

    def build(self) -> bytes:
        """Resolve the jumps and return the bytecode; raises AssemblyError."""
        for at, label in self._jumps.items():
            if label not in self._labels:
                raise AssemblyError(f"there is no label {label}")
            distance = self._labels[label] - at - 1
            if not -(1 << 15) <= distance < 1 << 15:
                raise AssemblyError(f"label {label} is {distance} instructions away")
            self._instructions[at] = self._instructions[at]._replace(offset=distance)
        return encode(self._instructions)

    def _operate(self, opcode: int, to: Register, value: Register | int) -> Self:
        if isinstance(value, Register):
            return self._emit(opcode | FROM_REGISTER, to, value)
        return self._emit(opcode, to, immediate=value)

    def _emit(self, opcode: int, to: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> Self:
        if not -(1 << 15) <= offset < 1 << 15:
            raise AssemblyError(f"offset {offset} does not fit in 16 bits")
        if not -(1 << 31) <= immediate < 1 << 31:
            raise AssemblyError(f"{immediate} does not fit in 32 bits with its sign")
        self._instructions.append(Instruction(opcode, int(to), int(source), offset, int(immediate)))
        return self


def encode(instructions: list[Instruction]) -> bytes:
    """Write instructions as the kernel reads them."""
    return b"".join(
        _LAYOUT.pack(each.opcode, _registers(each.to, each.source), each.offset, each.immediate)
        for each in instructions
    )


def decode(code: Bytes) -> list[Instruction]:
    """Read bytecode, whoever wrote it; raises AssemblyError when it is no whole number of instructions."""
    if len(code) % _LAYOUT.size:
        raise AssemblyError(f"{len(code)} bytes are no whole number of instructions")
    return [
        Instruction(opcode, *_registers_of(registers), offset, immediate)
        for opcode, registers, offset, immediate in _LAYOUT.iter_unpack(code)
    ]


def _registers(to: int, source: int) -> int:
    """Join two registers as the bit fields of ``struct bpf_insn`` lie: the first is low where bytes are."""
    return to | source << 4 if sys.byteorder == "little" else to << 4 | source


def _registers_of(both: int) -> tuple[int, int]:
    low, high = both & 15, both >> 4
    return (low, high) if sys.byteorder == "little" else (high, low)


def _signed(value: int) -> int:
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _check_stack(size: int, base: Register, offset: int) -> None:
    if size not in _SIZES:
        raise AssemblyError(f"nothing in memory is {size} bytes wide")
    if base == FRAME and (not -STACK <= offset <= -size or offset % size):
        raise AssemblyError(f"there are no {size} aligned bytes at {offset} of the stack")
