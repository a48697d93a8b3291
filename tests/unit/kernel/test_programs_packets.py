"""What the programs for raw, ping and packet sockets, and for the sockets that are held, return on every way."""

from __future__ import annotations

import errno
import os
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import CALL, EXIT, MOVE, Helper, decode, encode
from airgap_check.kernel.btf import Bit, ExecutableOffsets, PidOffsets, StartOffsets
from airgap_check.kernel.programs import held, queue, raw
from airgap_check.kernel.programs.identity import Identity, PidNamespace
from airgap_check.kernel.programs.makers import Makers, making
from tests.unit.kernel.bytecode_proof import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel.btf import Types
    from airgap_check.kernel.programs.tables import Tables

NAMES = ("networks", "ports", "uses_made", "counters", "peers", "seen")
STARTS, NAMESPACE, NUMBERS = StartOffsets(1576, 1744), PidNamespace(4, 4026532281), PidOffsets(*range(8, 72, 8))
EXECUTABLE, OWNED = ExecutableOffsets(*range(8, 56, 8)), Bit(568, 2)
HARMLESS = {
    Helper.MAP_LOOKUP, Helper.MAP_UPDATE, Helper.MAP_DELETE, Helper.KTIME_GET_NS, Helper.GET_CURRENT_PID_TGID,
    Helper.GET_CURRENT_UID_GID, Helper.GET_CURRENT_COMM, Helper.SKB_LOAD_BYTES, Helper.GET_SOCKET_COOKIE,
    Helper.GET_SOCKET_UID, Helper.SKB_CGROUP_ID, Helper.GET_CURRENT_CGROUP_ID, Helper.SK_FULLSOCK,
    Helper.PROBE_READ_KERNEL, Helper.GET_NS_CURRENT_PID_TGID, Helper.GET_NETNS_COOKIE, Helper.SEQ_WRITE,
    Helper.RINGBUF_OUTPUT, Helper.GET_CURRENT_TASK_BTF, Helper.SOCK_FROM_FILE, Helper.CURRENT_TASK_UNDER_CGROUP,
    Helper.SK_STORAGE_GET,
}  # fmt: skip


class Anywhere:
    """A kernel whose members stand at 8, 16, 24 ... in the order in which they are asked for."""

    def __init__(self) -> None:
        self._offsets: dict[tuple[str, ...], int] = {}

    def offset(self, *path: str) -> int:
        return self._offsets.setdefault(path, 8 * (len(self._offsets) + 1))

    def size(self, _: str) -> int:
        return 16


def tables() -> Tables:
    maps = {name: SimpleNamespace(fd=10 + index) for index, name in enumerate(NAMES)}
    return cast("Tables", SimpleNamespace(**maps, events=SimpleNamespace(map=SimpleNamespace(fd=9))))


def a_map() -> bpf.Map:
    return cast("bpf.Map", SimpleNamespace(fd=20))


def types() -> Types:
    return cast("Types", Anywhere())


def identities() -> Iterator[Identity]:
    for starts, namespace, command, pid in product((None, STARTS), (None, NAMESPACE), (True, False), (True, False)):
        for numbers, program in product((None, NUMBERS), (None, EXECUTABLE)):
            yield Identity(starts, namespace, command, pid, numbers, program)


def ways() -> tuple[Makers, Makers]:
    return Makers(a_map(), with_sockets=True), Makers(a_map(), with_sockets=False)


def on_cgroups() -> Iterator[bytes]:
    for who, kept in product(identities(), ways()):
        yield making(kept, who)
    for kept, namespace, owned in product(ways(), (True, False), (None, OWNED)):
        yield raw.egress(tables(), kept, namespace=namespace, owned=owned)


def tracing() -> Iterator[bytes]:
    for who, cgroup in product(identities(), (None, a_map())):
        yield queue.program(types(), tables(), who, cgroup)
    for ask in (True, False):
        yield held.program(types(), 4026532281, ask=ask)


def test_every_exit_of_every_program_allows() -> None:
    proven = [answers(code) for code in on_cgroups()]
    assert len(proven) == 64 * 2 + 8
    assert all(found == {1} for found in proven)


def test_tracing_programs_return_nothing_that_anybody_heeds() -> None:
    proven = [answers(code) for code in tracing()]
    assert len(proven) == 64 * 2 + 2
    assert all(found == {0} for found in proven)


def test_the_proof_goes_red_when_an_exit_refuses() -> None:
    for code in on_cgroups():
        program = decode(code)
        (exit_at,) = [at for at, each in enumerate(program) if each.opcode == EXIT]
        assert program[exit_at - 1].opcode == MOVE
        program[exit_at - 1] = program[exit_at - 1]._replace(immediate=0)
        assert answers(encode(program)) == {0}


def test_programs_ask_only_what_changes_nothing() -> None:
    for code in (*on_cgroups(), *tracing()):
        assert {each.immediate for each in decode(code) if each.opcode == CALL} <= HARMLESS


def helpers(code: bytes) -> set[int]:
    return {each.immediate for each in decode(code) if each.opcode == CALL}


def test_who_made_a_socket_is_kept_with_it_or_else_in_a_table() -> None:
    for kept, asked in zip(ways(), (Helper.SK_STORAGE_GET, Helper.MAP_UPDATE), strict=True):
        found = helpers(making(kept, Identity())) & {Helper.SK_STORAGE_GET, Helper.MAP_UPDATE}
        assert found == {asked}
        egress = helpers(raw.egress(tables(), kept, namespace=True, owned=OWNED))
        assert (Helper.SK_STORAGE_GET in egress) == kept.with_sockets


def test_whose_a_socket_is_is_read_only_where_that_can_be_found() -> None:
    for kept in ways():
        asked = [helpers(raw.egress(tables(), kept, namespace=True, owned=owned)) for owned in (None, OWNED)]
        assert asked[1] - asked[0] == {Helper.PROBE_READ_KERNEL}


class Refusing:
    """A kernel that loads and links anything but programs with certain calls; `open` is what nobody has closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refused: set[int], *, storage: bool = True) -> None:
        self.refused, self.open = refused, 0
        self.loaded: list[set[int]] = []
        monkeypatch.setattr(bpf, "load", self.load)
        monkeypatch.setattr(bpf, "load_types", lambda _: self._descriptor())
        monkeypatch.setattr(bpf, "link_cgroup", lambda *_: self._descriptor())
        monkeypatch.setattr(bpf, "Map", self.map)
        monkeypatch.setattr(os, "close", lambda _: setattr(self, "open", self.open - 1))
        self._storage = storage

    def map(self, kind: int, *_: int, **__: object) -> object:
        if kind == bpf.SK_STORAGE and not self._storage:
            raise bpf.BpfError(errno.EINVAL, "create map")
        self.open += 1
        return SimpleNamespace(fd=20, close=lambda: setattr(self, "open", self.open - 1))

    def load(self, _: int, code: bytes, **__: object) -> int:
        if helpers(code) & self.refused:
            raise bpf.BpfError(errno.EINVAL, "load")
        self.loaded.append(helpers(code))
        return self._descriptor()

    def _descriptor(self) -> int:
        self.open += 1
        return 30


@pytest.mark.parametrize(
    ("refused", "storage", "missing"),
    [
        (set(), True, set()),
        ({Helper.PROBE_READ_KERNEL}, True, {"owned"}),
        ({Helper.SK_STORAGE_GET}, True, {"keeping"}),
        (set(), False, {"keeping"}),
        ({Helper.GET_CURRENT_TASK_BTF}, True, {"maker"}),
        ({Helper.GET_CURRENT_TASK_BTF, Helper.PROBE_READ_KERNEL}, False, {"maker", "owned", "keeping"}),
    ],
)
def test_what_the_kernel_refuses_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
    refused: set[int],
    storage: bool,  # noqa: FBT001 - parametrized
    missing: set[str],
) -> None:
    kernel = Refusing(monkeypatch, refused, storage=storage)
    attached = raw.attach(tables(), 3, Identity(STARTS, executable_offsets=EXECUTABLE), OWNED)
    monkeypatch.undo()
    assert len(attached.links) == kernel.open == 2
    assert attached.missing.keys() == missing
    assert (Helper.SK_STORAGE_GET in kernel.loaded[0]) == ("keeping" not in missing)


def test_a_kernel_that_takes_no_program_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Refusing(monkeypatch, {Helper.SK_FULLSOCK})
    with pytest.raises(bpf.BpfError):
        raw.attach(tables(), 3, Identity(), OWNED)
    monkeypatch.undo()
    assert kernel.open == 0


def test_only_the_queue_of_a_part_asks_for_the_cgroup() -> None:
    whole = queue.program(types(), tables(), Identity(), None)
    part = queue.program(types(), tables(), Identity(), a_map())
    calls = [{each.immediate for each in decode(code) if each.opcode == CALL} for code in (whole, part)]
    assert [Helper.CURRENT_TASK_UNDER_CGROUP in asked for asked in calls] == [False, True]


def test_a_row_of_the_walk_has_what_the_program_writes() -> None:
    row = held._LAYOUT.pack(
        3, 5_000_000_000, 77, 42, 7, 10, 17, 2, 1, 40000, b"\0\x35", 9, b"\1" * 16, b"\2" * 16
    )  # fmt: skip
    assert list(held.parse(row + row)) == 2 * [
        held.Held(
            netns=3, started=5_000_000_000, cookie=77, pid=42, descriptor=7, family=10, protocol=17, type=2, state=1,
            local_port=40000, remote_port=53, cgroup=9, local=b"\1" * 16, remote=b"\2" * 16,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["sk_buff", "sock", "net_device"])
def test_a_kernel_with_other_structures_is_a_lookup_error(missing: str) -> None:
    class Without(Anywhere):
        def offset(self, *path: str) -> int:
            if path[0] == missing:
                raise LookupError(missing)
            return super().offset(*path)

    with pytest.raises(LookupError):
        queue.program(cast("Types", Without()), tables(), Identity(), None)
