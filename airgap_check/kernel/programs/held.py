"""Lists the sockets that processes hold, of every network namespace at once: a program that the kernel runs over files.

It sees the processes of our own pid namespace and below. Needs type information of the kernel (BTF) and CAP_PERFMON.
Source: kernel/bpf/task_iter.c (bpf_iter__task_file).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

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
    R6,
    R7,
    R8,
    R9,
    WORD,
    Assembler,
    Helper,
)
from airgap_check.kernel.btf import FUNCTION, pid_offsets, start_offsets
from airgap_check.kernel.programs import identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel.btf import Types

_META, _TASK, _DESCRIPTOR, _FILE = 0, 8, 16, 24  # of struct bpf_iter__task_file
_AF_XDP = 44
_MAPPED = int.from_bytes(b"\0\0\xff\xff", sys.byteorder, signed=True)  # what stands before an IPv4 address

_NETNS, _STARTED, _COOKIE, _PID, _FD, _FAMILY, _PROTOCOL, _TYPE, _STATE = 0, 8, 16, 24, 28, 32, 34, 36, 38
_LOCAL_PORT, _REMOTE_PORT, _CGROUP, _LOCAL, _REMOTE, _SIZE = 40, 42, 48, 56, 72, 88
_LAYOUT = struct.Struct("=QQQIIHHHBxH2s4xQ16s16s")


class Held(NamedTuple):
    """A socket that a process holds.

    ``netns`` and ``cookie`` are as programs know them (the cookie is 0 where nobody has asked for it yet), ``started``
    is CLOCK_BOOTTIME in nanoseconds, ``pid`` that of our own pid namespace, ``cgroup`` where the socket was made.
    Addresses have 16 bytes, IPv4 as
    ::ffff:a.b.c.d, and are zero in packet sockets; ``state`` counts as `sock_diag.STATES` does.
    """

    netns: int
    started: int
    cookie: int
    pid: int
    descriptor: int
    family: int
    protocol: int
    type: int
    state: int
    local_port: int
    remote_port: int
    cgroup: int
    local: bytes
    remote: bytes


class Walk:
    """The program, ready to run; raises BpfError, and LookupError on a kernel whose structures differ."""

    def __init__(self, types: Types) -> None:
        target = types.number(FUNCTION, "bpf_iter_task_file")
        namespace = os.stat("/proc/self/ns/pid").st_ino
        try:
            code = program(types, namespace, ask=True)
            loaded = bpf.load(bpf.TRACING, code, attach_type=bpf.TRACE_ITER, btf_id=target, name="airgap_held")
        except bpf.BpfError:  # before Linux 5.12 such a program may not ask for a cookie
            code = program(types, namespace, ask=False)
            loaded = bpf.load(bpf.TRACING, code, attach_type=bpf.TRACE_ITER, btf_id=target, name="airgap_held")
        try:
            self._link = bpf.link_iterator(loaded)
        finally:
            os.close(loaded)

    def rows(self) -> Iterator[Held]:
        """Run it once; raises OSError."""
        rest = b""
        for piece in bpf.iterate(self._link):
            rest += piece
            whole = len(rest) // _SIZE * _SIZE
            yield from parse(rest[:whole])
            rest = rest[whole:]

    def close(self) -> None:
        """Let go of the program."""
        if self._link >= 0:
            os.close(self._link)
            self._link = -1


def parse(data: bytes) -> Iterator[Held]:
    """Read whole rows; raises `struct.error` when the last one is cut."""
    for *before, port, cgroup, local, remote in _LAYOUT.iter_unpack(data):
        yield Held._make((*before, int.from_bytes(port, "big"), cgroup, local, remote))


def program(types: Types, pid_namespace: int, *, ask: bool) -> bytes:
    """Return the bytecode: one row for each file that is a socket of the network. ``ask`` makes it ask for the cookie.

    Raises LookupError on a kernel whose structures differ. R6 is the context, R7 the task, R8 the socket.
    """
    start = -_SIZE

    def sock(*path: str) -> int:
        return types.offset("sock", *path)

    code = Assembler().move(R6, R1)
    code.load(DOUBLE, R7, R6, _TASK).jump_if(R7, "==", 0, "out")
    code.load(DOUBLE, R1, R6, _FILE).jump_if(R1, "==", 0, "out")
    code.call(Helper.SOCK_FROM_FILE).jump_if(R0, "==", 0, "out")
    code.load(HALF, R9, R0, types.offset("socket", "type"))
    code.load(DOUBLE, R8, R0, types.offset("socket", "sk")).jump_if(R8, "==", 0, "out")
    for place in range(start, 0, 8):
        code.store(DOUBLE, FRAME, place, 0)
    code.store(HALF, FRAME, start + _TYPE, R9)
    code.load(HALF, R9, R8, sock("__sk_common", "skc_family")).store(HALF, FRAME, start + _FAMILY, R9)
    code.jump_if(R9, "==", socket.AF_INET, "four").jump_if(R9, "==", socket.AF_INET6, "six")
    code.jump_if(R9, "==", socket.AF_PACKET, "any").jump_if(R9, "==", _AF_XDP, "any").jump("out")
    code.label("six")
    for member, place in (("skc_v6_rcv_saddr", _LOCAL), ("skc_v6_daddr", _REMOTE)):
        for half in (0, 8):
            code.load(DOUBLE, R1, R8, sock("__sk_common", member) + half).store(DOUBLE, FRAME, start + place + half, R1)
    code.jump("ports").label("four")
    for member, place in (("skc_rcv_saddr", _LOCAL), ("skc_daddr", _REMOTE)):
        code.store(WORD, FRAME, start + place + 8, _MAPPED)
        code.load(WORD, R1, R8, sock("__sk_common", member)).store(WORD, FRAME, start + place + 12, R1)
    code.label("ports")
    for member, place in (("skc_num", _LOCAL_PORT), ("skc_dport", _REMOTE_PORT)):
        code.load(HALF, R1, R8, sock("__sk_common", member)).store(HALF, FRAME, start + place, R1)
    code.label("any")
    code.load(HALF, R1, R8, sock("sk_protocol")).store(HALF, FRAME, start + _PROTOCOL, R1)
    code.load(BYTE, R1, R8, sock("__sk_common", "skc_state")).store(BYTE, FRAME, start + _STATE, R1)
    code.load(WORD, R1, R6, _DESCRIPTOR).store(WORD, FRAME, start + _FD, R1)
    _cookie(code, types, start + _COOKIE, ask=ask)
    code.load(DOUBLE, R1, R8, sock("__sk_common", "skc_net", "net")).jump_if(R1, "==", 0, "task")
    code.load(DOUBLE, R1, R1, types.offset("net", "net_cookie")).store(DOUBLE, FRAME, start + _NETNS, R1)
    code.label("task")
    _cgroup(code, types, start + _CGROUP)
    _leader(code, types, pid_namespace)
    code.load(DOUBLE, R1, R6, _META).load(DOUBLE, R1, R1, 0)  # bpf_iter_meta.seq
    code.point(R2, start).move(R3, _SIZE).call(Helper.SEQ_WRITE)
    return code.label("out").leave(0).build()


def _cookie(code: Assembler, types: Types, place: int, *, ask: bool) -> None:
    if ask:
        code.move(R1, R8).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, place, R0)
    else:
        code.load(DOUBLE, R1, R8, types.offset("sock", "__sk_common", "skc_cookie")).store(DOUBLE, FRAME, place, R1)


def _cgroup(code: Assembler, types: Types, place: int) -> None:
    """Note the id of the cgroup that the socket was made in."""
    code.load(DOUBLE, R1, R8, types.offset("sock", "sk_cgrp_data", "cgroup")).jump_if(R1, "==", 0, "no cgroup")
    code.load(DOUBLE, R1, R1, types.offset("cgroup", "kn")).jump_if(R1, "==", 0, "no cgroup")
    code.load(DOUBLE, R1, R1, types.offset("kernfs_node", "id")).store(DOUBLE, FRAME, place, R1)
    code.label("no cgroup")


def _leader(code: Assembler, types: Types, pid_namespace: int) -> None:
    """Note the start of the process, and its number in the pid namespace of this inode, which is one of its levels."""
    starts = start_offsets(types)
    code.load(DOUBLE, R7, R7, starts.group_leader).jump_if(R7, "==", 0, "write")
    code.load(DOUBLE, R1, R7, starts.start_boottime).store(DOUBLE, FRAME, _STARTED - _SIZE, R1)
    identity.write_number(code, pid_offsets(types), pid_namespace, to=_PID - _SIZE, scratch=-_SIZE - identity.SPACE)
    code.label("write")
