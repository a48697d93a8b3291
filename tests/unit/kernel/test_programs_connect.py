"""What the programs that see connect(2) and sendto(2) return, proven over their bytecode, and how they are built."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from airgap_check.kernel import bpf
from airgap_check.kernel.assembler import CALL, EXIT, MOVE, R0, R1, R6, Assembler, Helper, decode, encode
from airgap_check.kernel.btf import StartOffsets
from airgap_check.kernel.programs import connect
from airgap_check.kernel.programs.identity import Identity, PidNamespace
from tests.unit.kernel.bytecode_proof import UnprovenError, answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.kernel.programs.tables import Tables

NAMES = ("networks", "ports", "uses_made", "counters", "peers", "seen")
STARTS, NAMESPACE = StartOffsets(1576, 1744), PidNamespace(4, 4026532281)


def tables() -> Tables:
    maps = {name: SimpleNamespace(fd=10 + index) for index, name in enumerate(NAMES)}
    return cast("Tables", SimpleNamespace(**maps, events=SimpleNamespace(map=SimpleNamespace(fd=9))))


def identities() -> Iterator[Identity]:
    for starts, namespace, command, pid in product((None, STARTS), (None, NAMESPACE), (True, False), (True, False)):
        yield Identity(starts, namespace, command=command, pid=pid)


def programs() -> Iterator[bytes]:
    for hook, who, replies in product(connect.INITIATIONS.values(), identities(), (True, False)):
        yield connect.initiation(hook, tables(), who, replies=replies)
    for hook in connect.RECEPTIONS.values():
        yield connect.reception(hook, tables())


def helpers(code: bytes) -> set[int]:
    return {each.immediate for each in decode(code) if each.opcode == CALL}


def test_every_exit_of_every_program_allows() -> None:
    proven = [answers(code) for code in programs()]
    assert len(proven) == 4 * 16 * 2 + 2
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


def test_only_sends_ask_who_spoke_first() -> None:
    who = Identity()
    for hook in connect.INITIATIONS.values():
        with_replies = connect.initiation(hook, tables(), who, replies=True)
        without = connect.initiation(hook, tables(), who, replies=False)
        assert (with_replies != without) == (hook in {bpf.SENDMSG4, bpf.SENDMSG6})


def test_a_program_is_short_enough_for_any_kernel() -> None:
    assert all(len(code) < 4096 * 8 for code in programs())
