"""Reads `.env*` files as the runtime's dotenv-flow does: which files, in which order, and what a line means.

Source: dotenv-flow 4 (listFiles, pattern ``.env[.node_env][.local]``) and dotenv 16 (LINE); the runtime's `start` and
`serve` fall back to *production* and `dev` says *development*.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Assignment(NamedTuple):
    """One variable as a file assigns it, with the line where it begins."""

    name: str
    value: str
    line: int


def file_names(mode: str) -> list[str]:
    """Return the names of the files that are read in a mode (NODE_ENV); a later one overrides an earlier one."""
    names = [".env.defaults", ".env"]
    if mode != "test":
        names.append(".env.local")
    if mode and "/" not in mode and "\0" not in mode:
        names += [f".env.{mode}", f".env.{mode}.local"]
    return names


_START = re.compile(r"[^\S\n]*+(?:export[^\S\n]++)?([\w.-]++)(?:[^\S\n]*+=|:(?=\s))")
_QUOTED = re.compile(
    r"""\s*+(?:'((?:\\'|[^'])*+)'|"((?:\\"|[^"])*+)"|`((?:\\`|[^`])*+)`)(?=[^\S\n]*+(?:#[^\n]*+)?(?:\n|\Z))"""
)
_PLAIN = re.compile(r"[^#\n]*+")


def parse(text: str) -> list[Assignment]:
    """Return the assignments of a file in order; lines that dotenv does not understand are skipped, as it does."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    found = []
    line = 1
    position = 0
    while position < len(text):
        start = _START.match(text, position)
        if start:
            value, end = _value(text, start.end())
            found.append(Assignment(start[1], value, line))
        else:
            end = position
        next_line = text.find("\n", end) + 1 or len(text) + 1
        line += text.count("\n", position, next_line)
        position = next_line
    return found


def _value(text: str, position: int) -> tuple[str, int]:
    """Return a value and where it ends: quoted ones may span lines, an unquoted one ends at a ``#``."""
    quoted = _QUOTED.match(text, position)
    if quoted:
        single, double, back = quoted.groups()
        if double is not None:
            return double.replace("\\n", "\n").replace("\\r", "\r"), quoted.end()
        return (back if single is None else single), quoted.end()
    plain = _PLAIN.match(text, position)
    assert plain
    value = plain[0].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"`":
        value = value[1:-1]
    return value, plain.end()
