"""Reads Dockerfiles: what the last stage is built from, what environment it bakes in, and what a build would fetch.

Source: the Dockerfile reference (directives, line continuation, ARG before FROM, heredocs, ENV in both forms).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.deployment import image_reference
from airgap_check.deployment.interpolation import fill
from airgap_check.deployment.service import Remark, Service, Variable
from airgap_check.objectos.unit_file import words

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)\Z", re.DOTALL)
_ESCAPE = re.compile(r"#\s*escape\s*=\s*([`\\])", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_SYNTAX = re.compile(r"#\s*syntax\s*=\s*(\S+)", re.IGNORECASE)
_MOUNTED = re.compile(r"--mount=\S*?\bfrom=([^,\s]+)")
_URL = re.compile(r"(?:https?|ftp|git|ssh)://|git@", re.IGNORECASE)
# What a step runs that dials out to bring something in.
_FETCHES = re.compile(
    r"(?<![\w/.-])(?:"
    r"curl|wget|aria2c|"
    r"git\s+(?:clone|fetch|pull|submodule)|"
    r"(?:npm|pnpm)\s+(?:[\w=-]+\s+){0,8}?(?:install|i|ci|add|update|exec)|npx|corepack|yarn(?=\s*(?:$|[;&|\n]|install|add|--))|"
    r"bun\s+(?:install|add)|"
    r"(?:python3?\s+-m\s+)?pip[\d.]*\s+(?:install|download)|uv\s+(?:pip|sync|add)|poetry\s+install|"
    r"apt(?:-get)?\s+(?:-\S+\s+){0,8}(?:update|install|upgrade|dist-upgrade)|apk\s+(?:-\S+\s+){0,8}(?:add|update|upgrade)|"
    r"(?:yum|dnf|microdnf|zypper)\s+(?:-\S+\s+){0,8}(?:install|update|upgrade|in)|"
    r"go\s+(?:get|install|mod\s+download)|cargo\s+(?:install|fetch)|gem\s+install|bundle\s+install|composer\s+install|"
    r"mvn|gradle|dotnet\s+restore"
    r")(?![\w.-])",
    re.MULTILINE,
)
_OFFLINE = re.compile(r"--offline|--no-index|--network[= ]none")


class Instruction(NamedTuple):
    """One instruction, its continuation lines joined, and its first line."""

    word: str
    rest: str
    line: int


class Built(NamedTuple):
    """What a Dockerfile comes to: the image as a service, the images that it starts from, and what it fetches."""

    service: Service
    bases: tuple[Remark, ...]
    fetches: tuple[Remark, ...]


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile; what a heredoc holds belongs to its instruction."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    escape = next((found[1] for line in lines[:3] if (found := _ESCAPE.match(line))), "\\")
    position = 0
    while position < len(lines):
        begin = position
        parts: list[str] = []
        while position < len(lines):
            line = lines[position]
            position += 1
            if not line.strip() or line.lstrip().startswith("#"):
                if not parts:
                    break
                continue
            if line.rstrip().endswith(escape):
                parts.append(line.rstrip()[:-1])
                continue
            parts.append(line)
            break
        found = _INSTRUCTION.match(" ".join(parts).strip() + " ")
        if not found:
            continue
        rest = found[2].rstrip()
        for heredoc in _HEREDOC.finditer(rest) if found[1].upper() in {"RUN", "COPY", "ADD"} else ():
            inner = []
            while position < len(lines) and lines[position].strip() != heredoc[2]:
                inner.append(lines[position])
                position += 1
            position += 1
            rest = "\n".join([rest, *inner])
        yield Instruction(found[1].upper(), rest, begin + 1)


class _Stage:
    """A stage while it is read; a stage that starts from another one has its variables."""

    def __init__(self, line: int, variables: dict[str, Variable] | None = None) -> None:
        self.line = line
        self.arguments: dict[str, str] = {}
        self.variables = dict(variables or {})
        self.command: tuple[str, ...] = ()
        self.directory: str | None = None


def read(path: str, text: str) -> Built | None:
    """Read a Dockerfile; None when it has no FROM, and so is none."""
    given: dict[str, str] = {}  # ARG before the first FROM
    stages: dict[str, _Stage] = {}
    bases: list[Remark] = []
    fetches: list[Remark] = []
    last: _Stage | None = None
    if front_end := _front_end(text):
        fetches.append(
            Remark(
                f"the image of its syntax, {front_end[1]}", path, front_end.string.count("\n", 0, front_end.start()) + 1
            )
        )
    for one in instructions(text):
        if one.word == "FROM":
            base, alias = _from(one.rest, given)
            parent = stages.get(base.lower())
            last = _Stage(one.line, parent.variables if parent else None)
            if parent is None and base != "scratch":
                bases.append(Remark(base, path, one.line))
            stages[alias.lower() or str(len(stages))] = last
        elif last is None:
            if one.word == "ARG":
                given |= {name: text or "" for name, text in _pairs(one.rest)}
        else:
            _apply(one, last, path, given)
            fetches += _fetches(one, path)
            bases += _copied(one, stages, path)
    if last is None:
        return None
    service = Service(
        kind="dockerfile", name="last", image=None, pull_policy=None, builds=True, path=path, line=last.line,
        command=last.command, directory=last.directory, variables=tuple(last.variables.values()), complete=False,
    )  # fmt: skip
    return Built(service, tuple(dict.fromkeys(bases)), tuple(fetches))


def _front_end(text: str) -> re.Match[str] | None:
    """Find the directive that has BuildKit pull an image to read the file by; only comments may stand before it."""
    position = 0
    while text.startswith("#", position):
        if found := _SYNTAX.match(text, position):
            return found
        position = text.find("\n", position) + 1 or len(text)
    return None


def _from(rest: str, given: dict[str, str]) -> tuple[str, str]:
    """Return the base of a stage and its name."""
    parts = rest.split()
    begin = next((index for index, word in enumerate(parts) if not word.startswith("--")), len(parts))
    parts = parts[begin:]
    base = fill(parts[0], given).text if parts else "?"
    return base, parts[2] if len(parts) > 2 and parts[1].upper() == "AS" else ""


def _copied(one: Instruction, stages: dict[str, _Stage], path: str) -> Iterator[Remark]:
    """Yield the images that ``COPY --from=`` and ``RUN --mount=from=`` name, when they are no stages."""
    named: list[str] = []
    if one.word in {"COPY", "ADD"} and (found := re.match(r"(?:--\S+\s+)*--from=(\S+)", one.rest)):
        named = [found[1]]
    elif one.word == "RUN":
        named = _MOUNTED.findall(one.rest)
    for image in named:
        if image.lower() not in stages and not image.isdecimal() and image_reference.parse(image):
            yield Remark(image, path, one.line)


def _apply(one: Instruction, stage: _Stage, path: str, given: dict[str, str]) -> None:
    if one.word == "ARG":
        for name, text in _pairs(one.rest):
            stage.arguments[name] = given.get(name, "") if text is None else text
    elif one.word == "ENV":
        known = {**stage.arguments, **{name: held.text or "" for name, held in stage.variables.items()}}
        for name, text in _pairs(one.rest):
            value = fill(text or "", known).text
            inline = "$" not in (text or "")
            stage.variables[name] = Variable(name, value, path, one.line, inline=inline)
    elif one.word in {"CMD", "ENTRYPOINT"}:
        stage.command = tuple(word.strip('",[]') for word in re.split(r"[,\s]+", one.rest) if word.strip('",[]'))
    elif one.word == "WORKDIR":
        stage.directory = one.rest.strip()


def _pairs(rest: str) -> list[tuple[str, str | None]]:
    """Read ``A=1 B="x y"``, and the old form ``A the rest``; a name alone has no value."""
    first = rest.split(None, 1)
    if first and "=" not in first[0]:
        return [(first[0], first[1].strip() if len(first) > 1 else None)]
    pairs: list[tuple[str, str | None]] = []
    for word in words(rest):
        name, equals, text = word.partition("=")
        pairs.append((name, text if equals else None))
    return pairs


def _fetches(one: Instruction, path: str) -> Iterator[Remark]:
    """Yield what a step would fetch: an ADD of a URL, a RUN of a program that downloads."""
    if one.word == "ADD":
        yield from (Remark(f"ADD {word}", path, one.line) for word in one.rest.split() if _URL.match(word))
    elif one.word == "RUN":
        text = re.sub(r'[\[\]",]+', " ", one.rest) if one.rest.startswith("[") else one.rest  # the form of a JSON list
        found = dict.fromkeys(" ".join(match[0].split()) for match in _FETCHES.finditer(text))
        if found and not _OFFLINE.search(text):
            yield Remark(f"RUN {', '.join(found)}", path, one.line)
