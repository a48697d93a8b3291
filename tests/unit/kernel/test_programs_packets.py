"""What the programs for raw, ping and packet sockets, and for the sockets that are held, return on every way."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from airgap_check.kernel.assembler import CALL, EXIT, MOVE, Helper, decode, encode
from airgap_check.kernel.btf import PidOffsets, StartOffsets
from airgap_check.kernel.programs import held, queue, raw
from airgap_check.kernel.programs.identity import Identity, PidNamespace
from tests.unit.kernel.bytecode_proof import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel import bpf
    from airgap_check.kernel.btf import Types
    from airgap_check.kernel.programs.tables import Tables

NAMES = ("networks", "ports", "uses_made", "counters", "peers", "seen")
STARTS, NAMESPACE, NUMBERS = StartOffsets(1576, 1744), PidNamespace(4, 4026532281), PidOffsets(*range(8, 72, 8))
HARMLESS = {
    Helper.MAP_LOOKUP, Helper.MAP_UPDATE, Helper.MAP_DELETE, Helper.KTIME_GET_NS, Helper.GET_CURRENT_PID_TGID,
    Helper.GET_CURRENT_UID_GID, Helper.GET_CURRENT_COMM, Helper.SKB_LOAD_BYTES, Helper.GET_SOCKET_COOKIE,
    Helper.GET_SOCKET_UID, Helper.SKB_CGROUP_ID, Helper.GET_CURRENT_CGROUP_ID, Helper.SK_FULLSOCK,
    Helper.PROBE_READ_KERNEL, Helper.GET_NS_CURRENT_PID_TGID, Helper.GET_NETNS_COOKIE, Helper.SEQ_WRITE,
    Helper.RINGBUF_OUTPUT, Helper.GET_CURRENT_TASK_BTF, Helper.SOCK_FROM_FILE, Helper.CURRENT_TASK_UNDER_CGROUP,
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
        for numbers in (None, NUMBERS):
            yield Identity(starts, namespace, command=command, pid=pid, pid_offsets=numbers)


def on_cgroups() -> Iterator[bytes]:
    for who in identities():
        yield raw.making(a_map(), who)
    for namespace in (True, False):
        yield raw.egress(tables(), a_map(), namespace=namespace)


def tracing() -> Iterator[bytes]:
    for who, cgroup in product(identities(), (None, a_map())):
        yield queue.program(types(), tables(), who, cgroup)
    for ask in (True, False):
        yield held.program(types(), 4026532281, ask=ask)


def test_every_exit_of_every_program_allows() -> None:
    proven = [answers(code) for code in on_cgroups()]
    assert len(proven) == 34
    assert all(found == {1} for found in proven)


def test_tracing_programs_return_nothing_that_anybody_heeds() -> None:
    proven = [answers(code) for code in tracing()]
    assert len(proven) == 66
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
