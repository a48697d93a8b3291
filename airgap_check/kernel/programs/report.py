"""Says an attempt once and counts it after that: the instructions that end every program for what is not approved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import (
    DOUBLE,
    FRAME,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R8,
    R9,
    Assembler,
    Helper,
)  # fmt: skip
from airgap_check.kernel.programs import event, identity, tables
from airgap_check.kernel.programs.sift import increment, lookup, update

if TYPE_CHECKING:
    from airgap_check.kernel.programs.identity import Identity
    from airgap_check.kernel.programs.tables import Tables

SPACE = tables.SEEN_VALUE  # bytes of the stack that are needed below the event


def report(code: Assembler, table: Tables, who: Identity, at: int, end: str) -> None:
    """Report what the event at ``at`` says of the destination, made by the current process; go to ``end``.

    R6 is the context, from which socket and namespace are asked; R7, R8 and R9 are lost. The source, and everything
    from the address to the flags, must stand in the event.
    """
    key, value = at + tables.SEEN_FROM, at - tables.SEEN_VALUE
    code.call(Helper.GET_CURRENT_CGROUP_ID).store(DOUBLE, FRAME, at + event.CGROUP, R0)
    code.move(R1, R6).call(Helper.GET_NETNS_COOKIE).store(DOUBLE, FRAME, at + event.NETNS, R0)
    identity.write_key(code, who, at, at + tables.PROCESS, R9)
    code.load(DOUBLE, R8, FRAME, at + tables.PROCESS)
    code.call(Helper.KTIME_GET_NS).store(DOUBLE, FRAME, at + event.AT, R0)
    lookup(code, table.seen, key).jump_if(R0, "!=", 0, "seen before")
    code.load(DOUBLE, R1, FRAME, at + event.AT)
    code.store(DOUBLE, FRAME, value + tables.FIRST, R1).store(DOUBLE, FRAME, value + tables.LAST, R1)
    code.store(DOUBLE, FRAME, value + tables.COUNT, 1)
    update(code, table.seen, key, value, bpf.NOEXIST).jump_if(R0, "==", 0, "first time")
    # Another processor was first; or there is no room, and then it is said again.
    lookup(code, table.seen, key).jump_if(R0, "==", 0, "first time")
    code.label("seen before").load(DOUBLE, R1, FRAME, at + event.AT).store(DOUBLE, R0, tables.LAST, R1)
    code.move(R1, 1).count(R0, tables.COUNT, R1).jump(end)
    code.label("first time").move(R1, R6).call(Helper.GET_SOCKET_COOKIE).store(DOUBLE, FRAME, at + event.COOKIE, R0)
    identity.write_rest(code, who, at, R9)
    code.map(R1, table.events.map.fd).point(R2, at).move(R3, event.SIZE).move(R4, 0).call(Helper.RINGBUF_OUTPUT)
    code.jump_if(R0, "==", 0, end)
    # The ring is full: count what is lost, and forget the attempt, so that it is said when it comes again.
    code.store(DOUBLE, FRAME, at + tables.PROCESS, R8)
    code.map(R1, table.seen.fd).point(R2, key).call(Helper.MAP_DELETE)
    increment(code, table, tables.LOST, value, end)
