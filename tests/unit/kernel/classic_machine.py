"""Runs classic BPF programs as the kernel does: the judge of the filters that are assembled here."""

from __future__ import annotations

import struct

AUXILIARY = 0xFFFFF000
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}


class OutOfBoundsError(Exception):
    pass


class Machine:
    def __init__(self, packet: bytes, protocol: int, kind: int, hardware: int) -> None:
        self.packet = packet
        self.facts = {0: protocol, 4: kind, 28: hardware}
        self.accumulator = self.index = self.steps = 0

    def run(self, code: bytes) -> int:
        """Return how many bytes the program takes; 0 when it refuses, or reads what is not there."""
        program = list(struct.iter_unpack("=HBBI", code))
        at = 0
        while True:
            opcode, yes, no, value = program[at]
            self.steps += 1
            at += 1
            if opcode == 0x06:
                return int(value)
            try:
                at += self.step(opcode, yes, no, value)
            except OutOfBoundsError:
                return 0

    def step(self, opcode: int, yes: int, no: int, value: int) -> int:
        kind = opcode & 7
        if kind == 0:
            self.accumulator = self.load(opcode, value)
        elif opcode == 0x01:
            self.index = value
        elif opcode == 0xB1:
            self.index = 4 * (self.read(value, 1) & 15)
        elif opcode == 0x07:
            self.index = self.accumulator
        elif kind == 4:
            self.accumulator = self.calculate(opcode, value) & 0xFFFFFFFF
        elif opcode == 0x05:
            return value
        elif kind == 5:
            return yes if self.compare(opcode, value) else no
        else:
            raise AssertionError(f"opcode {opcode:#x}")
        return 0

    def load(self, opcode: int, value: int) -> int:
        if opcode == 0x80:
            return len(self.packet)
        if opcode & 0xE0 == 0x20 and value >= AUXILIARY:
            return self.facts[value - AUXILIARY]
        beyond = {0x20: 0, 0x40: self.index}[opcode & 0xE0]
        return self.read(value + beyond, SIZES[opcode & 0x18])

    def read(self, offset: int, size: int) -> int:
        if offset + size > len(self.packet):
            raise OutOfBoundsError
        return int.from_bytes(self.packet[offset : offset + size], "big")

    def calculate(self, opcode: int, value: int) -> int:
        operand = self.index if opcode & 8 else value
        return {
            0x00: self.accumulator + operand,
            0x10: self.accumulator - operand,
            0x50: self.accumulator & operand,
            0x70: self.accumulator >> operand,
        }[opcode & 0xF0]

    def compare(self, opcode: int, value: int) -> bool:
        return {
            0x10: self.accumulator == value,
            0x20: self.accumulator > value,
            0x30: self.accumulator >= value,
            0x40: bool(self.accumulator & value),
        }[opcode & 0xF0]
