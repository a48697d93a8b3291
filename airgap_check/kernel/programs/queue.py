"""The program that sees what packet sockets send: at the tracepoint where a packet is queued for its device.

A packet socket speaks below IP, so no other hook sees it. Needs type information of the kernel (BTF) and CAP_PERFMON.
What bypasses the queue on its own wish (PACKET_QDISC_BYPASS, AF_XDP) is not seen here either.
Source: include/trace/events/net.h (net_dev_queue), include/linux/skbuff.h, include/linux/netdevice.h.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

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
)  # fmt: skip
from airgap_check.kernel.btf import TYPEDEF
from airgap_check.kernel.programs import event, identity, raw, tables
from airgap_check.kernel.programs.connect import Attached

if TYPE_CHECKING:
    from airgap_check.kernel.btf import Types
    from airgap_check.kernel.programs.identity import Identity
    from airgap_check.kernel.programs.tables import Tables

_ETHERNET, _LOOPBACK = 1, 1 << 3  # ARPHRD_ETHER, IFF_LOOPBACK
_IPV4, _IPV6 = 0x0800, 0x86DD
_WITH_PORTS = (6, 17, 33, 132, 136)  # TCP, UDP, DCCP, SCTP, UDP-Lite: the destination port is the second
_MAPPED = int.from_bytes(b"\0\0\xff\xff", sys.byteorder, signed=True)  # what stands before an IPv4 address
_EVENT = -event.SIZE
_HEAD = _EVENT - 72  # 40 bytes of the packet, below what the others need
_END, _ELSEWHERE = _HEAD - 8, _HEAD - 16  # where the packet ends if in one piece, and how much of it is not


def program(types: Types, table: Tables, who: Identity, cgroup: bpf.Map | None) -> bytes:
    """Assemble the program; ``cgroup`` holds the one to be observed, None is all of the host.

    Raises LookupError on a kernel whose structures differ. R6 is the packet, R7 the socket, then where the network
    header is, R8 the ethertype, then the protocol, R9 scratch.
    """
    code = Assembler().load(DOUBLE, R6, R1, 0)
    code.load(DOUBLE, R7, R6, types.offset("sk_buff", "sk")).jump_if(R7, "==", 0, "out")
    code.load(HALF, R1, R7, types.offset("sock", "__sk_common", "skc_family"))
    code.jump_if(R1, "!=", socket.AF_PACKET, "out")
    for place in range(_EVENT, 0, 8):
        code.store(DOUBLE, FRAME, place, 0)
    code.store(BYTE, FRAME, _EVENT + event.FAMILY, R1)
    code.load(HALF, R1, R7, types.offset("sock", "sk_type")).store(BYTE, FRAME, _EVENT + event.TYPE, R1)
    if cgroup is not None:
        code.map(R1, cgroup.fd).move(R2, 0).call(Helper.CURRENT_TASK_UNDER_CGROUP)
        code.jump_if(R0, "!=", 1, "out")
    _write_device(code, types)
    _write_destination(code, types)
    # The allowlist does not sift here: who may send raw frames is decided by who it is, not by where they go.
    code.store(BYTE, FRAME, _EVENT + event.HOOK, event.QUEUE)
    code.load(DOUBLE, R7, R6, types.offset("sk_buff", "sk")).jump_if(R7, "==", 0, "out")
    code.load(DOUBLE, R1, R7, types.offset("sock", "__sk_common", "skc_net", "net")).jump_if(R1, "==", 0, "who")
    code.load(DOUBLE, R1, R1, types.offset("net", "net_cookie")).store(DOUBLE, FRAME, _EVENT + event.NETNS, R1)
    code.label("who").call(Helper.GET_CURRENT_CGROUP_ID).store(DOUBLE, FRAME, _EVENT + event.CGROUP, R0)
    identity.write_key(code, who, _EVENT, _EVENT + tables.PROCESS, R9)
    identity.write_rest(code, who, _EVENT, R9)
    raw.tell(code, table, _EVENT, "out")
    return code.label("out").leave(0).build()


def attach(table: Tables, types: Types, who: Identity, cgroup: int | None) -> Attached:
    """Attach the program; ``cgroup`` is a descriptor of the one to be observed, None stands for the whole host.

    Raises BpfError when that cannot be, LookupError on a kernel whose structures differ.
    """
    target = types.number(TYPEDEF, "btf_trace_net_dev_queue")
    chosen = None if cgroup is None else bpf.Map(bpf.CGROUP_ARRAY, 4, 4, 1, name="airgap_cgroup")
    try:
        if chosen is not None and cgroup is not None:
            chosen.update(bytes(4), struct.pack("=I", cgroup))
        code = program(types, table, who, chosen)
        loaded = bpf.load(bpf.TRACING, code, attach_type=bpf.TRACE_RAW_TP, btf_id=target, name="airgap_queue")
    finally:
        if chosen is not None:
            chosen.close()
    try:
        return Attached((bpf.attach_tracing(loaded),), {})
    finally:
        os.close(loaded)


def _write_device(code: Assembler, types: Types) -> None:
    """Write the interface, leave its hardware type in R9; what stays on the host goes out."""
    code.load(DOUBLE, R1, R6, types.offset("sk_buff", "dev")).jump_if(R1, "==", 0, "out")
    code.load(WORD, R2, R1, types.offset("net_device", "flags")).jump_if(R2, "&", _LOOPBACK, "out")
    code.load(WORD, R2, R1, types.offset("net_device", "ifindex")).store(WORD, FRAME, _EVENT + event.INTERFACE, R2)
    code.load(HALF, R9, R1, types.offset("net_device", "type"))


def _write_destination(code: Assembler, types: Types) -> None:
    """Write address, port and protocol, and leave the protocol in R8; without an address the ethertype is the port.

    The header of an Ethernet frame tells the ethertype, as that is what the network goes by: the socket may lie.
    """
    code.load(DOUBLE, R7, R6, types.offset("sk_buff", "head"))
    code.load(HALF, R1, R6, types.offset("sk_buff", "network_header")).add(R7, R1)
    code.load(HALF, R8, R6, types.offset("sk_buff", "protocol")).jump_if(R9, "!=", _ETHERNET, "type known")
    _read(code, -2, 2, "type known")
    code.load(HALF, R8, FRAME, _HEAD)
    code.label("type known").swap_network_order(R8, 16)
    # The bytes that lie in one piece: from skb->data, len - data_len of them.
    code.load(DOUBLE, R9, R6, types.offset("sk_buff", "data")).load(WORD, R1, R6, types.offset("sk_buff", "len"))
    code.add(R9, R1).load(WORD, R1, R6, types.offset("sk_buff", "data_len"))
    code.store(DOUBLE, FRAME, _ELSEWHERE, R1).store(DOUBLE, FRAME, _END, R9)
    code.jump_if(R8, "==", _IPV6, "six").jump_if(R8, "!=", _IPV4, "no address")
    _fits(code, 20, "no address")
    _read(code, 0, 20, "no address")
    code.store(WORD, FRAME, _EVENT + event.ADDRESS + 8, _MAPPED)
    code.load(WORD, R1, FRAME, _HEAD + 16).store(WORD, FRAME, _EVENT + event.ADDRESS + 12, R1)
    code.load(BYTE, R8, FRAME, _HEAD + 9).load(HALF, R1, FRAME, _HEAD + 6).swap_network_order(R1, 16)
    code.conjoin(R1, 0x1FFF).jump_if(R1, "!=", 0, "portless")
    code.load(BYTE, R1, FRAME, _HEAD).conjoin(R1, 15).shift_left(R1, 2).jump("transport")
    code.label("six")
    _fits(code, 40, "no address")
    _read(code, 0, 40, "no address")
    for half in (0, 8):
        code.load(DOUBLE, R1, FRAME, _HEAD + 24 + half).store(DOUBLE, FRAME, _EVENT + event.ADDRESS + half, R1)
    code.load(BYTE, R8, FRAME, _HEAD + 6).move(R1, 40).label("transport")
    for protocol in _WITH_PORTS:
        code.jump_if(R8, "==", protocol, "ports")
    code.jump("portless").label("ports").add(R7, R1)
    _fits(code, 4, "portless")
    _read(code, 2, 2, "portless")
    code.load(HALF, R1, FRAME, _HEAD).store(HALF, FRAME, _EVENT + event.PORT, R1).jump("portless")
    code.label("no address").swap_network_order(R8, 16).store(HALF, FRAME, _EVENT + event.PORT, R8).move(R8, 0)
    code.label("portless").store(BYTE, FRAME, _EVENT + event.PROTOCOL, R8)


def _read(code: Assembler, offset: int, size: int, otherwise: str) -> None:
    """Copy bytes at R7 and an offset to the stack."""
    code.move(R3, R7).add(R3, offset).move(R2, size).point(R1, _HEAD)
    code.call(Helper.PROBE_READ_KERNEL).jump_if(R0, "!=", 0, otherwise)


def _fits(code: Assembler, size: int, otherwise: str) -> None:
    """Go elsewhere unless so many bytes from R7 on lie in the piece that begins with the packet."""
    code.move(R1, R7).add(R1, size).load(DOUBLE, R2, FRAME, _ELSEWHERE).add(R1, R2)
    code.load(DOUBLE, R2, FRAME, _END).jump_if(R1, ">", R2, otherwise)
