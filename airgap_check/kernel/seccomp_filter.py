"""Writes the seccomp filter that lets a supervisor hear of every call by which a program reaches for the network.

Which calls are told, which are refused because nobody could hear of them, and that everything else goes on.
Source: seccomp(2), include/uapi/linux/{seccomp,audit}.h, the tables of system calls of x86 and arm.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.kernel.socket_filter import WORD, Assembler

if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOW, NOTIFY, REFUSE = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ and what they return
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they stand in struct seccomp_data
_X32 = 0x40000000  # __X32_SYSCALL_BIT
_INET = 2  # AF_INET, include/linux/socket.h
# Families of which nobody need be told when a socket is made: UNSPEC, which the kernel refuses; UNIX, INET6 and SMC,
# which are told by what they connect to; NETLINK, KEY and ALG, which reach the kernel alone. Every other may lead out
# of a network namespace, as VSOCK does, to whoever runs this machine.
_QUIET = (0, 1, 10, 15, 16, 38, 43)
_SOCK_PACKET, _TYPE_MASK = 10, 0xF  # the name that packet sockets had in Linux 2.0: AF_INET, SOCK_PACKET

CallName = Literal["connect", "sendto", "sendmsg", "sendmmsg", "socket"]


class Machine(NamedTuple):
    """An architecture: its AUDIT_ARCH, its numbers of calls, and those by which its other programs use the network.

    ``foreign`` is the AUDIT_ARCH of its 32-bit programs, whose networking calls are ``refused``, both ends included.
    """

    architecture: int
    calls: Mapping[int, CallName]
    seccomp: int
    foreign: int
    refused: tuple[tuple[int, int], ...]
    x32: tuple[tuple[int, int], ...] = ()


_SETUP = 425  # io_uring_setup, one number on every architecture: what a ring does, no filter ever sees
MACHINES = {
    "x86_64": Machine(
        architecture=0xC000003E,
        calls={42: "connect", 44: "sendto", 46: "sendmsg", 307: "sendmmsg", 41: "socket"},
        seccomp=317,
        foreign=0x40000003,
        refused=((102, 102), (337, 337), (345, 345), (359, 373), (_SETUP, _SETUP)),
        # socket to getsockopt, accept4, recvmmsg, sendmmsg, and the numbers of x32 alone
        x32=((41, 55), (288, 288), (299, 299), (307, 307), (_SETUP, _SETUP), (515, 519), (537, 538), (541, 542)),
    ),
    "aarch64": Machine(
        architecture=0xC00000B7,
        calls={203: "connect", 206: "sendto", 211: "sendmsg", 269: "sendmmsg", 198: "socket"},
        seccomp=277,
        foreign=0x40000028,
        refused=((102, 102), (281, 297), (365, 366), (374, 374), (_SETUP, _SETUP)),
    ),
}


def build(machine: Machine) -> bytes:
    """Return the bytecode of the filter."""
    code = Assembler().load(WORD, _ARCHITECTURE)
    code.branch({machine.architecture: "native", machine.foreign: "foreign"}, "refused")
    code.label("foreign").load(WORD, _NUMBER)
    _refuse(code, machine.refused)
    code.label("native").load(WORD, _NUMBER)
    if machine.x32:
        code.jump_if(">=", _X32, no="not x32").conjoin(_X32 - 1)
        _refuse(code, machine.x32)
        code.label("not x32")
    looked_into = {"sendto", "socket"}
    code.branch({number: name if name in looked_into else "told" for number, name in machine.calls.items()})
    code.branch({_SETUP: "refused"}, "allowed")
    _look_at_sendto(code)
    _look_at_socket(code)
    code.label("allowed").leave(ALLOW).label("refused").leave(REFUSE).label("told").leave(NOTIFY)
    return code.build()


def _refuse(code: Assembler, ranges: tuple[tuple[int, int], ...]) -> None:
    """Refuse the calls of these numbers, both ends of a range included, and let every other go on."""
    for first, last in ranges:
        beyond = f"beyond {first}-{last} of {len(ranges)}"
        code.jump_if(">=", first, no=beyond).jump_if(">", last, no="refused").label(beyond)
    code.jump("allowed")


def _argument(index: int) -> int:
    """Return where the lower half of an argument stands; both architectures are little-endian."""
    return _ARGUMENTS + 8 * index


def _look_at_sendto(code: Assembler) -> None:
    """Let a send without an address go on: where it goes, the socket was told before."""
    code.label("sendto").load(WORD, _argument(4)).jump_if("==", 0, no="told")
    code.load(WORD, _argument(4) + 4).jump_if("==", 0, "allowed", "told")


def _look_at_socket(code: Assembler) -> None:
    """Tell of sockets that send whole frames, as what they send is told by no call, and of families that may lead out.

    The kernel takes 32 bits.
    """
    code.label("socket").load(WORD, _argument(0)).branch(dict.fromkeys(_QUIET, "allowed"))
    code.jump_if("==", _INET, no="told")
    code.load(WORD, _argument(1)).conjoin(_TYPE_MASK).jump_if("==", _SOCK_PACKET, "told", "allowed")
