"""Reads `.env` and `env_file` as compose does, which is neither what dotenv does nor what systemd does.

Source: Docker's "Syntax for environment files in Docker Compose". Values without quotes and in double quotes have
their variables filled in, single quotes keep them. A name without ``=`` is taken from whoever starts compose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.deployment.interpolation import fill

if TYPE_CHECKING:
    from collections.abc import Mapping

_START = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=:#'\"]+)[ \t]*(?:[=:][ \t]*|(?=[\r\n]|\Z))")
_SINGLE = re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$$"}


class Assignment(NamedTuple):
    """One variable of a file and its line; ``text`` is None where only a name stands there."""

    name: str
    text: str | None
    line: int


def parse(text: str, values: Mapping[str, str], *, raw: bool = False) -> list[Assignment]:
    """Return the assignments of a file in order; ``raw`` keeps quotes and variables, as ``docker run --env-file`` does.

    ``values`` fill in variables, after those that the file has assigned before.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    known = dict(values)
    found: list[Assignment] = []
    position, line = 0, 1
    while position < len(text):
        start = _START.match(text, position)
        end = position
        if start:
            value: str | None = None
            end = start.end()
            if start[0].rstrip(" \t").endswith(("=", ":")):
                value, end = _raw(text, end) if raw else _value(text, end, known)
                known[start[1]] = value
            found.append(Assignment(start[1], value, line))
        following = text.find("\n", end) + 1 or len(text) + 1
        line += text.count("\n", position, following)
        position = following
    return found


def _raw(text: str, begin: int) -> tuple[str, int]:
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    return text[begin:end], end


def _value(text: str, begin: int, known: Mapping[str, str]) -> tuple[str, int]:
    """Return a value and where it ends; quoted ones may span lines."""
    single = _SINGLE.match(text, begin)
    if single:
        return single[1].replace("\\'", "'"), single.end()
    double = _DOUBLE.match(text, begin)
    if double:
        plain = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), double[1], flags=re.DOTALL)
        return fill(plain, known).text, double.end()
    bare, end = _raw(text, begin)
    bare = "" if bare.startswith("#") else re.split(r"\s#", bare, maxsplit=1)[0]
    return fill(bare.strip(), known).text, end
