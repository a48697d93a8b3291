"""Maps, programs and links as bpf(2) is asked for them; here a kernel that is a dictionary answers."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import Assembler
from airgap_check.kernel.bpf import BpfError, Map

if TYPE_CHECKING:
    from collections.abc import Callable

BTF_LOAD, LOOKUP_BATCH, LOOKUP_AND_DELETE_BATCH = 18, 24, 25


class Kernel:
    """One map of keys with 4 bytes and values with 8, and whatever else a test teaches it."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.batches = True
        self.asked: list[tuple[int, bytes]] = []
        self.refuse: list[int] = []  # errors that come first
        self.answer: Callable[[int, bytearray], int] | None = None

    def call(self, command: int, request: bytes | bytearray, what: str) -> int:
        self.asked.append((command, bytes(request)))
        if self.refuse and (number := self.refuse.pop(0)):
            raise BpfError(number, what)
        if self.answer:
            return self.answer(command, bytearray(request))
        if command in {1, 2, 3, 4}:
            self._element(command, request, what)
        if command in {LOOKUP_BATCH, LOOKUP_AND_DELETE_BATCH}:
            assert isinstance(request, bytearray)
            self._batch(command, request, what)
        return os.open("/dev/null", os.O_RDONLY) if command == 0 else 0

    def _element(self, command: int, request: bytes | bytearray, what: str) -> None:
        _, at_key, at_value, flags = struct.unpack("=I4xQQQ", request)
        key = ctypes.string_at(at_key, 4) if at_key else None
        if command == 4:
            keys = list(self.entries)
            place = keys.index(key) + 1 if key in keys else 0
            if place == len(keys):
                raise BpfError(errno.ENOENT, what)
            ctypes.memmove(at_value, keys[place], 4)
            return
        assert key is not None
        if command == 2:
            assert flags in {0, 1, 2}
            self.entries[key] = ctypes.string_at(at_value, 8)
            return
        if key not in self.entries:
            raise BpfError(errno.ENOENT, what)
        if command == 1:
            ctypes.memmove(at_value, self.entries[key], 8)
        else:
            assert at_value == 0, "the kernel refuses a deletion that names a value"
            del self.entries[key]

    def _batch(self, command: int, request: bytearray, what: str) -> None:
        if not self.batches:
            raise BpfError(errno.EINVAL, what)
        begin, token, at_keys, at_values, count = struct.unpack_from("=QQQQI", request)
        first = struct.unpack("=I", ctypes.string_at(begin, 4))[0] if begin else 0
        everything = list(self.entries.items())
        taken = everything[first : first + min(count, 3)]
        for index, (key, value) in enumerate(taken):
            ctypes.memmove(at_keys + 4 * index, key, 4)
            ctypes.memmove(at_values + 8 * index, value, 8)
        struct.pack_into("=I", request, 32, len(taken))
        ctypes.memmove(token, struct.pack("=I", first + len(taken)), 4)
        if first + len(taken) < len(everything):
            return
        if command == LOOKUP_AND_DELETE_BATCH:
            self.entries.clear()
        raise BpfError(errno.ENOENT, what)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(bpf, "_bpf", made.call)
    return made


def key(number: int) -> bytes:
    return struct.pack("=I", number)


def test_a_map_is_asked_for_as_the_kernel_wants_it(kernel: Kernel) -> None:
    with Map(bpf.LPM_TRIE, 20, 8, 99, flags=bpf.NO_PREALLOC, name="a name that is too long"):
        pass
    assert kernel.asked == [(0, struct.pack("=7I16s4I", 11, 20, 8, 99, 1, 0, 0, b"a name that is ", 0, 0, 0, 0))]


def test_a_map_can_be_given_the_types_of_its_keys_and_values(kernel: Kernel) -> None:
    read: list[tuple[int, bytes]] = []

    def answer(command: int, request: bytearray) -> int:
        if command == BTF_LOAD:
            place, log, size, *rest = struct.unpack("=QQIIII", request)
            read.append((command, ctypes.string_at(place, size)))
            assert not any((log, *rest))
            return 77
        return os.open("/dev/null", os.O_RDONLY)

    kernel.answer = answer
    with Map(bpf.SK_STORAGE, 4, 112, 0, flags=bpf.NO_PREALLOC, name="a", types=bpf.load_types(b"types")):
        pass
    assert read == [(BTF_LOAD, b"types")]
    assert kernel.asked[1] == (0, struct.pack("=7I16s4I", 24, 4, 112, 0, 1, 0, 0, b"a", 0, 77, 1, 2))


def test_a_map_holds_what_it_was_given(kernel: Kernel) -> None:
    with Map(bpf.HASH, 4, 8, 10) as table:
        assert table.lookup(key(1)) is None
        table.update(key(1), b"12345678")
        assert table.lookup(key(1)) == b"12345678"
        assert table.delete(key(1))
        assert not table.delete(key(1))
    assert kernel.entries == {}


def test_a_map_that_is_closed_twice_closes_nothing_else(kernel: Kernel) -> None:
    table = Map(bpf.HASH, 4, 8, 10)
    table.close()
    other = os.open("/dev/null", os.O_RDONLY)
    table.close()
    os.close(other)
    assert kernel.asked


@pytest.mark.parametrize("wrong", [(b"123", b"12345678"), (b"1234", b"1234567")])
def test_keys_and_values_of_another_size_are_refused(kernel: Kernel, wrong: tuple[bytes, bytes]) -> None:
    with Map(bpf.HASH, 4, 8, 10) as table, pytest.raises(ValueError, match="bytes, not"):
        table.update(*wrong)
    assert kernel.entries == {}


@pytest.mark.parametrize("batches", [True, False], ids=["by batch", "by key"])
@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_draining_returns_everything_once(kernel: Kernel, batches: bool, count: int) -> None:  # noqa: FBT001
    kernel.batches = batches
    with Map(bpf.HASH, 4, 8, 10) as table:
        for number in range(count):
            table.update(key(number), struct.pack("=Q", number))
        expected = [(key(number), struct.pack("=Q", number)) for number in range(count)]
        assert list(table.drain(delete=False)) == expected
        assert list(table.drain(delete=True)) == expected
    assert kernel.entries == {}


def test_draining_by_key_ends_although_others_write(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.batches = False
    with Map(bpf.HASH, 4, 8, 10) as table:
        table.update(key(0), bytes(8))
        monkeypatch.setattr(table, "_next_key", lambda _: key(0))
        assert len(list(table.drain(delete=False))) == 20


def test_any_other_error_of_a_drain_is_told(kernel: Kernel) -> None:
    with Map(bpf.HASH, 4, 8, 10) as table:
        kernel.refuse = [errno.EPERM]
        with pytest.raises(BpfError, match="drain map"):
            list(table.drain(delete=False))


def test_memory_is_unlocked_where_maps_count_against_a_limit(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1] if limits else (65536, 65536))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    kernel.refuse = [errno.EPERM]
    Map(bpf.HASH, 4, 8, 10).close()
    assert limits == [(resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
    kernel.refuse = [errno.EPERM, errno.EPERM]
    with pytest.raises(BpfError) as refused:
        Map(bpf.HASH, 4, 8, 10)
    assert refused.value.errno == errno.EPERM
    assert len(limits) == 1


def test_without_the_right_to_unlock_the_first_error_stands(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (65536, 65536))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    kernel.refuse = [errno.EPERM]
    with pytest.raises(BpfError, match="create map"):
        Map(bpf.HASH, 4, 8, 10)


def load() -> int:
    return bpf.load(bpf.CGROUP_SOCK_ADDR, Assembler().leave(1).build(), attach_type=11, btf_id=77, name="a_name")


def test_a_program_is_loaded_without_a_log_when_it_is_good(kernel: Kernel) -> None:
    assert load() == 0
    ((command, request),) = kernel.asked
    assert (command, len(request)) == (5, 116)
    kind, count, _, licence, level, size, log = struct.unpack_from("=IIQQIIQ", request)
    assert (kind, count, level, size, log) == (18, 2, 0, 0, 0)
    assert licence
    assert request[48:64] == b"a_name".ljust(16, b"\0")
    assert struct.unpack_from("=I", request, 68) == (11,)
    assert struct.unpack_from("=I", request, 108) == (77,)


def test_the_verifier_is_asked_why_only_when_it_refuses(kernel: Kernel) -> None:
    def refuse(_: int, request: bytearray) -> int:
        level, size, log = struct.unpack_from("=IIQ", request, 24)
        if level:
            assert size > 1000
            ctypes.memmove(log, b"0: (b7) r0 = 7\nR0 is wrong\n\0", 28)
        raise BpfError(errno.EACCES, "load")

    kernel.answer = refuse
    with pytest.raises(BpfError, match=r"load a_name: Permission denied") as refused:
        load()
    assert (refused.value.errno, refused.value.log) == (errno.EACCES, "0: (b7) r0 = 7\nR0 is wrong\n")
    assert len(kernel.asked) == 2


def test_who_may_not_load_at_all_is_told_so_at_once(kernel: Kernel) -> None:
    kernel.refuse = [errno.EPERM]
    with pytest.raises(BpfError) as refused:
        load()
    assert (refused.value.errno, refused.value.log, len(kernel.asked)) == (errno.EPERM, "", 1)


def test_a_load_that_a_signal_interrupts_is_repeated_but_not_for_ever(kernel: Kernel) -> None:
    kernel.refuse = [errno.EAGAIN] * 3
    assert load() == 0
    kernel.refuse = [errno.EAGAIN] * 100
    with pytest.raises(BpfError) as refused:
        load()
    assert refused.value.errno == errno.EAGAIN
    assert len(kernel.refuse) == 90


def test_no_signal_disturbs_a_load(kernel: Kernel) -> None:
    def blocked() -> set[int]:
        return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def look(*_: object) -> int:
        meanwhile.append(blocked())
        return 0

    before, meanwhile = blocked(), list[set[int]]()
    kernel.answer = look
    load()
    assert [{signal.SIGHUP, signal.SIGTERM, signal.SIGINT} <= them for them in meanwhile] == [True]
    assert blocked() == before


def test_links_name_program_and_place(kernel: Kernel) -> None:
    bpf.link_cgroup(3, 4, bpf.CONNECT6)
    bpf.attach_tracing(5)
    bpf.link_iterator(6)
    assert kernel.asked == [
        (28, struct.pack("=IIII", 3, 4, 11, 0)),
        (17, struct.pack("=QII", 0, 5, 0)),
        (28, struct.pack("=IIII", 6, 0, 28, 0)),
    ]


def test_an_iterator_is_read_to_its_end_and_closed(kernel: Kernel) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"rows")
    os.close(writer)
    kernel.answer = lambda *_: reader
    assert list(bpf.iterate(9)) == [b"rows"]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(reader)


def test_a_query_returns_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(command: int, request: bytearray, _: str) -> int:
        target, hook, _, _, place, room = struct.unpack_from("=IIIIQI", request)
        assert (command, target, hook) == (16, 4, bpf.CONNECT4)
        assert room >= 64
        ctypes.memmove(place, struct.pack("=II", 7, 9), 8)
        struct.pack_into("=I", request, 24, 2)
        return 0

    monkeypatch.setattr(bpf, "_bpf", answer)
    assert bpf.query(4, bpf.CONNECT4) == (7, 9)


@pytest.mark.parametrize(("machine", "size"), [("sparc64", 1 << 62), ("x86_64", 1 << 30)])
def test_a_machine_that_we_do_not_know_has_no_bpf(monkeypatch: pytest.MonkeyPatch, machine: str, size: int) -> None:
    monkeypatch.setattr(
        bpf, "os", SimpleNamespace(uname=lambda: SimpleNamespace(machine=machine), strerror=os.strerror)
    )
    monkeypatch.setattr(bpf, "sys", SimpleNamespace(maxsize=size))
    with pytest.raises(OSError, match="create map: Function not implemented") as refused:
        Map(bpf.HASH, 4, 8, 10)
    assert refused.value.errno == errno.ENOSYS


def test_the_real_kernel_refuses_a_command_that_does_not_exist() -> None:
    with pytest.raises(BpfError) as refused:
        bpf._bpf(1 << 20, bytearray(8), "nonsense")
    assert refused.value.errno in {errno.EINVAL, errno.EPERM, errno.ENOSYS}
