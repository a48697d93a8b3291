"""Fills in the variables of a compose file: ``$A``, ``${A}``, ``${A:-x}``, ``${A-x}``, ``${A:?m}``, ``${A:+x}``.

Source: the Compose specification, "Interpolation". A default may itself hold variables; what nothing sets is blank.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_DEPTH = 16
_LENGTH = 1 << 16  # characters of one value; a default may repeat a variable, and that one a long text


class Filled(NamedTuple):
    """A text with its variables filled in.

    ``names`` are all that stand there, ``blank`` those that nothing sets and that have no default, ``required`` those
    without which compose refuses to start. ``fault`` says why the text is no template, and is empty when it is one.
    """

    text: str
    names: frozenset[str] = frozenset()
    blank: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    fault: str = ""


class _FaultError(Exception):
    """The text is no template."""


class _Filling:
    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.names: set[str] = set()
        self.blank: set[str] = set()
        self.required: set[str] = set()

    def fill(self, text: str, depth: int = 0) -> str:
        if depth > _DEPTH:
            raise _FaultError(f"variables nested deeper than {_DEPTH} levels")
        pieces: list[str] = []
        position = length = 0
        while (dollar := text.find("$", position)) >= 0:
            pieces.append(text[position:dollar])
            piece, position = self._one(text, dollar + 1, depth)
            pieces.append(piece)
            length += len(piece)
            if length > _LENGTH:
                raise _FaultError(f"more than {_LENGTH} characters with its variables filled in")
        return "".join(pieces) + text[position:]

    def _one(self, text: str, begin: int, depth: int) -> tuple[str, int]:
        """Return what stands for the variable behind a dollar sign, and where the text goes on."""
        if text.startswith("$", begin):
            return "$", begin + 1
        braced = text.startswith("{", begin)
        name = _NAME.match(text, begin + braced)
        if not name:
            raise _FaultError("a $ without a variable; a dollar sign itself is written $$")
        if not braced:
            return self._value(name[0], "", "", depth), name.end()
        end = _closing(text, name.end())
        operator = _OPERATOR.match(text, name.end(), end)
        if not operator and name.end() != end:
            raise _FaultError(f"no such form: ${{{name[0]}{text[name.end() : name.end() + 20]}")
        word = operator[0] if operator else ""
        return self._value(name[0], word, text[operator.end() : end] if operator else "", depth), end + 1

    def _value(self, name: str, operator: str, argument: str, depth: int) -> str:
        self.names.add(name)
        value = self.values.get(name)
        present = value is not None and (value != "" or not operator.startswith(":"))
        action = operator[-1:]
        if action == "+":
            return self.fill(argument, depth + 1) if present else ""
        if present:
            assert value is not None
            return value
        if action == "-":
            return self.fill(argument, depth + 1)
        (self.required if action == "?" else self.blank).add(name)
        return ""


def fill(text: str, values: Mapping[str, str]) -> Filled:
    """Fill in the variables of a text; one that is no template comes back as it stands, with the fault."""
    filling = _Filling(values)
    try:
        filled = filling.fill(text)
    except _FaultError as fault:
        return Filled(text, frozenset(filling.names), fault=str(fault))
    return Filled(filled, frozenset(filling.names), frozenset(filling.blank), frozenset(filling.required))


def _closing(text: str, position: int) -> int:
    """Return where the brace that was opened before ``position`` is closed; inner ``${...}`` have their own."""
    depth = 0
    while position < len(text):
        if text.startswith("$$", position):
            position += 2
            continue
        if text.startswith("${", position):
            depth += 1
            position += 2
            continue
        if text[position] == "}":
            if not depth:
                return position
            depth -= 1
        position += 1
    raise _FaultError("a ${ that is never closed")
