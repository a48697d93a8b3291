"""Writes down who makes an attempt: the instructions that ask the kernel for process, start, command and user.

They serve where the program runs in the process that acts. What a kernel, or our rights, refuse is left out: the field
then says 0, never a guess.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel.assembler import DOUBLE, FRAME, R0, R1, R2, R3, R4, WORD, Assembler, Helper, Register
from airgap_check.kernel.programs import event

if TYPE_CHECKING:
    from airgap_check.kernel.btf import StartOffsets

_INITIAL = 0xEFFFFFFC  # PROC_PID_INIT_INO: the inode of the initial pid namespace, include/linux/proc_ns.h


class PidNamespace(NamedTuple):
    """A pid namespace: the device, as the kernel writes it, and the inode of its file."""

    device: int
    inode: int


class Identity(NamedTuple):
    """What programs can be asked to say of a process.

    ``start_offsets`` lead from a task to the start of its process; None leaves the start out. ``pid_namespace`` is ours
    when it is not the initial one, whose pids the kernel has at hand.
    """

    start_offsets: StartOffsets | None = None
    pid_namespace: PidNamespace | None = None
    command: bool = True
    pid: bool = True


def own_pid_namespace() -> PidNamespace | None:
    """Return the pid namespace that we are in; None when it is the initial one. Raises OSError without procfs."""
    found = os.stat("/proc/self/ns/pid")
    if found.st_ino == _INITIAL:
        return None
    return PidNamespace(os.major(found.st_dev) << 20 | os.minor(found.st_dev), found.st_ino)


def write_key(code: Assembler, identity: Identity, at: int, process: int, keep: Register) -> None:
    """Write the start of the process, and as 64 bits at ``process`` the pid of the initial namespace.

    ``at`` is where on the stack the event stands; ``keep`` will hold pid and thread of the initial namespace.
    """
    code.call(Helper.GET_CURRENT_PID_TGID).move(keep, R0)
    code.shift_right(R0, 32).store(DOUBLE, FRAME, process, R0)
    if identity.start_offsets is None:
        code.store(DOUBLE, FRAME, at + event.STARTED, 0)
        return
    code.call(Helper.GET_CURRENT_TASK_BTF)
    code.load(DOUBLE, R1, R0, identity.start_offsets.group_leader)
    code.load(DOUBLE, R1, R1, identity.start_offsets.start_boottime)
    code.store(DOUBLE, FRAME, at + event.STARTED, R1)


def write_rest(code: Assembler, identity: Identity, at: int, kept: Register) -> None:
    """Write pid, thread, user and command; ``kept`` is what `write_key` kept."""
    _write_pid(code, identity, at, kept)
    code.call(Helper.GET_CURRENT_UID_GID).store(WORD, FRAME, at + event.UID, R0)
    if identity.command:
        code.point(R1, at + event.COMMAND).move(R2, 16).call(Helper.GET_CURRENT_COMM)
    else:
        code.store(DOUBLE, FRAME, at + event.COMMAND, 0).store(DOUBLE, FRAME, at + event.COMMAND + 8, 0)


def _write_pid(code: Assembler, identity: Identity, at: int, kept: Register) -> None:
    if not identity.pid:
        code.store(DOUBLE, FRAME, at + event.PID, 0)
        return
    if identity.pid_namespace is None:
        code.store(WORD, FRAME, at + event.TID, kept)
        code.shift_right(kept, 32).store(WORD, FRAME, at + event.PID, kept)
        return
    # struct bpf_pidns_info has the thread first; all zeros for a process of another namespace, inner ones included.
    code.constant(R1, identity.pid_namespace.device).constant(R2, identity.pid_namespace.inode)
    code.point(R3, at + event.PID).move(R4, 8).call(Helper.GET_NS_CURRENT_PID_TGID)
    code.load(WORD, R1, FRAME, at + event.PID).load(WORD, R2, FRAME, at + event.TID)
    code.store(WORD, FRAME, at + event.PID, R2).store(WORD, FRAME, at + event.TID, R1)
