"""Reads `.env*` files as the runtime's dotenv-flow does: which files, in which order, and what a line means.

Source: dotenv-flow 4 (listFiles, pattern ``.env[.node_env][.local]``) and dotenv 16 (LINE); the runtime's `start` and
`serve` fall back to *production* and `dev` says *development*.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from airgap_check.objectos.settings import JS_BLANK


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


_BLANK = rf"[{re.escape(JS_BLANK)}]"
_BLANK_IN_LINE = rf"(?![\n\u2028\u2029]){_BLANK}"
# A line ends at U+2028 and U+2029 too, as ECMAScript's ^ and $ have it; but not inside a value without quotes.
_LINE_END = re.compile("[\n\u2028\u2029]")
_START = re.compile(rf"(?:{_BLANK_IN_LINE})*+(?:export{_BLANK}++)?([A-Za-z0-9_.-]++)(?:{_BLANK}*+=|:{_BLANK})")
_OPENING = re.compile(rf"{_BLANK}*+(['\"`])")
_AFTER_QUOTED = re.compile(rf"(?:{_BLANK_IN_LINE})*+(?:[#\n\u2028\u2029]|\Z)")
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
            found.append(Assignment(start[1], value, line + text.count("\n", position, start.start(1))))
        else:
            end = position
        line_end = _LINE_END.search(text, end)
        next_line = line_end.end() if line_end else len(text)
        line += text.count("\n", position, next_line)
        position = next_line
    return found


def _value(text: str, position: int) -> tuple[str, int]:
    """Return a value and where it ends: quoted ones may span lines, an unquoted one ends at a ``#``."""
    opening = _OPENING.match(text, position)
    closing = _closing(text, opening.end(), opening[1]) if opening else None
    if opening and closing is not None:
        value, end, quote = text[opening.end() : closing], closing + 1, opening[1]
    else:
        plain = _PLAIN.match(text, position)
        assert plain
        value, end = plain[0].strip(JS_BLANK), plain.end()
        quote = value[:1]
        if len(value) > 1 and quote == value[-1] and quote in "'\"`":
            value = value[1:-1]
    if quote == '"':
        value = value.replace("\\n", "\n").replace("\\r", "\r")
    return value, end


def _closing(text: str, position: int, quote: str) -> int | None:
    """Return where the closing quote is: the first one that no backslash precedes, else the last one that ends a line.

    That is how dotenv's regular expression backtracks.
    """
    escaped = []
    while (position := text.find(quote, position)) >= 0:
        if text[position - 1] != "\\":
            break
        escaped.append(position)
        position += 1
    candidates = [*escaped, position] if position >= 0 else escaped
    return next((one for one in reversed(candidates) if _AFTER_QUOTED.match(text, one + 1)), None)
