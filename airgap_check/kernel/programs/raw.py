"""The programs that see what raw, ping and other odd sockets send: packets, as these sockets need no connect(2).

Who made a socket is remembered when it is made, since a packet may leave when nobody is at work. TCP and UDP pass at
once: `connect` sees them. Source: include/uapi/linux/bpf.h (bpf_sock, __sk_buff), RFC 791, RFC 8200.
"""

from __future__ import annotations

import os
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
    R4,
    R6,
    R7,
    R8,
    R9,
    WORD,
    Assembler,
    Helper,
)  # fmt: skip
from airgap_check.kernel.programs import event, identity, tables
from airgap_check.kernel.programs.connect import Attached
from airgap_check.kernel.programs.sift import increment, lookup, update
from airgap_check.kernel.sieve import EVERYTHING

if TYPE_CHECKING:
    from airgap_check.kernel.assembler import Register
    from airgap_check.kernel.programs.identity import Identity
    from airgap_check.kernel.programs.tables import Tables

HOUSEKEEPING = 2  # a flag: nobody is known to have made the socket, and the kernel sends such messages by itself

_MAKERS = 1 << 14  # sockets that are remembered
_TYPE, _PROTOCOL = 8, 12  # struct bpf_sock
_ETHERTYPE, _FAMILY, _SOCKET = 16, 88, 168  # struct __sk_buff
_SOCK_RAW, _TCP, _UDP, _MPTCP = 3, 6, 17, 262
_ICMP, _ICMPV6, _SCTP = 1, 58, 132
_SCTP_INIT, _TCP_RST = 1, 4
_WITH_PORTS = (_TCP, _UDP, 33, _SCTP, 136)  # DCCP and UDP-Lite too: the destination port is the second
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_EXTENSIONS = 7  # headers that are walked
_REPLIES = {_ICMP: ((0, 0), (3, 3), (11, 12), (14, 14)), _ICMPV6: ((1, 4), (129, 137), (143, 143))}  # of the kernel
_MAPPED = int.from_bytes(b"\0\0\xff\xff", sys.byteorder, signed=True)  # what stands before an IPv4 address
_EVENT = -event.SIZE
_USE, _VALUE, _HEAD = _EVENT - 16, _EVENT - 24, _EVENT - 64  # below it: key of a use, a value, a piece of the packet
_KEY = _HEAD - 8


def making(makers: bpf.Map, who: Identity) -> bytes:
    """Assemble the program for socket(2): it remembers who makes a socket that is neither TCP nor UDP."""
    code = Assembler().move(R6, R1)
    _leave_common(code, R1)
    for place in range(_EVENT, 0, 8):
        code.store(DOUBLE, FRAME, place, 0)
    code.move(R1, R6).call(Helper.GET_NETNS_COOKIE).store(DOUBLE, FRAME, _EVENT + event.NETNS, R0)
    identity.write_key(code, who, _EVENT, _VALUE, R9)
    identity.write_rest(code, who, _EVENT, R9)
    code.move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, _KEY, R0)
    update(code, makers, _KEY, _EVENT, bpf.ANY)
    return code.label("pass").leave(1).build()


def egress(table: Tables, makers: bpf.Map, *, namespace: bool) -> bytes:
    """Assemble the program for packets that leave; ``namespace``: it asks for theirs where the maker is not known.

    R6 is the packet, R7 where the transport header begins, R8 the protocol in it, R9 what the socket is.
    """
    code = Assembler().move(R6, R1)
    code.load(DOUBLE, R1, R6, _SOCKET).jump_if(R1, "==", 0, "pass")
    code.call(Helper.SK_FULLSOCK).jump_if(R0, "==", 0, "pass")
    _leave_common(code, R0)
    code.load(WORD, R9, R0, _TYPE).store(DOUBLE, FRAME, _EVENT + event.PORT, 0).store(
        BYTE, FRAME, _EVENT + event.TYPE, R9
    )
    code.load(WORD, R1, R6, _FAMILY).store(BYTE, FRAME, _EVENT + event.FAMILY, R1)
    _write_destination(code)
    code.store(BYTE, FRAME, _EVENT + event.PROTOCOL, R8)
    for protocol in _WITH_PORTS:
        code.jump_if(R8, "==", protocol, "ports")
    code.jump("who").label("ports").jump_if(R7, "==", 0, "who")
    _load_packet(code, (R7, 2), _HEAD, 2, "who")
    code.load(HALF, R1, FRAME, _HEAD).store(HALF, FRAME, _EVENT + event.PORT, R1)
    code.label("who").move(R1, R6).call(Helper.SKB_CGROUP_ID).store(DOUBLE, FRAME, _EVENT + event.CGROUP, R0)
    _leave_answers(code)
    _flag_housekeeping(code)
    _pass_approved(code, table)
    code.store(BYTE, FRAME, _EVENT + event.HOOK, event.EGRESS)
    _write_maker(code, makers, namespace=namespace)
    tell(code, table, _EVENT, "pass")
    return code.label("pass").leave(1).build()


def attach(table: Tables, cgroup: int, who: Identity) -> Attached:
    """Attach both programs to a cgroup (a descriptor of its directory); raises BpfError when that cannot be."""
    with bpf.Map(bpf.LRU_HASH, 8, event.SIZE, _MAKERS, name="airgap_makers") as makers:
        missing: dict[str, str] = {}
        links: list[int] = []
        try:
            links.append(_attach_making(makers, cgroup, who, missing))
            try:
                program = bpf.load(
                    bpf.CGROUP_SKB,
                    egress(table, makers, namespace=True),
                    attach_type=bpf.SKB_EGRESS,
                    name="airgap_egress",
                )
            except bpf.BpfError as error:
                missing["namespace"] = str(error)
                program = bpf.load(
                    bpf.CGROUP_SKB,
                    egress(table, makers, namespace=False),
                    attach_type=bpf.SKB_EGRESS,
                    name="airgap_egress",
                )
            links.append(_link(program, cgroup, bpf.SKB_EGRESS))
        except BaseException:
            Attached(tuple(links), {}).close()
            raise
        return Attached(tuple(links), missing)


def _attach_making(makers: bpf.Map, cgroup: int, who: Identity, missing: dict[str, str]) -> int:
    """Attach the first program with as much of ``who`` as the kernel gives."""
    shallow = who._replace(pid_offsets=None)
    nameless = shallow._replace(pid=who.pid_namespace is None)
    bare = shallow._replace(start_offsets=None, command=False, pid=False)
    for candidate in (who, shallow, nameless, shallow._replace(start_offsets=None, command=False), bare):
        try:
            program = bpf.load(
                bpf.CGROUP_SOCK, making(makers, candidate), attach_type=bpf.SOCK_CREATE, name="airgap_making"
            )
        except bpf.BpfError as error:
            if candidate is bare:
                raise
            missing["maker"] = str(error)
        else:
            return _link(program, cgroup, bpf.SOCK_CREATE)
    raise AssertionError


def _link(program: int, cgroup: int, attach_type: int) -> int:
    try:
        return bpf.link_cgroup(program, cgroup, attach_type)
    finally:
        os.close(program)  # the link holds it


def tell(code: Assembler, table: Tables, at: int, end: str) -> None:
    """Report the event at ``at`` the first time, count it after that, and go to ``end``; R8 is lost.

    The cookie that stands in the event is that of the key too. 24 bytes below the event are used.
    """
    key, value = at + tables.SEEN_FROM, at - tables.SEEN_VALUE
    code.call(Helper.KTIME_GET_NS).store(DOUBLE, FRAME, at + event.AT, R0).move(R8, R0)
    lookup(code, table.seen, key).jump_if(R0, "!=", 0, "seen before")
    code.store(DOUBLE, FRAME, value + tables.FIRST, R8).store(DOUBLE, FRAME, value + tables.LAST, R8)
    code.store(DOUBLE, FRAME, value + tables.COUNT, 1)
    update(code, table.seen, key, value, bpf.NOEXIST).jump_if(R0, "==", 0, "first time")
    lookup(code, table.seen, key).jump_if(R0, "==", 0, "first time")
    code.label("seen before").store(DOUBLE, R0, tables.LAST, R8).move(R1, 1).count(R0, tables.COUNT, R1).jump(end)
    code.label("first time")
    code.map(R1, table.events.map.fd).point(R2, at).move(R3, event.SIZE).move(R4, 0).call(Helper.RINGBUF_OUTPUT)
    code.jump_if(R0, "==", 0, end)
    code.map(R1, table.seen.fd).point(R2, key).call(Helper.MAP_DELETE)
    increment(code, table, tables.LOST, value, end)


def _leave_common(code: Assembler, sock: Register) -> None:
    """Pass TCP and UDP, but not raw sockets that were made for these protocols."""
    code.load(WORD, R2, sock, _TYPE).jump_if(R2, "==", _SOCK_RAW, "odd").load(WORD, R2, sock, _PROTOCOL)
    for protocol in (_TCP, _UDP, _MPTCP):
        code.jump_if(R2, "==", protocol, "pass")
    code.label("odd")


def _load_packet(code: Assembler, place: tuple[Register | None, int], to: int, size: int, otherwise: str) -> None:
    """Copy a piece of the packet to the stack; go to ``otherwise`` when it is shorter.

    ``place`` is where the piece begins: a register, or nothing, and an offset from there.
    """
    base, offset = place
    code.move(R2, offset if base is None else base)
    if base is not None:
        code.add(R2, offset)
    code.move(R1, R6).point(R3, to).move(R4, size).call(Helper.SKB_LOAD_BYTES).jump_if(R0, "!=", 0, otherwise)


def _write_destination(code: Assembler) -> None:
    """Write the address, leave the protocol in R8 and in R7 where its header begins, or 0 in a later fragment."""
    code.load(WORD, R1, R6, _ETHERTYPE)
    code.jump_if(R1, "==", _network_order(0x86DD), "six").jump_if(R1, "!=", _network_order(0x0800), "pass")
    _load_packet(code, (None, 0), _HEAD, 20, "pass")
    code.store(DOUBLE, FRAME, _EVENT + event.ADDRESS, 0).store(WORD, FRAME, _EVENT + event.ADDRESS + 8, _MAPPED)
    code.load(WORD, R1, FRAME, _HEAD + 16).store(WORD, FRAME, _EVENT + event.ADDRESS + 12, R1)
    code.load(BYTE, R8, FRAME, _HEAD + 9).load(BYTE, R7, FRAME, _HEAD).conjoin(R7, 15).shift_left(R7, 2)
    code.load(HALF, R1, FRAME, _HEAD + 6).swap_network_order(R1, 16).conjoin(R1, 0x1FFF).jump_if(
        R1, "==", 0, "transport"
    )
    code.move(R7, 0).jump("transport").label("six")
    _load_packet(code, (None, 24), _EVENT + event.ADDRESS, 16, "pass")
    _load_packet(code, (None, 6), _HEAD, 1, "pass")
    code.load(BYTE, R8, FRAME, _HEAD).move(R7, 40)
    for number in range(_EXTENSIONS):
        _skip_extension(code, number)
    code.label("transport")


def _skip_extension(code: Assembler, number: int) -> None:
    """Go behind one IPv6 extension header, or to *transport* when it is none."""
    for kind in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS):
        code.jump_if(R8, "==", kind, f"extension {number}")
    code.jump("transport").label(f"extension {number}")
    _load_packet(code, (R7, 0), _HEAD, 4, "transport")
    code.load(BYTE, R1, FRAME, _HEAD + 1)  # its length, in units of 8 bytes and without the first
    code.jump_if(R8, "==", _FRAGMENT, f"fragment {number}").jump_if(R8, "!=", _AUTHENTICATION, f"plain {number}")
    code.add(R1, 2).shift_left(R1, 2).jump(f"next {number}")  # of this one in units of 4 bytes, without two
    code.label(f"plain {number}").add(R1, 1).shift_left(R1, 3).jump(f"next {number}").label(f"fragment {number}")
    code.load(HALF, R2, FRAME, _HEAD + 2).swap_network_order(R2, 16).move(R1, 8)
    code.jump_if(R2, "<", 8, f"next {number}")  # the upper 13 bits say where the fragment belongs
    code.load(BYTE, R8, FRAME, _HEAD).move(R7, 0).jump("transport")
    code.label(f"next {number}").add(R7, R1).load(BYTE, R8, FRAME, _HEAD)


def _leave_answers(code: Assembler) -> None:
    """Pass what an SCTP socket sends after its first message: it may be the one that was called."""
    code.jump_if(R8, "!=", _SCTP, "no answer").jump_if(R9, "==", _SOCK_RAW, "no answer").jump_if(R7, "==", 0, "pass")
    _load_packet(code, (R7, 12), _HEAD, 1, "pass")
    code.load(BYTE, R1, FRAME, _HEAD).jump_if(R1, "!=", _SCTP_INIT, "pass").label("no answer")


def _pass_approved(code: Assembler, table: Tables) -> None:
    """Do what `sift.sift` does, for the cgroup of the socket instead of the process at work; R9 is lost."""
    code.store(WORD, FRAME, _EVENT + tables.PREFIX_FROM, 128)
    lookup(code, table.networks, _EVENT + tables.PREFIX_FROM).jump_if(R0, "==", 0, "refused")
    code.load(DOUBLE, R9, R0, 0).jump_if(R9, "&", EVERYTHING, "pass")
    lookup(code, table.ports, _EVENT + tables.PORT_FROM).jump_if(R0, "!=", 0, "port known")
    code.load(HALF, R7, FRAME, _EVENT + event.PORT).store(HALF, FRAME, _EVENT + event.PORT, 0)
    lookup(code, table.ports, _EVENT + tables.PORT_FROM).store(HALF, FRAME, _EVENT + event.PORT, R7)
    code.jump_if(R0, "==", 0, "refused").label("port known")
    code.load(DOUBLE, R1, R0, 0).conjoin(R9, R1).jump_if(R9, "==", 0, "refused")
    code.store(DOUBLE, FRAME, _USE, R9)
    code.load(DOUBLE, R1, FRAME, _EVENT + event.CGROUP).store(DOUBLE, FRAME, _USE + 8, R1)
    lookup(code, table.uses_made, _USE).jump_if(R0, "!=", 0, "use known")
    code.store(DOUBLE, FRAME, _VALUE, 1)
    update(code, table.uses_made, _USE, _VALUE, bpf.NOEXIST).jump_if(R0, "==", 0, "pass")
    lookup(code, table.uses_made, _USE).jump_if(R0, "!=", 0, "use known")
    increment(code, table, tables.UNCOUNTED, _VALUE, "pass")
    code.label("use known").move(R1, 1).count(R0, 0, R1).jump("pass").label("refused")


def _flag_housekeeping(code: Assembler) -> None:
    """Flag answers, errors and neighbour discovery, which the kernel sends from sockets of its own."""
    code.jump_if(R7, "==", 0, "judged").jump_if(R8, "==", _TCP, "tcp")
    code.jump_if(R8, "==", _ICMP, "icmp").jump_if(R8, "!=", _ICMPV6, "judged").label("icmp")
    _load_packet(code, (R7, 0), _HEAD, 1, "judged")
    code.load(BYTE, R1, FRAME, _HEAD).jump_if(R8, "==", _ICMPV6, "six kinds")
    for first, last in _REPLIES[_ICMP]:
        code.jump_if(R1, "<", first, "judged").jump_if(R1, "<=", last, "flag")
    code.jump("judged").label("six kinds")
    for first, last in _REPLIES[_ICMPV6]:
        code.jump_if(R1, "<", first, "judged").jump_if(R1, "<=", last, "flag")
    code.jump("judged").label("tcp")
    _load_packet(code, (R7, 13), _HEAD, 1, "judged")
    code.load(BYTE, R1, FRAME, _HEAD).conjoin(R1, _TCP_RST).jump_if(R1, "==", 0, "judged")
    code.label("flag").store(HALF, FRAME, _EVENT + event.FLAGS, HOUSEKEEPING).label("judged")


def _write_maker(code: Assembler, makers: bpf.Map, *, namespace: bool) -> None:
    """Write the cookie of the socket and who made it; without a maker whose it is now, and nothing of a process."""
    code.move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, _EVENT + event.COOKIE, R0)
    code.store(WORD, FRAME, _EVENT + event.SOURCE, 0)
    lookup(code, makers, _EVENT + event.COOKIE).jump_if(R0, "==", 0, "nobody")
    for place in (event.PID, event.NETNS, event.STARTED, event.COMMAND, event.COMMAND + 8):
        code.load(DOUBLE, R1, R0, place).store(DOUBLE, FRAME, _EVENT + place, R1)
    code.load(WORD, R1, R0, event.UID).store(WORD, FRAME, _EVENT + event.UID, R1)
    code.store(HALF, FRAME, _EVENT + event.FLAGS, 0).jump("written").label("nobody")
    for place in (event.PID, event.NETNS, event.STARTED, event.COMMAND, event.COMMAND + 8):
        code.store(DOUBLE, FRAME, _EVENT + place, 0)
    code.move(R1, R6).call(Helper.GET_SOCKET_UID).store(WORD, FRAME, _EVENT + event.UID, R0)
    if namespace:
        code.move(R1, R6).call(Helper.GET_NETNS_COOKIE).store(DOUBLE, FRAME, _EVENT + event.NETNS, R0)
    code.label("written")


def _network_order(number: int) -> int:
    """Return a number of 16 bits as programs see it in a field that is in network order."""
    return int.from_bytes(number.to_bytes(2, "big"), sys.byteorder)
