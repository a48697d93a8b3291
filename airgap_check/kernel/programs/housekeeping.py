"""Tells what the kernel sends by itself from sockets of its own: answers, errors, neighbour discovery.

Whose a socket is, nobody can fake who has none of the kernel's; where type information or rights to ask are missing, a
message of such a kind is the kernel's if nobody is known to have made the socket.
Source: include/net/sock.h (sk_kern_sock), net/ipv4/{icmp,tcp_ipv4}.c, net/ipv6/{icmp,ndisc,mcast}.c.
"""

from __future__ import annotations

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
    R7,
    R8,
    Assembler,
    Helper,
)  # fmt: skip
from airgap_check.kernel.programs import event
from airgap_check.kernel.programs.header import load_packet

if TYPE_CHECKING:
    from airgap_check.kernel.btf import Bit

_ICMP, _TCP, _ICMPV6 = 1, 6, 58
_TCP_RST, _TCP_ACK, _TCP_KNOWN = 4, 16, 63  # without those that tell of congestion
_REPLIES = {_ICMP: ((0, 0), (3, 3), (11, 12), (14, 14)), _ICMPV6: ((1, 4), (129, 137), (143, 143))}  # of the kernel


def flag(code: Assembler, at: int, head: int, sock: int, owned: Bit | None) -> None:
    """Flag the event at ``at`` where R8, the protocol, has a message for that at R7; R1 to R5 are lost.

    ``sock`` is the place on the stack where a pointer to the socket stands, ``owned`` says where the socket tells that
    it is the kernel's own; without it the kind of the message decides. 16 bytes at ``head`` are lost.
    """
    code.load(HALF, R1, FRAME, at + event.FLAGS).jump_if(R1, "!=", 0, "judged")
    code.jump_if(R7, "==", 0, "judged").jump_if(R8, "==", _TCP, "tcp")
    code.jump_if(R8, "==", _ICMP, "icmp").jump_if(R8, "!=", _ICMPV6, "judged").label("icmp")
    load_packet(code, (R7, 0), head, 1, "judged")
    code.load(BYTE, R1, FRAME, head).jump_if(R8, "==", _ICMPV6, "six kinds")
    for protocol, kinds in _REPLIES.items():
        if protocol == _ICMPV6:
            code.label("six kinds")
        for first, last in kinds:
            code.jump_if(R1, "<", first, "judged").jump_if(R1, "<=", last, "of such a kind")
        code.jump("judged")
    code.label("tcp")
    load_packet(code, (R7, 13), head, 1, "judged")
    # Before Linux 6.13 it also acknowledges from there what comes for connections that wait for their end.
    code.load(BYTE, R1, FRAME, head).jump_if(R1, "&", _TCP_RST, "of such a kind")
    code.conjoin(R1, _TCP_KNOWN).jump_if(R1, "!=", _TCP_ACK, "judged").label("of such a kind")
    if owned is not None:
        _leave_users(code, head, sock, owned)
    code.store(HALF, FRAME, at + event.FLAGS, event.HOUSEKEEPING).label("judged")


def _leave_users(code: Assembler, head: int, sock: int, owned: Bit) -> None:
    """Go to *judged* unless the socket is the kernel's own.

    A program may not count with a pointer to a socket; but it may read its own stack, where that is a number.
    """
    code.point(R3, sock).point(R1, head).move(R2, 8).call(Helper.PROBE_READ_KERNEL).jump_if(R0, "!=", 0, "judged")
    code.load(DOUBLE, R3, FRAME, head).add(R3, owned.byte).point(R1, head + 8).move(R2, 1)
    code.call(Helper.PROBE_READ_KERNEL).jump_if(R0, "!=", 0, "judged")
    code.load(BYTE, R1, FRAME, head + 8).conjoin(R1, owned.mask).jump_if(R1, "==", 0, "judged")
