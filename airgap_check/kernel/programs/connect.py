"""The programs that see every connect(2) and every datagram to an address: on a cgroup and all below it.

They run before the kernel looks for a route, so they see the attempt whatever its fate. Raw sockets, and ping sockets
that do not connect, do not pass here. Source: include/uapi/linux/bpf.h, ``struct bpf_sock_addr``.
"""

from __future__ import annotations

import os
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
    R6,
    WORD,
    Assembler,
    Helper,
)  # fmt: skip
from airgap_check.kernel.programs import event, report, sift, tables
from airgap_check.kernel.programs.sift import lookup, update
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.kernel.programs.identity import Identity
    from airgap_check.kernel.programs.tables import Tables

INITIATIONS = {"connect4": bpf.CONNECT4, "connect6": bpf.CONNECT6, "sendmsg4": bpf.SENDMSG4, "sendmsg6": bpf.SENDMSG6}
RECEPTIONS = {"recvmsg4": bpf.RECVMSG4, "recvmsg6": bpf.RECVMSG6}
_SIX = frozenset({bpf.CONNECT6, bpf.SENDMSG6, bpf.RECVMSG6})
_SENDS = frozenset({bpf.SENDMSG4, bpf.SENDMSG6})
_ADDRESS4, _ADDRESS6, _PORT, _FAMILY, _TYPE, _PROTOCOL, _SOCKET = 4, 8, 24, 28, 32, 36, 64  # struct bpf_sock_addr
_SOCKET_PORT = 44  # struct bpf_sock: src_port, in the order of the host
_DHCP_CLIENT = (68, 546)  # RFC 2131, RFC 8415
_MAPPED = int.from_bytes(b"\0\0\xff\xff", sys.byteorder, signed=True)  # what stands before an IPv4 address
_FEATURES = {
    "command": "the name of the command is not told (that takes CAP_PERFMON)",
    "started": "the start of a process is not told (that takes CAP_PERFMON), so a pid used again is not noticed",
    "executable": "the program is not told (that takes CAP_PERFMON), so one that took its place is not noticed",
    "inner": "processes of pid namespaces inside ours are not told (that takes CAP_PERFMON), so they are not named",
    "pid": "processes are not told in our own pid namespace (that takes Linux 6.10), so none is named",
    "replies": "who spoke first is not told (that takes Linux 5.2), so answers of UDP servers look like attempts",
}
_EVENT = -event.SIZE
_PEER = _EVENT - 64  # below what sifting and reporting need
_WHO = _PEER - 8


class Attached(NamedTuple):
    """Programs at work, until `close`; ``missing`` says in words why an optional feature is off, by its name."""

    links: tuple[int, ...]
    missing: dict[str, str]

    def close(self) -> None:
        """Detach the programs; the kernel does so too when we end."""
        for link in self.links:
            os.close(link)


def initiation(hook: int, table: Tables, who: Identity, *, replies: bool) -> bytes:
    """Assemble the program for connect(2) or sendto(2); ``replies``: it asks who spoke first."""
    code = Assembler().move(R6, R1)
    _write_destination(code, hook, _EVENT + event.ADDRESS, _EVENT + event.PORT)
    code.load(WORD, R1, R6, _PROTOCOL).store(BYTE, FRAME, _EVENT + event.PROTOCOL, R1)
    code.store(BYTE, FRAME, _EVENT + event.HOOK, 0)
    sift.sift(code, table, _EVENT, "pass")
    code.store(BYTE, FRAME, _EVENT + event.HOOK, hook)
    code.load(WORD, R1, R6, _FAMILY).store(BYTE, FRAME, _EVENT + event.FAMILY, R1)
    code.load(WORD, R1, R6, _TYPE).store(BYTE, FRAME, _EVENT + event.TYPE, R1)
    _write_local_port(code)
    if replies and hook in _SENDS:
        _tell_reply(code, table, hook)
    report.report(code, table, who, _EVENT, "pass")
    return code.label("pass").leave(1).build()


def reception(hook: int, table: Tables) -> bytes:
    """Assemble the program for recvfrom(2): it remembers who spoke to a socket before the socket spoke to him."""
    code = Assembler().move(R6, R1)
    _write_peer(code, hook)
    lookup(code, table.peers, _PEER).jump_if(R0, "!=", 0, "pass")
    code.store(DOUBLE, FRAME, _WHO, tables.THEIRS)
    update(code, table.peers, _PEER, _WHO, bpf.NOEXIST)
    return code.label("pass").leave(1).build()


def attach(table: Tables, cgroup: int, who: Identity) -> Attached:
    """Attach all programs to a cgroup (a descriptor of its directory), with as much of ``who`` as the kernel gives.

    Raises BpfError when not even the plain programs can be loaded or attached: EPERM without CAP_BPF and CAP_NET_ADMIN.
    """
    who, missing = _possible(table, who)
    links: list[int] = []
    try:
        try:
            for name, hook in RECEPTIONS.items():
                links.append(_attach(reception(hook, table), cgroup, hook, name))
        except bpf.BpfError as error:
            missing["replies"] = _reason("replies", error)
        for name, hook in INITIATIONS.items():
            code = initiation(hook, table, who, replies="replies" not in missing)
            links.append(_attach(code, cgroup, hook, name))
    except BaseException:
        Attached(tuple(links), {}).close()
        raise
    return Attached(tuple(links), missing)


def _possible(table: Tables, who: Identity) -> tuple[Identity, dict[str, str]]:
    """Find out what of an identity the kernel lets these programs ask, each thing by itself."""
    missing: dict[str, str] = {}
    bare = who._replace(start_offsets=None, command=False, pid=False, pid_offsets=None, executable_offsets=None)
    _try(table, bare)
    for feature, fields, without in (
        ("command", ("command",), {"command": False}),
        ("started", ("start_offsets",), {"start_offsets": None}),
        ("executable", ("executable_offsets",), {"executable_offsets": None}),
        ("inner", ("pid", "pid_offsets"), {"pid_offsets": None}),
        ("pid", ("pid", "pid_offsets"), {"pid": False}),  # by another way, where "inner" is missing
    ):
        wanted = bare._replace(**{field: getattr(who, field) for field in fields})
        if wanted == bare or (feature == "inner" and who.pid_offsets is None):
            continue
        try:
            _try(table, wanted)
        except bpf.BpfError as error:
            missing[feature] = _reason(feature, error)
            who = who._replace(**without)
    return who, missing


def _try(table: Tables, who: Identity) -> None:
    code = initiation(bpf.CONNECT4, table, who, replies=False)
    os.close(bpf.load(bpf.CGROUP_SOCK_ADDR, code, attach_type=bpf.CONNECT4, name="airgap_try"))


def _attach(code: bytes, cgroup: int, hook: int, name: str) -> int:
    program = bpf.load(bpf.CGROUP_SOCK_ADDR, code, attach_type=hook, name=f"airgap_{name}")
    try:
        return bpf.link_cgroup(program, cgroup, hook)
    finally:
        os.close(program)  # the link holds it


def _reason(feature: str, error: bpf.BpfError) -> str:
    """Say in one line what is missing and why: what the verifier of the kernel said last, or the error."""
    lines = [line for line in error.log.splitlines() if not line.startswith(("processed ", "verification time"))]
    return f"{_FEATURES[feature]}: {printable(lines[-1] if lines else str(error))}"


def _write_destination(code: Assembler, hook: int, address: int, port: int) -> None:
    """Write the address that the context (R6) names, with 16 bytes, and its port in network order."""
    if hook in _SIX:
        for word in range(0, 16, 4):
            code.load(WORD, R1, R6, _ADDRESS6 + word).store(WORD, FRAME, address + word, R1)
    else:
        code.store(DOUBLE, FRAME, address, 0).store(WORD, FRAME, address + 8, _MAPPED)
        code.load(WORD, R1, R6, _ADDRESS4).store(WORD, FRAME, address + 12, R1)
    code.load(WORD, R1, R6, _PORT).store(HALF, FRAME, port, R1)


def _write_local_port(code: Assembler) -> None:
    """Write the local port and the flags, which say whether it is that of a DHCP client."""
    code.load(DOUBLE, R1, R6, _SOCKET).load(WORD, R1, R1, _SOCKET_PORT)
    code.store(WORD, FRAME, _EVENT + event.LOCAL_PORT, R1).store(HALF, FRAME, _EVENT + event.FLAGS, 0)
    for port in _DHCP_CLIENT:
        code.jump_if(R1, "==", port, "client")
    code.jump("no client").label("client").store(HALF, FRAME, _EVENT + event.FLAGS, event.FROM_DHCP_CLIENT)
    code.label("no client")


def _write_peer(code: Assembler, hook: int) -> None:
    """Write the key of a peer: the cookie of the socket (R6 is the context), address, port, zeros."""
    code.store(DOUBLE, FRAME, _PEER + 24, 0)
    _write_destination(code, hook, _PEER + 8, _PEER + 24)
    code.move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, _PEER, R0)


def _tell_reply(code: Assembler, table: Tables, hook: int) -> None:
    """Mark the event if the peer spoke first, and remember that we did if nobody had.

    A reply goes to whatever port it came from, so that a busy server would fill the tables with them: it has none.
    """
    _write_peer(code, hook)
    lookup(code, table.peers, _PEER).jump_if(R0, "!=", 0, "peer known")
    code.store(DOUBLE, FRAME, _WHO, tables.OURS)
    update(code, table.peers, _PEER, _WHO, bpf.NOEXIST).jump("told")
    code.label("peer known").load(DOUBLE, R1, R0, 0).jump_if(R1, "!=", tables.THEIRS, "told")
    code.store(HALF, FRAME, _EVENT + event.FLAGS, event.REPLY).store(HALF, FRAME, _EVENT + event.PORT, 0)
    code.label("told")
