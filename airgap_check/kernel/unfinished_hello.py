"""Knows which TCP segments carry a ClientHello that is split over several, as an eBPF socket filter with a memory.

A classic filter cannot know the second segment of a hello from any other data. This one notes the flow of a segment in
which a hello begins that does not end there, and lets that segment and what follows it within 16 KiB through. It runs
as the filter of an AF_PACKET socket of the kind SOCK_DGRAM; it needs CAP_BPF. It never decides about a packet's way.
"""

from __future__ import annotations

from typing import Self

from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import (
    BYTE,
    DOUBLE,
    FRAME,
    HALF,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R7,
    R8,
    R9,
    WORD,
    Assembler,
    Helper,
    Register,
)  # fmt: skip
from airgap_check.kernel.telltale import OUTGOING, WHOLE

FLOWS = 8192  # hellos that are unfinished at the same time; the oldest are forgotten
_SOCKET_FILTER = 1  # BPF_PROG_TYPE_SOCKET_FILTER
_LENGTH, _PACKET_TYPE, _INTERFACE = 0, 4, 40  # struct __sk_buff
_SUBTRACT = 0x17  # BPF_ALU64 | BPF_SUB
_LOOPBACK = 1  # the kernel gives it this index in every namespace
_SPAN = 16384 + 1024  # bytes of a flow from the beginning of its hello on: a record and its header
_LONGEST_HELLO = 1 << 16
# On the stack: the key (source, target: 16 bytes each, both ports), the value, and what was read of the packet.
_KEY, _KEY_SIZE, _BEGIN, _VALUE_SIZE, _READ = -40, 36, -48, 8, -96


class _Assembler(Assembler):
    def subtract(self, to: Register, value: Register) -> Self:
        """Take a register off another, in 64 bits."""
        return self._operate(_SUBTRACT, to, value)


def load() -> int:
    """Give the program to the kernel and return its descriptor; raises OSError (EPERM: CAP_BPF is missing)."""
    with bpf.Map(bpf.LRU_HASH, _KEY_SIZE, _VALUE_SIZE, FLOWS, name="airgap_hello") as flows:
        return bpf.load(_SOCKET_FILTER, program(flows.fd), name="airgap_hello")


def program(flows: int) -> bytes:
    """Return the bytecode; ``flows`` is the descriptor of its map. R7 is where we are, R8 how much is left there."""
    code = _Assembler()
    code.move(R6, R1)
    code.load(WORD, R1, R6, _PACKET_TYPE).jump_if(R1, "!=", OUTGOING, "refuse")
    code.load(WORD, R1, R6, _INTERFACE).jump_if(R1, "==", _LOOPBACK, "refuse")
    for offset in range(_KEY, _KEY + 40, DOUBLE):
        code.store(DOUBLE, FRAME, offset, 0)
    _network(code)
    _transport(code)
    code.map(R1, flows).point(R2, _KEY).call(Helper.MAP_LOOKUP).jump_if(R0, "==", 0, "begins")
    # Sequence numbers wrap at 32 bits, and so must their difference.
    code.load(WORD, R1, R0, 0).move(R2, R9).subtract(R2, R1).shift_left(R2, 32).shift_right(R2, 32)
    code.jump_if(R2, "<", _SPAN, "take")
    _begins(code)
    code.store(DOUBLE, FRAME, _BEGIN, R9)
    code.map(R1, flows).point(R2, _KEY).point(R3, _BEGIN).move(R4, bpf.ANY).call(Helper.MAP_UPDATE)
    code.label("take").leave(WHOLE)
    return code.label("refuse").leave(0).build()


def _read(code: _Assembler, size: int) -> None:
    """Read bytes of the packet at R7 to the stack; a packet that has fewer is refused."""
    code.move(R1, R6).move(R2, R7).point(R3, _READ).move(R4, size).call(Helper.SKB_LOAD_BYTES)
    code.jump_if(R0, "!=", 0, "refuse")


def _network(code: _Assembler) -> None:
    """Note the addresses and move on to the TCP header; other protocols and later fragments are refused."""
    code.move(R7, 0)
    _read(code, 40)
    code.load(BYTE, R1, FRAME, _READ).shift_right(R1, 4).jump_if(R1, "==", 6, "v6").jump_if(R1, "!=", 4, "refuse")
    code.load(BYTE, R1, FRAME, _READ + 9).jump_if(R1, "!=", 6, "refuse")
    code.load(HALF, R1, FRAME, _READ + 6).swap_network_order(R1, 16).jump_if(R1, "&", 0x1FFF, "refuse")
    for word, place in ((12, 0), (16, 16)):
        code.load(WORD, R1, FRAME, _READ + word).store(WORD, FRAME, _KEY + place, R1)
    code.load(BYTE, R7, FRAME, _READ).conjoin(R7, 15).shift_left(R7, 2).jump("transport")
    code.label("v6").load(BYTE, R1, FRAME, _READ + 6).jump_if(R1, "!=", 6, "refuse")
    for offset in range(0, 32, DOUBLE):
        code.load(DOUBLE, R1, FRAME, _READ + 8 + offset).store(DOUBLE, FRAME, _KEY + offset, R1)
    code.move(R7, 40)


def _transport(code: _Assembler) -> None:
    """Note the ports, keep the sequence number in R9, and move on to the payload; without one it is refused."""
    code.label("transport")
    _read(code, 20)
    code.load(BYTE, R1, FRAME, _READ + 13).jump_if(R1, "&", 0x06, "refuse")  # SYN, RST
    code.load(WORD, R1, FRAME, _READ).store(WORD, FRAME, _KEY + 32, R1)
    code.load(WORD, R9, FRAME, _READ + 4).swap_network_order(R9, 32)
    code.load(BYTE, R1, FRAME, _READ + 12).shift_right(R1, 4).shift_left(R1, 2).add(R7, R1)
    code.load(WORD, R8, R6, _LENGTH).subtract(R8, R7).jump_if(R8, "s<", 1, "refuse")


def _begins(code: _Assembler) -> None:
    """Go on only where a hello begins that does not end: less than its header, or than the length that this states."""
    code.label("begins").jump_if(R8, "<", 9, "piece")
    _read(code, 9)
    code.load(BYTE, R1, FRAME, _READ).jump_if(R1, "!=", 0x16, "refuse")
    code.load(BYTE, R1, FRAME, _READ + 1).jump_if(R1, "!=", 3, "refuse")
    code.load(BYTE, R1, FRAME, _READ + 5).jump_if(R1, "!=", 1, "refuse")
    code.load(BYTE, R1, FRAME, _READ + 6).shift_left(R1, 8)
    for place in (7, 8):
        code.load(BYTE, R2, FRAME, _READ + place).unite(R1, R2)
        if place == 7:
            code.shift_left(R1, 8)
    code.jump_if(R1, ">", _LONGEST_HELLO, "refuse").add(R1, 9).jump_if(R8, ">=", R1, "refuse").jump("unfinished")
    code.label("piece")
    _read(code, 1)
    code.load(BYTE, R1, FRAME, _READ).jump_if(R1, "!=", 0x16, "refuse")
    code.label("unfinished")
