"""What the programs that see connect(2) and sendto(2) return, proven over their bytecode, and how they are built."""

from __future__ import annotations

import errno
import os
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from airgap_check.collectors.direction import DHCP_CLIENT
from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import CALL, EXIT, MOVE, R0, R1, R6, Assembler, Helper, decode, encode
from airgap_check.kernel.btf import ExecutableOffsets, PidOffsets, StartOffsets
from airgap_check.kernel.programs import connect
from airgap_check.kernel.programs.identity import Identity, PidNamespace
from tests.unit.kernel.bytecode_proof import UnprovenError, answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel.programs.tables import Tables

NAMES = ("networks", "ports", "uses_made", "counters", "peers", "seen")
STARTS, NAMESPACE, NUMBERS = StartOffsets(1576, 1744), PidNamespace(4, 4026532281), PidOffsets(*range(8, 72, 8))
EXECUTABLE = ExecutableOffsets(*range(8, 56, 8))


def tables() -> Tables:
    maps = {name: SimpleNamespace(fd=10 + index) for index, name in enumerate(NAMES)}
    return cast("Tables", SimpleNamespace(**maps, events=SimpleNamespace(map=SimpleNamespace(fd=9))))


def identities() -> Iterator[Identity]:
    for starts, namespace, command, pid in product((None, STARTS), (None, NAMESPACE), (True, False), (True, False)):
        for numbers, program in product((None, NUMBERS), (None, EXECUTABLE)):
            yield Identity(starts, namespace, command, pid, numbers, program)


def programs() -> Iterator[bytes]:
    for hook, who, replies in product(connect.INITIATIONS.values(), identities(), (True, False)):
        yield connect.initiation(hook, tables(), who, replies=replies)
    for hook in connect.RECEPTIONS.values():
        yield connect.reception(hook, tables())


def helpers(code: bytes) -> set[int]:
    return {each.immediate for each in decode(code) if each.opcode == CALL}


def test_every_exit_of_every_program_allows() -> None:
    proven = [answers(code) for code in programs()]
    assert len(proven) == 4 * 64 * 2 + 2
    assert all(found == {1} for found in proven)


def test_the_proof_goes_red_when_any_exit_refuses() -> None:
    for code in programs():
        program = decode(code)
        exits = [at for at, each in enumerate(program) if each.opcode == EXIT]
        for at in exits:
            assert program[at - 1].opcode == MOVE
            mutant = [*program[: at - 1], program[at - 1]._replace(immediate=0), *program[at:]]
            assert answers(encode(mutant)) == {0}


def test_the_proof_goes_red_when_an_exit_returns_what_a_helper_said() -> None:
    for code in programs():
        program = decode(code)
        at = next(at for at, each in enumerate(program) if each.opcode == EXIT)
        mutant = [*program[: at - 1], program[at - 1]._replace(to=1), *program[at:]]
        with pytest.raises(UnprovenError, match="foretell"):
            answers(encode(mutant))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Assembler().move(R0, 1), "no instruction"),
        (Assembler().move(R0, 1).jump_if(R1, "==", 0, "out").leave(1).label("out"), "no instruction"),
        (Assembler().move(R0, R6).jump("out").leave(1).label("out").leave(1), "no way leads"),
        (Assembler().move(R0, 1).call(Helper.KTIME_GET_NS).jump("out").label("out"), "no instruction"),
    ],
)
def test_the_proof_takes_no_program_that_runs_out_or_hides_an_exit(code: Assembler, reason: str) -> None:
    with pytest.raises(UnprovenError, match=reason):
        answers(code.build())


def test_both_ways_of_a_branch_are_followed() -> None:
    code = Assembler().jump_if(R1, "==", 0, "other").leave(1).label("other").leave(0)
    assert answers(code.build()) == {0, 1}


def test_what_is_not_asked_for_is_not_called() -> None:
    bare = Identity(command=False, pid=False)
    plain = helpers(connect.initiation(bpf.CONNECT4, tables(), bare, replies=True))
    assert not plain & {Helper.GET_CURRENT_COMM, Helper.GET_CURRENT_TASK_BTF, Helper.GET_NS_CURRENT_PID_TGID}
    full = helpers(connect.initiation(bpf.CONNECT4, tables(), Identity(STARTS, NAMESPACE), replies=True))
    assert full - plain == {Helper.GET_CURRENT_COMM, Helper.GET_CURRENT_TASK_BTF, Helper.GET_NS_CURRENT_PID_TGID}
    walks = helpers(
        connect.initiation(bpf.CONNECT4, tables(), Identity(None, NAMESPACE, pid_offsets=NUMBERS), replies=True)
    )
    assert walks - plain == {Helper.GET_CURRENT_COMM, Helper.GET_CURRENT_TASK_BTF, Helper.PROBE_READ_KERNEL}


def test_in_the_initial_namespace_the_pid_is_at_hand() -> None:
    with_offsets = connect.initiation(bpf.CONNECT4, tables(), Identity(STARTS, pid_offsets=NUMBERS), replies=True)
    assert with_offsets == connect.initiation(bpf.CONNECT4, tables(), Identity(STARTS), replies=True)


@pytest.mark.parametrize(
    ("refused", "kept", "missing"),
    [
        (set(), (True, NUMBERS), set()),
        ({Helper.PROBE_READ_KERNEL}, (True, None), {"inner"}),
        ({Helper.GET_NS_CURRENT_PID_TGID}, (True, NUMBERS), set()),
        ({Helper.PROBE_READ_KERNEL, Helper.GET_NS_CURRENT_PID_TGID}, (False, None), {"inner", "pid"}),
    ],
)
def test_a_pid_is_told_in_the_best_way_that_the_kernel_has(
    monkeypatch: pytest.MonkeyPatch, refused: set[int], kept: tuple[bool, PidOffsets | None], missing: set[str]
) -> None:
    def load(_: int, code: bytes, **__: object) -> int:
        if helpers(code) & refused:
            raise bpf.BpfError(errno.EINVAL, "load")
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(bpf, "load", load)
    who, lacks = connect._possible(tables(), Identity(STARTS, NAMESPACE, pid_offsets=NUMBERS))
    assert ((who.pid, who.pid_offsets), set(lacks)) == (kept, missing)
    assert (who.start_offsets, who.command) == (STARTS, True)


def test_a_program_that_is_not_told_is_named_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: int, code: bytes, **__: object) -> int:
        if any(each.offset == EXECUTABLE.memory and each.opcode == 0x79 for each in decode(code)):
            raise bpf.BpfError(errno.EACCES, "load")
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(bpf, "load", load)
    who, lacks = connect._possible(tables(), Identity(STARTS, executable_offsets=EXECUTABLE))
    assert (who, set(lacks)) == (Identity(STARTS), {"executable"})


def test_both_sides_know_the_same_ports_of_dhcp_clients() -> None:
    assert set(connect._DHCP_CLIENT) == DHCP_CLIENT


def test_only_sends_ask_who_spoke_first() -> None:
    who = Identity()
    for hook in connect.INITIATIONS.values():
        with_replies = connect.initiation(hook, tables(), who, replies=True)
        without = connect.initiation(hook, tables(), who, replies=False)
        assert (with_replies != without) == (hook in {bpf.SENDMSG4, bpf.SENDMSG6})


def test_a_program_is_short_enough_for_any_kernel() -> None:
    assert all(len(code) < 4096 * 8 for code in programs())
