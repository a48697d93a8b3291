"""Reads the two formats in which systemd keeps environments: unit files, and the files that EnvironmentFile= names.

Sources: systemd.syntax(7), systemd.exec(5), systemd's extract-word.c and env-file.c. Specifiers (%i ...) in values stay
as typed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos.dotenv import Assignment

if TYPE_CHECKING:
    from collections.abc import Iterator


class Directive(NamedTuple):
    """One ``key=value`` of a unit file with its section and first line; continuation lines are joined by a space."""

    section: str
    key: str
    value: str
    line: int


def directives(text: str) -> Iterator[Directive]:
    """Iterate over the directives of a unit file."""
    section = ""
    for number, line in _logical_lines(text):
        if line.startswith("["):
            section = line[1:].partition("]")[0]
        else:
            key, equals, value = line.partition("=")
            if equals:
                yield Directive(section, key.strip(), value.strip(), number)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join lines that end in a backslash, as config_parse() does: comments between them are dropped."""
    parts: list[str] = []
    begin = 0
    for number, line in enumerate(_unix(text).split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith(("#", ";")) or (not stripped and not parts):
            continue
        if not parts:
            begin = number
        if line.endswith("\\") and not _is_escaped(line):
            parts.append(line[:-1])
            continue
        parts.append(line)
        yield begin, " ".join(parts).strip()
        parts = []
    if parts:
        yield begin, " ".join(parts).strip()


def _unix(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _is_escaped(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 0


_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_NUMBERED = re.compile(r"x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")


def words(value: str) -> list[str]:
    """Split a directive's value into items by the quoting rules; an unbalanced quote ends at the end of the value."""
    items: list[str] = []
    item: list[str] | None = None
    quote = ""
    position = 0
    while position < len(value):
        text = value[position]
        position += 1
        if text == "\\":
            text, position = _escape(value, position)
        elif quote and text == quote:
            quote = text = ""
        elif not quote and text in "\"'":
            quote, text = text, ""
        elif not quote and text.isspace():
            if item is not None:
                items.append("".join(item))
            item = None
            continue
        item = [] if item is None else item
        item.append(text)
    return items if item is None else [*items, "".join(item)]


def _escape(value: str, position: int) -> tuple[str, int]:
    """Decode what follows a backslash; an unknown sequence keeps its backslash."""
    character = value[position : position + 1]
    if character in _ESCAPES:
        return _ESCAPES[character], position + 1
    if character in {"\\", '"', "'"}:
        return character, position + 1
    numbered = _NUMBERED.match(value, position)
    if numbered:
        code = int(numbered[2], 8) if numbered[2] else int(numbered[1] or numbered[3] or numbered[4], 16)
        if code < 0x110000:
            return chr(code), numbered.end()
    return "\\", position


_SPECIFIERS = {
    "%": "%", "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc", "h": "/root",
    "T": "/tmp", "V": "/var/tmp",  # noqa: S108  (what the manual says they mean; nothing is made there)
    "u": "root", "U": "0", "g": "root", "G": "0",
}  # fmt: skip


def expanded(path: str, unit: str) -> tuple[str, bool]:
    """Return a path with the specifiers of the system manager replaced, and whether one of them was any text.

    That one becomes a ``*``: the instance of a template, the host's name. Source: systemd.unit(5), "Specifiers".
    """
    stem, dot, _ = unit.rpartition(".")
    prefix, at, instance = stem.partition("@")
    known = dict(_SPECIFIERS)
    if dot:
        known["p"] = prefix
    if instance or (dot and not at):
        known |= {"n": unit, "N": stem, "i": instance}
        if "-" not in instance and "\\" not in instance:
            known["I"] = instance
    any_text = any(letter not in known for letter in re.findall("%(.)", path))
    return re.sub("%(.)", lambda found: known.get(found[1], "*"), path), any_text


def env_arguments(command: str) -> list[str]:
    """Return the assignments of an ExecStart= that begins with env(1): ``/usr/bin/env A=1 -u B program``."""
    program, *rest = words(command) or [""]
    if program.lstrip("@-:+!|").rpartition("/")[2] != "env":
        return []
    found = []
    while rest and (rest[0].startswith("-") or "=" in rest[0]):
        word = rest.pop(0)
        if word in {"-u", "-C", "--unset", "--chdir"}:
            del rest[:1]
        elif word in {"-S", "--split-string"} and rest:
            rest[:1] = rest[0].split()
        elif not word.startswith("-"):
            found.append(word)
    return found


_ENV_LINE = re.compile(r"[ \t\r]*+([^\n=#;][^\n=]*+)=[ \t\r]*+")
_ENV_VALUE = re.compile(
    r"""(?:'([^']*+)(?:'|\Z)|"((?:\\.|[^"\\])*+)(?:"|\\?\Z)|((?:\\.|[^\\\n]|\\\Z)++))[ \t\r]*+""", re.DOTALL
)


def environment_file(text: str) -> list[Assignment]:
    """Return the assignments of a file that EnvironmentFile= names: shell-like quoting, no expansion."""
    text = _unix(text)
    found = []
    position, line = 0, 1
    while position < len(text):
        start = _ENV_LINE.match(text, position)
        end = start.end() if start else position
        if start:
            value, end = _environment_value(text, end)
            found.append(Assignment(start[1].strip(), value, line))
        following = text.find("\n", end) + 1 or len(text) + 1
        line += text.count("\n", position, following)
        position = following
    return found


def _environment_value(text: str, position: int) -> tuple[str, int]:
    """Concatenate quoted pieces and a plain rest, as parse_env_file_internal() does."""
    pieces: list[str] = []
    while position < len(text) and text[position] != "\n":
        match = _ENV_VALUE.match(text, position)
        assert match
        single, double, plain = match.groups()
        if single is not None:
            pieces.append(single)
        elif double is not None:
            pieces.append(re.sub(r'\\(["\\`$\n])', lambda found: found[1].strip("\n"), double))
        elif plain is not None:
            bare = plain.rstrip(" \t\r")
            plain = plain[: len(bare) + 1] if bare.endswith("\\") and not _is_escaped(bare) else bare
            pieces.append(re.sub(r"\\(.)", lambda found: found[1].strip("\n"), plain, flags=re.DOTALL))
        position = match.end()
    return "".join(pieces), position
