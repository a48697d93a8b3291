"""Assembles the classic BPF programs that choose what a socket receives: every jump checked, then given to the kernel.

Source: Documentation/networking/filter.rst, include/uapi/linux/filter.h, bpf(4) of the BSDs. A program has an
accumulator and an index register and no memory of earlier packets; a load beyond the packet ends it, refusing.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTE, HALF, WORD = 0x10, 0x08, 0x00  # sizes of a load
# What the kernel knows of a packet beside its bytes, at offsets that no packet reaches (SKF_AD_OFF).
PROTOCOL, PACKET_TYPE, INTERFACE, HARDWARE_TYPE = 0xFFFFF000, 0xFFFFF004, 0xFFFFF008, 0xFFFFF01C

_LONGEST = 4096  # BPF_MAXINSNS
_FARTHEST = 255  # a conditional jump has eight bits
_LOAD_AT, _LOAD_BEYOND_INDEX, _LOAD_LENGTH = 0x20, 0x40, 0x80
_INDEX, _INDEX_HEADER, _INDEX_BY_ACCUMULATOR = 0x01, 0xB1, 0x07
_AND, _SHIFT_RIGHT, _ADD_INDEX, _SUBTRACT_INDEX = 0x54, 0x74, 0x0C, 0x1C
_JUMP, _RETURN = 0x05, 0x06
_CONDITIONS = {"==": 0x15, ">": 0x25, ">=": 0x35, "&": 0x45}
_SO_ATTACH_FILTER, _SO_ATTACH_BPF = 26, 50  # include/uapi/asm-generic/socket.h
_LAYOUT = struct.Struct("=HBBI")


class FilterError(ValueError):
    """The program cannot be written down as it is: a fault of ours, never of the host."""


class _Instruction(NamedTuple):
    opcode: int
    value: int = 0
    yes: str | None = None
    no: str | None = None


class Assembler:
    """A program in the making. Every method adds one instruction and returns the assembler."""

    def __init__(self) -> None:
        self._instructions: list[_Instruction] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> Self:
        """Name the instruction that follows."""
        if name in self._labels:
            raise FilterError(f"label {name} stands twice")
        self._labels[name] = len(self._instructions)
        return self

    def load(self, size: int, offset: int) -> Self:
        """Read from the packet, in network order, or one of the kernel's facts about it."""
        return self._emit(_LOAD_AT | size, offset)

    def load_indexed(self, size: int, offset: int) -> Self:
        """Read from the packet at the index plus an offset."""
        return self._emit(_LOAD_BEYOND_INDEX | size, offset)

    def load_length(self) -> Self:
        """Take the length of the packet."""
        return self._emit(_LOAD_LENGTH)

    def index(self, value: int) -> Self:
        """Set the index."""
        return self._emit(_INDEX, value)

    def index_header(self, offset: int) -> Self:
        """Set the index to four times the low half of a byte: the length of an IPv4 header."""
        return self._emit(_INDEX_HEADER, offset)

    def index_accumulator(self) -> Self:
        """Copy the accumulator into the index."""
        return self._emit(_INDEX_BY_ACCUMULATOR)

    def conjoin(self, mask: int) -> Self:
        """Keep the bits of the accumulator that a mask has."""
        return self._emit(_AND, mask)

    def shift_right(self, bits: int) -> Self:
        """Shift the accumulator right."""
        return self._emit(_SHIFT_RIGHT, bits)

    def add_index(self) -> Self:
        """Add the index to the accumulator."""
        return self._emit(_ADD_INDEX)

    def subtract_index(self) -> Self:
        """Take the index off the accumulator."""
        return self._emit(_SUBTRACT_INDEX)

    def jump(self, label: str) -> Self:
        """Go on at a label, however far ahead."""
        return self._emit(_JUMP, yes=label)

    def jump_if(self, condition: str, value: int, yes: str | None = None, no: str | None = None) -> Self:
        """Compare the accumulator and go on at one of two labels; None is the next instruction. ``&``: a common bit."""
        return self._emit(_CONDITIONS[condition], value, yes, no)

    def branch(self, cases: Mapping[int, str], otherwise: str | None = None) -> Self:
        """Go on at the label of the value that the accumulator has (one instruction a case, one for the rest)."""
        for value, label in cases.items():
            self.jump_if("==", value, label)
        return self if otherwise is None else self.jump(otherwise)

    def leave(self, length: int) -> Self:
        """End: take so many bytes of the packet; 0 refuses it."""
        return self._emit(_RETURN, length)

    def build(self) -> bytes:
        """Resolve the jumps and return the bytecode; raises FilterError."""
        if not 0 < len(self._instructions) <= _LONGEST or self._instructions[-1].opcode != _RETURN:
            raise FilterError("a program ends with a return, and has 4096 instructions at most")
        return b"".join(self._encode(at, instruction) for at, instruction in enumerate(self._instructions))

    def _encode(self, at: int, instruction: _Instruction) -> bytes:
        opcode, value, yes, no = instruction
        if opcode == _JUMP:
            return _LAYOUT.pack(opcode, 0, 0, self._distance(at, yes))
        distances = self._distance(at, yes), self._distance(at, no)
        if max(distances) > _FARTHEST:
            raise FilterError(f"a label of instruction {at} is more than {_FARTHEST} instructions away")
        return _LAYOUT.pack(opcode, *distances, value)

    def _distance(self, at: int, label: str | None) -> int:
        if label is None:
            return 0
        if label not in self._labels:
            raise FilterError(f"there is no label {label}")
        distance = self._labels[label] - at - 1
        if distance < 0 or self._labels[label] >= len(self._instructions):
            raise FilterError(f"label {label} does not stand ahead of instruction {at}")
        return distance

    def _emit(self, opcode: int, value: int = 0, yes: str | None = None, no: str | None = None) -> Self:
        if not 0 <= value < 1 << 32:
            raise FilterError(f"{value} has more than 32 bits")
        self._instructions.append(_Instruction(opcode, value, yes, no))
        return self


def attach(channel: socket.socket, code: bytes) -> None:
    """Let a classic program choose what a socket receives from now on; raises OSError."""
    import ctypes

    program = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: how many instructions, and where they are
    channel.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(code) // _LAYOUT.size, ctypes.addressof(program))
    )


def attach_loaded(channel: socket.socket, program: int) -> None:
    """Let an eBPF program, loaded as a socket filter, choose what a socket receives; raises OSError."""
    channel.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program)
