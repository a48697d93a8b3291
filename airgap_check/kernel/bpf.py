"""Makes eBPF maps, loads programs and attaches them by link, with plain bpf(2); knows nothing of what they do.

Source: bpf(2), include/uapi/linux/bpf.h. Links only: the kernel detaches what we attached when we end, however we end.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from airgap_check.kernel.syscalls import libc, undisturbed

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterator

HASH, ARRAY, CGROUP_ARRAY, LRU_HASH, LPM_TRIE, SK_STORAGE, RINGBUF = 1, 2, 8, 9, 11, 24, 27  # kinds of maps
NO_PREALLOC = 1  # a flag of maps; LPM_TRIE and SK_STORAGE want it
ANY, NOEXIST, EXIST = 0, 1, 2  # flags of an update
CGROUP_SKB, CGROUP_SOCK, CGROUP_SOCK_ADDR, TRACING = 8, 9, 18, 26  # kinds of programs; then where they attach
(SKB_EGRESS, SOCK_CREATE, CONNECT4, CONNECT6, SENDMSG4, SENDMSG6, RECVMSG4, RECVMSG6, TRACE_RAW_TP, TRACE_ITER) = (
    1, 2, 10, 11, 14, 15, 19, 20, 23, 28,
)  # fmt: skip

_SYS_BPF = {
    "x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64": 361, "ppc64le": 361, "s390x": 351,
}  # fmt: skip
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = 0, 1, 2, 3, 4
_PROG_LOAD, _PROG_QUERY, _RAW_TRACEPOINT_OPEN, _BTF_LOAD = 5, 16, 17, 18
_LOOKUP_BATCH, _LOOKUP_AND_DELETE_BATCH, _LINK_CREATE, _ITER_CREATE = 24, 25, 28, 33
_LICENCE, _LOG_SIZE = b"Dual MIT/GPL\0", 1 << 20
_BATCH = 4096  # entries a call
_ATTEMPTS = 5  # the verifier gives up with EAGAIN when a signal arrives, such as SIGSTOP, that nobody can block


class BpfError(OSError):
    """The kernel refused; ``log`` is what its verifier said of a program, empty otherwise."""

    def __init__(self, number: int, what: str, log: str = "") -> None:
        super().__init__(number, f"{what}: {os.strerror(number)}")
        self.log = log


class Entry(NamedTuple):
    """A key of a map and its value."""

    key: bytes
    value: bytes


class Map:
    """A map in the kernel, of one value for all processors. Raises BpfError; what is not there is no error."""

    def __init__(
        self, kind: int, key_size: int, value_size: int, entries: int, *, flags: int = 0, name: str = "", types: int = 0
    ) -> None:
        self.key_size, self.value_size, self.entries = key_size, value_size, entries
        # map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name, map_ifindex,
        # btf_fd (of `load_types`), btf_key_type_id, btf_value_type_id
        begin = kind, key_size, value_size, entries, flags, 0, 0, name.encode()[:15]
        wanted = struct.pack("=7I16s4I", *begin, 0, types, *((1, 2) if types else (0, 0)))
        try:
            self.fd = _bpf(_MAP_CREATE, wanted, "create map")
        except BpfError as error:
            # Before 5.11 maps counted against RLIMIT_MEMLOCK, with the same error.
            if error.errno != errno.EPERM or not _lock_memory():
                raise
            self.fd = _bpf(_MAP_CREATE, wanted, "create map")

    def update(self, key: bytes, value: bytes, flags: int = ANY) -> None:
        """Set the value of a key."""
        if len(value) != self.value_size:
            raise ValueError(f"a value has {self.value_size} bytes, not {len(value)}")
        self._element(_MAP_UPDATE, key, bytearray(value), flags)

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        value = bytearray(self.value_size)
        return bytes(value) if _found(self._element, _MAP_LOOKUP, key, value) else None

    def delete(self, key: bytes) -> bool:
        """Remove a key; tell whether it was there."""
        return _found(self._element, _MAP_DELETE, key, bytearray())

    def drain(self, *, delete: bool) -> Iterator[Entry]:
        """Return every entry, and take it out of the map when asked.

        What programs add or remove meanwhile may or may not be seen, and an entry may then be seen twice.
        """
        try:
            yield from self._by_batch(delete=delete)
        except BpfError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSPC, 524}:  # 524: the kernel's ENOTSUPP
                raise
            yield from self._by_key(delete=delete)

    def close(self) -> None:
        """Let go of the map; programs that use it keep it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _element(self, command: int, key: bytes, value: bytearray, flags: int = 0) -> None:
        import ctypes

        if len(key) != self.key_size:
            raise ValueError(f"a key has {self.key_size} bytes, not {len(key)}")
        keys = ctypes.create_string_buffer(key, len(key))
        values = (ctypes.c_char * len(value)).from_buffer(value)
        pair = ctypes.addressof(keys), ctypes.addressof(values) if value else 0
        _bpf(command, struct.pack("=I4xQQQ", self.fd, *pair, flags), "map element")

    def _by_batch(self, *, delete: bool) -> Iterator[Entry]:
        import ctypes

        command = _LOOKUP_AND_DELETE_BATCH if delete else _LOOKUP_BATCH
        token = ctypes.create_string_buffer(max(4, self.key_size))
        keys, values = (ctypes.create_string_buffer(size * _BATCH) for size in (self.key_size, self.value_size))
        places = tuple(map(ctypes.addressof, (token, keys, values)))
        begin, more = 0, True
        while more:
            # in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags
            request = bytearray(struct.pack("=QQQQIIQQ", begin, *places, _BATCH, self.fd, 0, 0))
            more = _found(_bpf, command, request, "drain map")  # the last answer holds entries too
            begin = places[0]
            (count,) = struct.unpack_from("=I", request, 32)
            yield from _entries(keys.raw, values.raw, self.key_size, self.value_size, count)

    def _by_key(self, *, delete: bool) -> Iterator[Entry]:
        key = self._next_key(None)
        for _ in range(2 * self.entries):  # a key that goes away meanwhile sends us back to the first one
            if key is None:
                return
            value = self.lookup(key)
            after = self._next_key(key)
            if value is not None:
                yield Entry(key, value)
            if delete:
                self.delete(key)
            key = after

    def _next_key(self, key: bytes | None) -> bytes | None:
        import ctypes

        before = ctypes.create_string_buffer(key or b"", self.key_size)
        after = ctypes.create_string_buffer(self.key_size)
        place = ctypes.addressof(before) if key is not None else 0
        request = struct.pack("=I4xQQQ", self.fd, place, ctypes.addressof(after), 0)
        return after.raw if _found(_bpf, _MAP_NEXT_KEY, request, "next key") else None


def load_types(data: bytes) -> int:
    """Give type information (BTF) to the kernel: type 1 is that of keys, 2 that of values. Return its descriptor."""
    import ctypes

    types = ctypes.create_string_buffer(data, len(data))
    return _bpf(_BTF_LOAD, struct.pack("=QQIIII", ctypes.addressof(types), 0, len(data), 0, 0, 0), "load types")


def load(program_type: int, code: bytes, *, attach_type: int = 0, btf_id: int = 0, name: str) -> int:
    """Give a program to the kernel and return its descriptor; raises BpfError with the verifier's log."""
    try:
        return _load(program_type, code, attach_type, btf_id, name, None)
    except BpfError as error:
        if error.errno == errno.EPERM:  # decided before the verifier looked
            raise
        import ctypes

        log = ctypes.create_string_buffer(_LOG_SIZE)
        try:
            return _load(program_type, code, attach_type, btf_id, name, log)
        except BpfError as again:
            raise BpfError(error.errno or 0, f"load {name}", log.value.decode(errors="replace")) from again


def _load(  # noqa: PLR0917 - one caller, who has them all in this order
    program_type: int, code: bytes, attach_type: int, btf_id: int, name: str, log: ctypes.Array[ctypes.c_char] | None
) -> int:
    import ctypes

    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(_LICENCE)
    # prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name,
    # prog_ifindex, expected_attach_type, prog_btf_fd, func_info and line_info (24 and 8 more), attach_btf_id
    wanted = struct.pack(
        "=IIQQIIQII16sII4x32xI4x",
        program_type, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(licence),
        0 if log is None else 1, 0 if log is None else _LOG_SIZE, 0 if log is None else ctypes.addressof(log),
        0, 0, name.encode()[:15], 0, attach_type, btf_id,
    )  # fmt: skip
    for left in reversed(range(_ATTEMPTS)):
        try:
            with undisturbed():
                return _bpf(_PROG_LOAD, wanted, f"load {name}")
        except BpfError as error:
            if error.errno != errno.EAGAIN or not left:
                raise
    raise AssertionError


def link_cgroup(program: int, cgroup: int, attach_type: int) -> int:
    """Attach a program to a cgroup and all below it for as long as the returned descriptor is open; raises BpfError.

    ``cgroup`` is a descriptor of its directory. Other programs there stay, and run too.
    """
    return _bpf(_LINK_CREATE, struct.pack("=IIII", program, cgroup, attach_type, 0), "attach to cgroup")


def attach_tracing(program: int) -> int:
    """Attach a program to the tracepoint that it was loaded for, until the returned descriptor is closed."""
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI4x", 0, program), "attach to tracepoint")


def link_iterator(program: int) -> int:
    """Bind an iterator program; `iterate` runs it as often as asked until the returned descriptor is closed."""
    return _bpf(_LINK_CREATE, struct.pack("=IIII", program, 0, TRACE_ITER, 0), "bind iterator")


def iterate(link: int) -> Iterator[bytes]:
    """Run an iterator once and return what its program wrote, in pieces that may cut a record; raises OSError."""
    descriptor = _bpf(_ITER_CREATE, struct.pack("=II", link, 0), "run iterator")
    try:
        while piece := os.read(descriptor, 1 << 16):
            yield piece
    finally:
        os.close(descriptor)


def query(cgroup: int, attach_type: int) -> tuple[int, ...]:
    """Return the ids of the programs that are attached to a cgroup itself; raises BpfError."""
    import ctypes

    programs = (ctypes.c_uint32 * 256)()  # the kernel takes 64 at most
    # target_fd, attach_type, query_flags, attach_flags, prog_ids, prog_cnt
    request = bytearray(struct.pack("=IIIIQI4x", cgroup, attach_type, 0, 0, ctypes.addressof(programs), len(programs)))
    _bpf(_PROG_QUERY, request, "query cgroup")
    (count,) = struct.unpack_from("=I", request, 24)
    return tuple(programs[:count])


def _bpf(command: int, attributes: bytes | bytearray, what: str) -> int:
    """Call bpf(2), which may write into a bytearray; raises BpfError, ENOSYS where we do not know its number."""
    import ctypes

    number = _SYS_BPF.get(os.uname().machine) if sys.maxsize > 1 << 32 else None
    if number is None:
        raise BpfError(errno.ENOSYS, what)
    buffer = (ctypes.c_char * len(attributes)).from_buffer(
        attributes if isinstance(attributes, bytearray) else bytearray(attributes)
    )
    result = int(libc().syscall(number, command, buffer, len(attributes)))
    if result < 0:
        raise BpfError(ctypes.get_errno(), what)
    return result


def _found(call: Callable[..., object], *arguments: object) -> bool:
    """Call, and tell whether there was what the call asks for."""
    try:
        call(*arguments)
    except BpfError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True


def _lock_memory() -> bool:
    """Let this process lock as much memory as maps take; tell whether that changed anything."""
    import resource

    unlimited = resource.RLIM_INFINITY
    if resource.getrlimit(resource.RLIMIT_MEMLOCK) == (unlimited, unlimited):
        return False
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
        return True
    return False


def _entries(keys: bytes, values: bytes, key_size: int, value_size: int, count: int) -> Iterator[Entry]:
    for index in range(count):
        yield Entry(
            keys[index * key_size : (index + 1) * key_size], values[index * value_size : (index + 1) * value_size]
        )
