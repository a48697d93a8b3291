"""Reads the headers of a packet that leaves: where it goes, what it carries, and whether it goes there by its own way.

Source: RFC 791 (options of IPv4), RFC 8200 (extension headers of IPv6), include/uapi/linux/bpf.h (__sk_buff).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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
)  # fmt: skip
from airgap_check.kernel.programs import event

if TYPE_CHECKING:
    from airgap_check.kernel.assembler import Register

SPACE = 40  # bytes of the stack for a piece of the packet
_ETHERTYPE, _DATA, _DATA_END = 16, 76, 80  # struct __sk_buff
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_EXTENSIONS = 7  # headers that are walked
_LOOSE, _STRICT = 131, 137  # the options of IPv4 that say which way to go
_END, _NOTHING, _LONGEST = 0, 1, 40  # the options without a length; bytes of all options
_WITHOUT_OPTIONS = 0x45  # version and length, the first byte of IPv4
_MAPPED = int.from_bytes(b"\0\0\xff\xff", sys.byteorder, signed=True)  # what stands before an IPv4 address


def leave_plain(code: Assembler, otherwise: str, end: str) -> None:
    """Go to ``end`` when the packet in R6 can have no route of its own, else to ``otherwise``: a look at two bytes."""
    code.load(WORD, R1, R6, _DATA).load(WORD, R2, R6, _DATA_END).move(R3, R1).add(R3, 20)
    code.jump_if(R3, ">", R2, otherwise)
    code.load(BYTE, R3, R1, 0).jump_if(R3, "==", _WITHOUT_OPTIONS, end).shift_right(R3, 4)
    code.jump_if(R3, "!=", 6, otherwise).load(BYTE, R3, R1, 6)
    for kind in (_HOP_BY_HOP, _ROUTING, _OPTIONS):  # a routing header stands before the others
        code.jump_if(R3, "==", kind, otherwise)
    code.jump(end)


def load_packet(code: Assembler, place: tuple[Register | None, int], to: int, size: int, otherwise: str) -> None:
    """Copy a piece of the packet in R6 to the stack; go to ``otherwise`` when it is shorter.

    ``place`` is where the piece begins: a register, or nothing, and an offset from there.
    """
    base, offset = place
    code.move(R2, offset if base is None else base)
    if base is not None:
        code.add(R2, offset)
    code.move(R1, R6).point(R3, to).move(R4, size).call(Helper.SKB_LOAD_BYTES).jump_if(R0, "!=", 0, otherwise)


def write_destination(code: Assembler, at: int, head: int, end: str) -> None:
    """Write the address into the event at ``at``, flag it if it has a route of its own, leave the protocol in R8.

    R7 is where the header of the protocol begins, or 0 in a later fragment. What is not IP goes to ``end``. The flags
    must be 0. R9 is lost, and so are `SPACE` bytes at ``head``.
    """
    code.load(WORD, R1, R6, _ETHERTYPE)
    code.jump_if(R1, "==", _network_order(0x86DD), "six").jump_if(R1, "!=", _network_order(0x0800), end)
    load_packet(code, (None, 0), head, 20, end)
    code.store(DOUBLE, FRAME, at + event.ADDRESS, 0).store(WORD, FRAME, at + event.ADDRESS + 8, _MAPPED)
    code.load(WORD, R1, FRAME, head + 16).store(WORD, FRAME, at + event.ADDRESS + 12, R1)
    code.load(BYTE, R8, FRAME, head + 9).load(BYTE, R7, FRAME, head).conjoin(R7, 15).shift_left(R7, 2)
    _look_for_route(code, at, head)
    code.load(HALF, R1, FRAME, head + 6).swap_network_order(R1, 16).conjoin(R1, 0x1FFF)
    code.jump_if(R1, "==", 0, "transport").move(R7, 0).jump("transport").label("six")
    load_packet(code, (None, 24), at + event.ADDRESS, 16, end)
    load_packet(code, (None, 6), head, 1, end)
    code.load(BYTE, R8, FRAME, head).move(R7, 40)
    for number in range(_EXTENSIONS):
        _skip_extension(code, number, at, head)
    code.label("transport")


def _look_for_route(code: Assembler, at: int, head: int) -> None:
    """Flag an IPv4 packet that names its way in an option; R7 is where the options end."""
    option = head + 24  # the header stands below it
    code.store(DOUBLE, FRAME, head + 32, 20).move(R9, _LONGEST).label("option")
    code.load(DOUBLE, R1, FRAME, head + 32).jump_if(R1, ">=", R7, "no route").jump_if(R9, "==", 0, "no route")
    code.add(R9, -1)
    load_packet(code, (R1, 0), option, 2, "no route")
    code.load(DOUBLE, R1, FRAME, head + 32).add(R1, 1).load(BYTE, R2, FRAME, option)
    code.jump_if(R2, "==", _END, "no route").jump_if(R2, "==", _NOTHING, "next option")
    code.jump_if(R2, "==", _LOOSE, "route").jump_if(R2, "==", _STRICT, "route")
    code.load(BYTE, R2, FRAME, option + 1).jump_if(R2, "<", 2, "no route").add(R1, R2).add(R1, -1)
    code.label("next option").store(DOUBLE, FRAME, head + 32, R1).jump("option")
    code.label("route").store(HALF, FRAME, at + event.FLAGS, event.SOURCE_ROUTED).label("no route")


def _skip_extension(code: Assembler, number: int, at: int, head: int) -> None:
    """Go behind one IPv6 extension header, or to *transport* when it is none."""
    code.jump_if(R8, "==", _ROUTING, f"routing {number}")
    for kind in (_HOP_BY_HOP, _FRAGMENT, _AUTHENTICATION, _OPTIONS):
        code.jump_if(R8, "==", kind, f"extension {number}")
    code.jump("transport").label(f"routing {number}")
    code.store(HALF, FRAME, at + event.FLAGS, event.SOURCE_ROUTED).label(f"extension {number}")
    load_packet(code, (R7, 0), head, 4, "transport")
    code.load(BYTE, R1, FRAME, head + 1)  # its length, in units of 8 bytes and without the first
    code.jump_if(R8, "==", _FRAGMENT, f"fragment {number}").jump_if(R8, "!=", _AUTHENTICATION, f"plain {number}")
    code.add(R1, 2).shift_left(R1, 2).jump(f"next {number}")  # of this one in units of 4 bytes, without two
    code.label(f"plain {number}").add(R1, 1).shift_left(R1, 3).jump(f"next {number}").label(f"fragment {number}")
    code.load(HALF, R2, FRAME, head + 2).swap_network_order(R2, 16).move(R1, 8)
    code.jump_if(R2, "<", 8, f"next {number}")  # the upper 13 bits say where the fragment belongs
    code.load(BYTE, R8, FRAME, head).move(R7, 0).jump("transport")
    code.label(f"next {number}").add(R7, R1).load(BYTE, R8, FRAME, head)


def _network_order(number: int) -> int:
    """Return a number of 16 bits as programs see it in a field that is in network order."""
    return int.from_bytes(number.to_bytes(2, "big"), sys.byteorder)
