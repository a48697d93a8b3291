"""Writes down who makes an attempt: the instructions that ask the kernel for process, start, command and user.

They serve where the program runs in the process that acts. What a kernel, or our rights, refuse is left out: the field
then says 0, never a guess.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel.assembler import (
    DOUBLE,
    FRAME,
    R0,
    R1,
    R2,
    R3,
    R4,
    R7,
    R9,
    WORD,
    Assembler,
    Helper,
    Register,
)  # fmt: skip
from airgap_check.kernel.programs import event

if TYPE_CHECKING:
    from airgap_check.kernel.btf import ExecutableOffsets, PidOffsets, StartOffsets

_INITIAL = 0xEFFFFFFC  # PROC_PID_INIT_INO: the inode of the initial pid namespace, include/linux/proc_ns.h
_DEEPEST = 32  # MAX_PID_NS_LEVEL, include/linux/pid_namespace.h
SPACE = 16  # bytes of the stack that are needed below the event


class PidNamespace(NamedTuple):
    """A pid namespace: the device, as the kernel writes it, and the inode of its file."""

    device: int
    inode: int


class Identity(NamedTuple):
    """What programs can be asked to say of a process.

    ``start_offsets`` lead from a task to the start of its process; None leaves the start out. ``pid_namespace`` is ours
    when it is not the initial one, whose pids the kernel has at hand. ``pid_offsets`` lead from a task to its numbers
    in all its namespaces; without them a process is known in our pid namespace itself, and in none inside it.
    ``executable_offsets`` lead from a task to the program that it runs; None leaves that out.
    """

    start_offsets: StartOffsets | None = None
    pid_namespace: PidNamespace | None = None
    command: bool = True
    pid: bool = True
    pid_offsets: PidOffsets | None = None
    executable_offsets: ExecutableOffsets | None = None


def own_pid_namespace() -> PidNamespace | None:
    """Return the pid namespace that we are in; None when it is the initial one. Raises OSError without procfs."""
    found = os.stat("/proc/self/ns/pid")
    if found.st_ino == _INITIAL:
        return None
    return PidNamespace(os.major(found.st_dev) << 20 | os.minor(found.st_dev), found.st_ino)


def write_key(code: Assembler, identity: Identity, at: int, process: int, keep: Register) -> None:
    """Write the start of the process and its program, and as 64 bits at ``process`` the pid of the initial namespace.

    ``at`` is where on the stack the event stands; ``keep`` will hold pid and thread of the initial namespace.
    """
    code.call(Helper.GET_CURRENT_PID_TGID).move(keep, R0)
    code.shift_right(R0, 32).store(DOUBLE, FRAME, process, R0)
    for place in (event.STARTED, event.EXECUTABLE, event.DEVICE):
        code.store(DOUBLE, FRAME, at + place, 0)
    if identity.start_offsets is not None:
        code.call(Helper.GET_CURRENT_TASK_BTF)
        code.load(DOUBLE, R1, R0, identity.start_offsets.group_leader)
        code.load(DOUBLE, R1, R1, identity.start_offsets.start_boottime)
        code.store(DOUBLE, FRAME, at + event.STARTED, R1)
    if identity.executable_offsets is not None:
        _write_executable(code, identity.executable_offsets, at)


def write_rest(code: Assembler, identity: Identity, at: int, kept: Register) -> None:
    """Write pid, thread, user and command; ``kept`` is what `write_key` kept. R7 and R9 are lost."""
    _write_pid(code, identity, at, kept)
    code.call(Helper.GET_CURRENT_UID_GID).store(WORD, FRAME, at + event.UID, R0)
    if identity.command:
        code.point(R1, at + event.COMMAND).move(R2, 16).call(Helper.GET_CURRENT_COMM)
    else:
        code.store(DOUBLE, FRAME, at + event.COMMAND, 0).store(DOUBLE, FRAME, at + event.COMMAND + 8, 0)


def _write_executable(code: Assembler, offsets: ExecutableOffsets, at: int) -> None:
    """Write the inode and the device of the program that the current process runs; 0 where it runs none."""
    code.call(Helper.GET_CURRENT_TASK_BTF).move(R1, R0)
    for step in (offsets.memory, offsets.file, offsets.inode):
        code.load(DOUBLE, R1, R1, step).jump_if(R1, "==", 0, "no executable")
    code.load(DOUBLE, R2, R1, offsets.number).store(DOUBLE, FRAME, at + event.EXECUTABLE, R2)
    code.load(DOUBLE, R1, R1, offsets.filesystem).jump_if(R1, "==", 0, "no executable")
    code.load(WORD, R2, R1, offsets.device).store(WORD, FRAME, at + event.DEVICE, R2).label("no executable")


def _write_pid(code: Assembler, identity: Identity, at: int, kept: Register) -> None:
    if not identity.pid:
        code.store(DOUBLE, FRAME, at + event.PID, 0)
        return
    if identity.pid_namespace is None:
        code.store(WORD, FRAME, at + event.TID, kept)
        code.shift_right(kept, 32).store(WORD, FRAME, at + event.PID, kept)
        return
    if identity.pid_offsets is not None:
        _walk_to_pid(code, identity.pid_offsets, identity.pid_namespace.inode, at)
        return
    # struct bpf_pidns_info has the thread first; all zeros for a process of another namespace, inner ones included.
    code.constant(R1, identity.pid_namespace.device).constant(R2, identity.pid_namespace.inode)
    code.point(R3, at + event.PID).move(R4, 8).call(Helper.GET_NS_CURRENT_PID_TGID)
    code.load(WORD, R1, FRAME, at + event.PID).load(WORD, R2, FRAME, at + event.TID)
    code.store(WORD, FRAME, at + event.PID, R2).store(WORD, FRAME, at + event.TID, R1)


def _walk_to_pid(code: Assembler, offsets: PidOffsets, inode: int, at: int) -> None:
    """Write pid and thread of the current task in the namespace of this inode; 0 where it has none there."""
    code.store(DOUBLE, FRAME, at + event.PID, 0)
    code.call(Helper.GET_CURRENT_TASK_BTF).move(R7, R0)
    write_number(code, offsets, inode, to=at + event.TID, scratch=at - SPACE)
    code.call(Helper.GET_CURRENT_TASK_BTF).load(DOUBLE, R7, R0, offsets.group_leader)
    write_number(code, offsets, inode, to=at + event.PID, scratch=at - SPACE)


def write_number(code: Assembler, offsets: PidOffsets, inode: int, *, to: int, scratch: int) -> None:
    """Write the number that the task in R7 has in the pid namespace of this inode, one of those that it is in.

    Where it is in no such namespace, ``to`` stays as it is. R7 and R9 are lost, and `SPACE` bytes at ``scratch``.
    """
    level, found, done = (f"{what} of {to}" for what in ("level", "found", "done"))
    code.load(DOUBLE, R7, R7, offsets.thread_pid).jump_if(R7, "==", 0, done)
    code.load(WORD, R9, R7, offsets.level).jump_if(R9, ">", _DEEPEST, done)  # the verifier wants an end of the loop
    code.add(R7, offsets.numbers).label(level)
    # Before Linux 6.5 the type says that there is one number, so that others cannot be read as members.
    _read(code, R7, offsets.namespace, (scratch, 8), done)
    code.load(DOUBLE, R3, FRAME, scratch)
    _read(code, R3, offsets.inode, (scratch + 8, 4), done)
    code.load(WORD, R1, FRAME, scratch + 8).constant(R2, inode).jump_if(R1, "==", R2, found)
    code.jump_if(R9, "==", 0, done).add(R9, -1).add(R7, offsets.size).jump(level)
    code.label(found)
    _read(code, R7, offsets.number, (to, 4), done)
    code.label(done)


def _read(code: Assembler, base: Register, offset: int, to: tuple[int, int], otherwise: str) -> None:
    """Copy memory of the kernel to a place on the stack and with a size; go elsewhere where there is none."""
    place, size = to
    code.move(R3, base).add(R3, offset).move(R2, size).point(R1, place)
    code.call(Helper.PROBE_READ_KERNEL).jump_if(R0, "!=", 0, otherwise)
