"""Proves over the bytecode of a program what it returns, whichever way it takes."""

from __future__ import annotations

from typing import NamedTuple

from airgap_check.kernel.assembler import CALL, EXIT, JUMP, LOAD_CONSTANT, MOVE, Instruction, decode

_WRITES = frozenset({0, 1, 4, 7})  # the classes of instructions that write the register they name: LD, LDX, ALU, ALU64
_STX, _JUMPS = 3, frozenset({5, 6})
_ATOMIC, _FETCH, _EXCHANGE = 0xC0, 0x01, 0xF0
_FUNCTION = 1  # in a call: another piece of this program, not a helper


class UnprovenError(AssertionError):
    """The proof does not go through."""


class _State(NamedTuple):
    at: int
    answer: int | None  # what R0 holds, None when it may be anything


def answers(code: bytes) -> set[int]:
    """Return everything that a program can return; raises UnprovenError when that depends on anything at run time."""
    program = decode(code)
    inside = _second_halves(program)
    found: set[int] = set()
    exits: set[int] = set()
    todo, seen = [_State(0, None)], set[_State]()
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        if not 0 <= state.at < len(program) or state.at in inside:
            raise UnprovenError(f"the program goes on at {state.at}, where there is no instruction")
        if program[state.at].opcode == EXIT:
            if state.answer is None:
                raise UnprovenError(f"the exit at {state.at} returns what nobody can foretell")
            found.add(state.answer)
            exits.add(state.at)
            continue
        todo += _after(state, program[state.at])
    unreached = {at for at, each in enumerate(program) if each.opcode == EXIT and at not in inside} - exits
    if not found or unreached:
        raise UnprovenError(f"no way leads to the exits at {sorted(unreached)}")
    return found


def _second_halves(program: list[Instruction]) -> set[int]:
    inside: set[int] = set()
    for at, each in enumerate(program):
        if each.opcode == LOAD_CONSTANT and at not in inside:
            inside.add(at + 1)
    return inside


def _after(state: _State, each: Instruction) -> list[_State]:
    following = _State(state.at + (2 if each.opcode == LOAD_CONSTANT else 1), _answer(state, each))
    kind = each.opcode & 7
    if kind not in _JUMPS or each.opcode == CALL:
        return [following]
    branch = following._replace(at=following.at + each.offset)
    return [branch] if each.opcode == JUMP else [branch, following]


def _answer(state: _State, each: Instruction) -> int | None:
    kind = each.opcode & 7
    if each.opcode == CALL:
        if each.source == _FUNCTION:
            raise UnprovenError("functions of the program itself are not followed")
        return None
    if kind in _WRITES and each.to == 0:
        return each.immediate if each.opcode == MOVE else None
    if kind == _STX and each.opcode & 0xE0 == _ATOMIC and each.immediate & _FETCH:
        return None if each.source == 0 or each.immediate & _EXCHANGE == _EXCHANGE else state.answer
    return state.answer
