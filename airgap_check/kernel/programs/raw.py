"""The program that sees what raw, ping and other odd sockets send: packets, as these sockets need no connect(2).

Packets of TCP and UDP pass at once, as `connect` has seen where they go, unless a header of their own sends them
elsewhere. Source: include/uapi/linux/bpf.h (bpf_sock, __sk_buff).
"""

from __future__ import annotations

import os
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
from airgap_check.kernel.programs import event, header, housekeeping, makers, tables
from airgap_check.kernel.programs.connect import Attached
from airgap_check.kernel.programs.makers import leave_common, write_maker
from airgap_check.kernel.programs.sift import increment, lookup, update
from airgap_check.kernel.sieve import EVERYTHING

if TYPE_CHECKING:
    from airgap_check.kernel.btf import Bit
    from airgap_check.kernel.programs.identity import Identity
    from airgap_check.kernel.programs.makers import Makers
    from airgap_check.kernel.programs.tables import Tables


_TYPE = 8  # struct bpf_sock
_FAMILY, _SOCKET = 88, 168  # struct __sk_buff
_SOCK_RAW, _SCTP, _SCTP_INIT = 3, 132, 1
_WITH_PORTS = (6, 17, 33, _SCTP, 136)  # TCP, UDP, DCCP, UDP-Lite: the destination port is the second
_EVENT = -event.SIZE
_USE, _VALUE, _HEAD = _EVENT - 16, _EVENT - 24, _EVENT - 24 - header.SPACE  # below it: key of a use, a value, a piece
_SOCK, _COMMON = _HEAD - 8, _HEAD - 16  # a pointer to the socket; whether `connect` sees it


def egress(table: Tables, kept: Makers, *, namespace: bool, owned: Bit | None) -> bytes:
    """Assemble the program for packets that leave; ``namespace``: it asks for theirs where the maker is not known.

    ``owned`` is where a socket tells that it is the kernel's own. R6 is the packet, R7 where the transport header
    begins, R8 the protocol in it.
    """
    code = Assembler().move(R6, R1)
    code.load(DOUBLE, R1, R6, _SOCKET).jump_if(R1, "==", 0, "pass")
    code.call(Helper.SK_FULLSOCK).jump_if(R0, "==", 0, "pass")
    leave_common(code, R0, "common")
    code.store(DOUBLE, FRAME, _COMMON, 0).jump("closely").label("common")
    header.leave_plain(code, "has more", "pass")
    code.label("has more").store(DOUBLE, FRAME, _COMMON, 1).label("closely").store(DOUBLE, FRAME, _SOCK, R0)
    code.store(DOUBLE, FRAME, _EVENT + event.PORT, 0).load(WORD, R1, R0, _TYPE).store(
        BYTE, FRAME, _EVENT + event.TYPE, R1
    )
    code.load(WORD, R1, R6, _FAMILY).store(BYTE, FRAME, _EVENT + event.FAMILY, R1)
    header.write_destination(code, _EVENT, _HEAD, "pass")
    code.load(DOUBLE, R1, FRAME, _COMMON).jump_if(R1, "==", 0, "ours").load(HALF, R1, FRAME, _EVENT + event.FLAGS)
    code.jump_if(R1, "==", 0, "pass").label("ours").store(BYTE, FRAME, _EVENT + event.PROTOCOL, R8)
    for protocol in _WITH_PORTS:
        code.jump_if(R8, "==", protocol, "ports")
    code.jump("who").label("ports").jump_if(R7, "==", 0, "who")
    header.load_packet(code, (R7, 2), _HEAD, 2, "who")
    code.load(HALF, R1, FRAME, _HEAD).store(HALF, FRAME, _EVENT + event.PORT, R1)
    code.label("who").move(R1, R6).call(Helper.SKB_CGROUP_ID).store(DOUBLE, FRAME, _EVENT + event.CGROUP, R0)
    _leave_answers(code)
    housekeeping.flag(code, _EVENT, _HEAD, _SOCK, owned)
    _pass_approved(code, table)
    code.store(BYTE, FRAME, _EVENT + event.HOOK, event.EGRESS)
    code.move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, _EVENT + event.COOKIE, R0)
    write_maker(code, kept, _EVENT, _SOCK, namespace=namespace)
    tell(code, table, _EVENT, "pass")
    return code.label("pass").leave(1).build()


def attach(table: Tables, cgroup: int, who: Identity, owned: Bit | None = None) -> Attached:
    """Attach both programs to a cgroup (a descriptor of its directory); raises BpfError when that cannot be.

    ``owned`` is where a socket tells that it is the kernel's own. What may be missing: *maker* (all of ``who``),
    *keeping* (makers with their sockets), *owned*, *namespace* (where the maker is not known).
    """
    missing: dict[str, str] = {}
    try:
        return _attach(table, cgroup, who, owned, makers.with_sockets(), missing)
    except bpf.BpfError as error:
        missing = {"keeping": str(error)}
    return _attach(table, cgroup, who, owned, makers.in_table(), missing)


def _attach(  # noqa: PLR0917 - what `attach` has, and what differs between its two ways
    table: Tables, cgroup: int, who: Identity, owned: Bit | None, kept: Makers, missing: dict[str, str]
) -> Attached:
    links: list[int] = []
    try:
        links.append(_attach_making(kept, cgroup, who, missing))
        links.append(_attach_egress(table, kept, cgroup, owned, missing))
    except BaseException:
        Attached(tuple(links), {}).close()
        raise
    finally:
        kept.table.close()  # the programs have it
    return Attached(tuple(links), missing)


def _attach_making(kept: Makers, cgroup: int, who: Identity, missing: dict[str, str]) -> int:
    """Attach the first program with as much of ``who`` as the kernel gives."""
    shallow = who._replace(pid_offsets=None)
    nameless = shallow._replace(pid=who.pid_namespace is None)
    bare = shallow._replace(start_offsets=None, executable_offsets=None, command=False, pid=False)
    for candidate in (who, shallow, nameless, bare._replace(pid=who.pid), bare):
        try:
            code = makers.making(kept, candidate)
            program = bpf.load(bpf.CGROUP_SOCK, code, attach_type=bpf.SOCK_CREATE, name="airgap_making")
        except bpf.BpfError as error:
            if candidate is bare:
                raise
            missing["maker"] = str(error)
        else:
            return _link(program, cgroup, bpf.SOCK_CREATE)
    raise AssertionError


def _attach_egress(table: Tables, kept: Makers, cgroup: int, owned: Bit | None, missing: dict[str, str]) -> int:
    """Attach the second program with as much as the kernel lets it ask."""
    ways = [(each, namespace) for each in dict.fromkeys((owned, None)) for namespace in (True, False)]
    refusal = ""
    for each, namespace in ways:
        try:
            code = egress(table, kept, namespace=namespace, owned=each)
            program = bpf.load(bpf.CGROUP_SKB, code, attach_type=bpf.SKB_EGRESS, name="airgap_egress")
        except bpf.BpfError as error:
            if (each, namespace) == ways[-1]:
                raise
            refusal = str(error)
        else:
            missing |= {"owned": refusal} if each != owned else {}
            missing |= {} if namespace else {"namespace": refusal}
            return _link(program, cgroup, bpf.SKB_EGRESS)
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


def _leave_answers(code: Assembler) -> None:
    """Pass what an SCTP socket sends after its first message: it may be the one that was called."""
    code.jump_if(R8, "!=", _SCTP, "no answer").load(BYTE, R1, FRAME, _EVENT + event.TYPE)
    code.jump_if(R1, "==", _SOCK_RAW, "no answer").jump_if(R7, "==", 0, "pass")
    header.load_packet(code, (R7, 12), _HEAD, 1, "pass")
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
