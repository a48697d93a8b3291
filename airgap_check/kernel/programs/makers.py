"""Remembers who makes a socket that is seen by its packets, since a packet may leave when nobody is at work.

It is kept with the socket itself, for as long as that lives; where the kernel has no room there (before Linux 5.9), in
a table in which whoever makes many sockets pushes out the oldest. Source: include/uapi/linux/bpf.h (bpf_sock).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import (
    DOUBLE,
    FRAME,
    HALF,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R9,
    WORD,
    Assembler,
    Helper,
    Register,
)  # fmt: skip
from airgap_check.kernel.programs import event, identity
from airgap_check.kernel.programs.sift import lookup, update

if TYPE_CHECKING:
    from airgap_check.kernel.programs.identity import Identity

_ENTRIES = 1 << 14  # sockets that the table remembers
_TYPE, _PROTOCOL = 8, 12  # struct bpf_sock
_SOCK_RAW, _TCP, _UDP, _MPTCP = 3, 6, 17, 262
_CREATE = 1  # BPF_SK_STORAGE_GET_F_CREATE
_EVENT = -event.SIZE
_VALUE, _KEY = _EVENT - 16, _EVENT - 24
_OF_MAKER = (event.PID, event.NETNS, event.STARTED, event.EXECUTABLE, event.DEVICE, event.COMMAND, event.COMMAND + 8)


class Makers(NamedTuple):
    """Where makers are kept; ``with_sockets`` says which of the two ways it is."""

    table: bpf.Map
    with_sockets: bool


def with_sockets() -> Makers:
    """Keep makers with their sockets; raises BpfError where the kernel cannot."""
    # Two types (Documentation/bpf/btf.rst): numbers of 4 bytes as keys, arrays of event.SIZE numbers as values; and
    # what those are made of.
    number = struct.pack("=IIII", 1, 1 << 24, 4, 32)
    array = struct.pack("=IIIIII", 0, 3 << 24, 0, 3, 1, event.SIZE)
    byte = struct.pack("=IIII", 3, 1 << 24, 1, 8)
    types, names = number + array + byte, b"\0u\0c\0"
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names))
    loaded = bpf.load_types(head + types + names)
    try:
        made = bpf.Map(
            bpf.SK_STORAGE, 4, event.SIZE, 0, flags=bpf.NO_PREALLOC, name="airgap_makers", types=loaded
        )  # fmt: skip
    finally:
        os.close(loaded)
    return Makers(made, with_sockets=True)


def in_table() -> Makers:
    """Keep makers in a table, which forgets the oldest; raises BpfError."""
    return Makers(bpf.Map(bpf.LRU_HASH, 8, event.SIZE, _ENTRIES, name="airgap_makers"), with_sockets=False)


def making(makers: Makers, who: Identity) -> bytes:
    """Assemble the program for socket(2): it remembers who makes a socket that is neither TCP nor UDP."""
    code = Assembler().move(R6, R1)
    leave_common(code, R1, "pass")
    for place in range(_EVENT, 0, 8):
        code.store(DOUBLE, FRAME, place, 0)
    code.move(R1, R6).call(Helper.GET_NETNS_COOKIE).store(DOUBLE, FRAME, _EVENT + event.NETNS, R0)
    identity.write_key(code, who, _EVENT, _VALUE, R9)
    identity.write_rest(code, who, _EVENT, R9)
    if makers.with_sockets:
        code.map(R1, makers.table.fd).move(R2, R6).point(R3, _EVENT).move(R4, _CREATE).call(Helper.SK_STORAGE_GET)
    else:
        code.move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, _KEY, R0)
        update(code, makers.table, _KEY, _EVENT, bpf.ANY)
    return code.label("pass").leave(1).build()


def leave_common(code: Assembler, sock: Register, end: str) -> None:
    """Go to ``end`` for TCP and UDP, but not for raw sockets that were made for these protocols; R2 is lost."""
    code.load(WORD, R2, sock, _TYPE).jump_if(R2, "==", _SOCK_RAW, "odd").load(WORD, R2, sock, _PROTOCOL)
    for protocol in (_TCP, _UDP, _MPTCP):
        code.jump_if(R2, "==", protocol, end)
    code.label("odd")


def write_maker(code: Assembler, makers: Makers, at: int, sock: int, *, namespace: bool) -> None:
    """Write who made the socket; without a maker whose it is now, and nothing of a process.

    R6 is the packet; its cookie stands in the event at ``at``, and a pointer to the socket at ``sock`` on the stack.
    ``namespace``: the program asks for that of the packet where the maker is not known.
    """
    code.store(WORD, FRAME, at + event.SOURCE, 0)
    if makers.with_sockets:
        code.map(R1, makers.table.fd).load(DOUBLE, R2, FRAME, sock).move(R3, 0).move(R4, 0)
        code.call(Helper.SK_STORAGE_GET)
    else:
        lookup(code, makers.table, at + event.COOKIE)
    code.jump_if(R0, "==", 0, "nobody")
    for place in _OF_MAKER:
        code.load(DOUBLE, R1, R0, place).store(DOUBLE, FRAME, at + place, R1)
    code.load(WORD, R1, R0, event.UID).store(WORD, FRAME, at + event.UID, R1)
    code.load(HALF, R1, FRAME, at + event.FLAGS).conjoin(R1, ~event.HOUSEKEEPING).store(
        HALF, FRAME, at + event.FLAGS, R1
    )
    code.jump("written").label("nobody")
    for place in _OF_MAKER:
        code.store(DOUBLE, FRAME, at + place, 0)
    code.move(R1, R6).call(Helper.GET_SOCKET_UID).store(WORD, FRAME, at + event.UID, R0)
    if namespace:
        code.move(R1, R6).call(Helper.GET_NETNS_COOKIE).store(DOUBLE, FRAME, at + event.NETNS, R0)
    code.label("written")
