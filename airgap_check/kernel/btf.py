"""Knows where the running kernel keeps the fields of its structures, from the type information it carries (BTF).

Source: Documentation/bpf/btf.rst, include/uapi/linux/btf.h. The 5 MB are read, asked a few questions and dropped.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import NamedTuple

PATH = "/sys/kernel/btf/vmlinux"
STRUCT, UNION, TYPEDEF, FUNCTION = 4, 5, 8, 12
_MAGIC = 0xEB9F
_HEADER = struct.Struct("=HBBIIIII")  # magic, version, flags, length of this, types: offset, length, strings: the same
_TYPE = struct.Struct("=III")  # name, info, size or type
_MEMBER = struct.Struct("=III")  # name, type, bit offset
_BITS = 0xFFFFFF  # of the bit offset, where the high byte is the size of a bit field
_MODIFIERS = frozenset({TYPEDEF, 9, 10, 11, 18})  # volatile, const, restrict, type tag
_AGGREGATES = frozenset({STRUCT, UNION})
# What follows a type, by kind: bytes once, bytes for each of its members.
_TAILS = {
    1: (4, 0), 2: (0, 0), 3: (12, 0), STRUCT: (0, 12), UNION: (0, 12), 6: (0, 8), 7: (0, 0), TYPEDEF: (0, 0),
    9: (0, 0), 10: (0, 0), 11: (0, 0), FUNCTION: (0, 0), 13: (0, 8), 14: (4, 0), 15: (0, 12), 16: (0, 0), 17: (4, 0),
    18: (0, 0), 19: (0, 12),
}  # fmt: skip
_LONGEST = 1 << 27
_DEPTH = 16  # of structures without a name inside each other, and of names for one type


class StartOffsets(NamedTuple):
    """The way from a task to the start of its process: ``task->group_leader->start_boottime``, in bytes."""

    group_leader: int
    start_boottime: int


class PidOffsets(NamedTuple):
    """The way from a task to its numbers, one for each pid namespace that it is in, from the initial one down (bytes).

    ``task->thread_pid`` has a ``level`` and ``numbers``, each of ``size`` bytes with a ``number`` and a ``namespace``,
    which has an ``inode``.
    """

    group_leader: int
    thread_pid: int
    level: int
    numbers: int
    size: int
    number: int
    namespace: int
    inode: int


class ExecutableOffsets(NamedTuple):
    """The way from a task to the program that it runs: ``task->mm->exe_file->f_inode``, which has a number (bytes).

    The inode has a ``filesystem`` too, and that a ``device``.
    """

    memory: int
    file: int
    inode: int
    number: int
    filesystem: int
    device: int


class Bit(NamedTuple):
    """Where one bit stands: in which byte of a structure, and as what of it."""

    byte: int
    mask: int


class Types:
    """The types of one kernel. What is not there raises LookupError, what makes no sense ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._positions = array("I", [0])  # of each type by its number; number 0 is void
        self._names = array("Q", [0])  # kind and name of each
        try:
            start, end = self._sections()
            self._walk(start, end)
        except (struct.error, IndexError, OverflowError):
            raise _malformed() from None

    def _sections(self) -> tuple[int, int]:
        magic, _, _, length, types, types_size, strings, strings_size = _HEADER.unpack_from(self._data)
        self._strings = length + strings
        start, end = length + types, length + types + types_size
        if magic != _MAGIC or max(end, self._strings + strings_size) > len(self._data):
            raise _malformed()
        return start, end

    def _walk(self, position: int, end: int) -> None:
        unpack, add_position, add_name = _TYPE.unpack_from, self._positions.append, self._names.append
        while position < end:
            name, info, _ = unpack(self._data, position)
            kind = info >> 24 & 31
            if kind not in _TAILS:
                raise _malformed()
            add_position(position)
            add_name(kind << 32 | name)
            once, each = _TAILS[kind]
            position += _TYPE.size + once + each * (info & 0xFFFF)
        if position != end:
            raise _malformed()

    def number(self, kind: int, name: str) -> int:
        """Return the number of the first type of a kind and name, as PROG_LOAD wants it."""
        wanted = name.encode() + b"\0"
        place = self._strings - 1
        while (place := self._data.find(wanted, place + 1)) >= 0:
            try:  # a name may be the end of a longer one, or stand twice
                return self._names.index(kind << 32 | place - self._strings)
            except ValueError:
                continue
        raise LookupError(name)

    def bit(self, structure: str, *path: str) -> Bit:
        """Return where a member of one bit stands; ``path`` as in `offset`."""
        byte, place = divmod(self._bits(structure, *path), 8)
        return Bit(byte, 1 << place if sys.byteorder == "little" else 0x80 >> place)

    def offset(self, structure: str, *path: str) -> int:
        """Return where a member stands in a structure, in bytes; ``path`` goes on into structures inside it."""
        return self._bits(structure, *path) // 8

    def _bits(self, structure: str, *path: str) -> int:
        number, total = self.number(STRUCT, structure), 0
        try:
            for name in path:
                found = self._member(self._bare(number), name, _DEPTH)
                if found is None:
                    raise LookupError(f"{structure}.{'.'.join(path)}")
                total, number = total + found[0], found[1]
        except (struct.error, IndexError):
            raise _malformed() from None
        return total

    def size(self, structure: str) -> int:
        """Return how many bytes a structure has."""
        return int(_TYPE.unpack_from(self._data, self._positions[self.number(STRUCT, structure)])[2])

    def _member(self, number: int, name: str, depth: int) -> tuple[int, int] | None:
        """Find a member, also inside members without a name: where it stands (bits), and its type."""
        position = self._positions[number]
        _, info, _ = _TYPE.unpack_from(self._data, position)
        if not number or info >> 24 & 31 not in _AGGREGATES or not depth:
            return None
        for place in range(position + _TYPE.size, position + _TYPE.size + (info & 0xFFFF) * _MEMBER.size, _MEMBER.size):
            named, number_inside, bits = _MEMBER.unpack_from(self._data, place)
            offset = bits & _BITS if info >> 31 else bits
            if self._is(named, name):
                return offset, number_inside
            if not named or self._is(named, ""):
                inside = self._member(self._bare(number_inside), name, depth - 1)
                if inside:
                    return offset + inside[0], inside[1]
        return None

    def _bare(self, number: int) -> int:
        """Return the type behind names and qualifiers."""
        for _ in range(_DEPTH):
            _, info, meant = _TYPE.unpack_from(self._data, self._positions[number])
            if not number or info >> 24 & 31 not in _MODIFIERS:
                return number
            number = meant
        raise _malformed()

    def _is(self, place: int, name: str) -> bool:
        return self._data.startswith(name.encode() + b"\0", self._strings + place)


def read(path: str = PATH) -> Types:
    """Read the types of the running kernel; raises OSError where it carries none, ValueError for nonsense."""
    with open(path, "rb") as file:
        return Types(file.read(_LONGEST))


def start_offsets(types: Types) -> StartOffsets:
    """Say where the start of a process is found; raises LookupError where the kernel has it elsewhere."""
    return StartOffsets(types.offset("task_struct", "group_leader"), types.offset("task_struct", "start_boottime"))


def pid_offsets(types: Types) -> PidOffsets:
    """Say where the numbers of a task are found; raises LookupError where the kernel has them elsewhere."""
    return PidOffsets(
        group_leader=types.offset("task_struct", "group_leader"),
        thread_pid=types.offset("task_struct", "thread_pid"),
        level=types.offset("pid", "level"),
        numbers=types.offset("pid", "numbers"),
        size=types.size("upid"),
        number=types.offset("upid", "nr"),
        namespace=types.offset("upid", "ns"),
        inode=types.offset("pid_namespace", "ns", "inum"),
    )


def executable_offsets(types: Types) -> ExecutableOffsets:
    """Say where the program of a task is found; raises LookupError where the kernel has it elsewhere."""
    return ExecutableOffsets(
        memory=types.offset("task_struct", "mm"),
        file=types.offset("mm_struct", "exe_file"),
        inode=types.offset("file", "f_inode"),
        number=types.offset("inode", "i_ino"),
        filesystem=types.offset("inode", "i_sb"),
        device=types.offset("super_block", "s_dev"),
    )


def _malformed() -> ValueError:
    return ValueError("the type information of the kernel makes no sense")
