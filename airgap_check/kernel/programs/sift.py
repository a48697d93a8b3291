"""Lets pass what the allowlist approves: the instructions for `airgap_check.kernel.sieve`, and for counting uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    R7,
    R8,
    WORD,
    Assembler,
    Helper,
)  # fmt: skip
from airgap_check.kernel.programs import event, tables
from airgap_check.kernel.sieve import EVERYTHING

if TYPE_CHECKING:
    from airgap_check.kernel.programs.tables import Tables

SPACE = tables.USE_SIZE + 8  # bytes of the stack that are needed below the event


def lookup(code: Assembler, table: bpf.Map, key: int) -> Assembler:
    """Ask a map for the key at a place on the stack: R0 points at the value, or is 0."""
    return code.map(R1, table.fd).point(R2, key).call(Helper.MAP_LOOKUP)


def update(code: Assembler, table: bpf.Map, key: int, value: int, flags: int) -> Assembler:
    """Give a map the key and the value at two places on the stack: R0 is 0 when it took them."""
    code.map(R1, table.fd).point(R2, key).point(R3, value).move(R4, flags)
    return code.call(Helper.MAP_UPDATE)


def increment(code: Assembler, table: Tables, counter: int, scratch: int, end: str) -> None:
    """Add one to a counter and go to ``end``; ``scratch`` is four bytes of the stack."""
    code.store(WORD, FRAME, scratch, counter)
    lookup(code, table.counters, scratch).jump_if(R0, "==", 0, end)
    code.move(R1, 1).count(R0, 0, R1).jump(end)


def sift(code: Assembler, table: Tables, at: int, passed: str) -> None:
    """Go to ``passed`` if the destination in the event is approved, else go on; R7 and R8 are lost.

    Address, port and protocol must stand in the event at ``at``, and 0 as its hook: that makes it a key.
    """
    code.store(WORD, FRAME, at + tables.PREFIX_FROM, 128)
    lookup(code, table.networks, at + tables.PREFIX_FROM).jump_if(R0, "==", 0, "refused")
    code.load(DOUBLE, R7, R0, 0).jump_if(R7, "&", EVERYTHING, passed)
    lookup(code, table.ports, at + tables.PORT_FROM).jump_if(R0, "!=", 0, "port known")
    code.load(HALF, R8, FRAME, at + event.PORT).store(HALF, FRAME, at + event.PORT, 0)
    lookup(code, table.ports, at + tables.PORT_FROM).store(HALF, FRAME, at + event.PORT, R8)
    code.jump_if(R0, "==", 0, "refused")
    code.label("port known").load(DOUBLE, R1, R0, 0).conjoin(R7, R1).jump_if(R7, "==", 0, "refused")
    _count_use(code, table, at, passed)
    code.label("refused")


def _count_use(code: Assembler, table: Tables, at: int, passed: str) -> None:
    """Count that what approved (the classes in R7) was used by the cgroup of the process."""
    key, value = at - tables.USE_SIZE, at - tables.USE_SIZE - 8
    code.store(DOUBLE, FRAME, key, R7).call(Helper.GET_CURRENT_CGROUP_ID).store(DOUBLE, FRAME, key + 8, R0)
    lookup(code, table.uses_made, key).jump_if(R0, "!=", 0, "use known")
    code.store(DOUBLE, FRAME, value, 1)
    update(code, table.uses_made, key, value, bpf.NOEXIST).jump_if(R0, "==", 0, passed)
    # Either another processor was first, or the table is full.
    lookup(code, table.uses_made, key).jump_if(R0, "!=", 0, "use known")
    increment(code, table, tables.UNCOUNTED, value, passed)
    code.label("use known").move(R1, 1).count(R0, 0, R1).jump(passed)
