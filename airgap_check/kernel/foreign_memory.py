"""Reads the memory of a process that waits, without ever waiting for a page that the process gives out itself.

Source: proc_pid_mem(5): where a page needs userfaultfd(2), /proc reads nothing; process_vm_readv(2) would wait.
"""

from __future__ import annotations

import os
from typing import Self

_TAGS = {"aarch64": (1 << 56) - 1}  # where the kernel takes no notice of the highest byte of an address
_USERS = 1 << 63  # above it are the kernel's own addresses


class Memory:
    """The memory of a thread's process; raises OSError where we may not look, or the thread has gone."""

    def __init__(self, tid: int) -> None:
        self._descriptor = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._bits = _TAGS.get(os.uname().machine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, address: int, size: int) -> bytes:
        """Return up to ``size`` bytes; less where there is nothing, or nothing that we can read."""
        if self._bits and not address >> 55 & 1:
            address &= self._bits
        if address + size > _USERS:
            return b""
        try:
            return os.pread(self._descriptor, size, address)
        except OSError:
            return b""
