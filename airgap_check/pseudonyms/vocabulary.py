"""The words that are nobody's secret: those that this tool itself says, and those that every such host has.

A text of ours may keep any word of ours. What a host or its owner wrote (a path, a command, a name) may keep only what
is standard. The names of public services that the product or a rule knows are told to everybody who reads this program;
that one of them was called is what an auditor wants to see.
"""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import rulebook
from airgap_check.domain import is_special
from airgap_check.pseudonyms.standard import ENDINGS, TOP_LEVEL
from airgap_check.pseudonyms.word import PIECE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.rule import RuleSet

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_WORD = re.compile(r"[^\W_]+")
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
_EXAMPLES = frozenset({"example.com", "example.net", "example.org"})


class Vocabulary(NamedTuple):
    """Whole texts of ours, the pieces and words of them, the names of public services, the digest of our rules."""

    texts: frozenset[str]
    pieces: frozenset[str]
    words: frozenset[str]
    names: frozenset[str]
    rules: str


@cache
def load() -> Vocabulary:
    """Read what this program and its shipped rules say."""
    rules = rulebook.load()
    texts = {*_literals(), *_said_by(rules), *_settings(), *(os.strerror(number) for number in errno.errorcode)}
    pieces: set[str] = set()
    words: set[str] = set()
    names: set[str] = set()
    for text in texts:
        for match in PIECE.finditer(text):
            piece = match[0].strip(".:-")
            name = piece.lower().rpartition("://")[2].partition("/")[0].partition(":")[0]
            if _NAME.fullmatch(name):
                if is_special(name) or _EXAMPLES & {name, name.partition(".")[2]}:
                    continue  # of an example, and what is in an example may be a name of somebody's
                if name.rpartition(".")[2] in TOP_LEVEL and name.rpartition(".")[2] not in ENDINGS:
                    names.add(name)
                    continue
            if "@" not in piece and "/" not in piece:
                pieces.add(piece)
                words.update(word.lower() for word in _WORD.findall(piece) if not word.isdigit())
    sentences = frozenset(text for text in texts if " " in text)
    return Vocabulary(sentences, frozenset(pieces), frozenset(words), frozenset(names), rules.sha256)


def _literals() -> Iterator[str]:
    """Yield every string of this program that is no docstring; the interpreter has compiled them already."""
    for folder, folders, files in os.walk(_PACKAGE):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                yield from _strings(_code(os.path.join(folder, name)))


def _code(path: str) -> CodeType:
    code = SourceFileLoader("airgap_check", path).get_code("airgap_check")
    assert isinstance(code, CodeType), path
    return code


def _strings(code: CodeType) -> Iterator[str]:
    # The first constant of a function is its docstring; those of modules and classes stand among the first two.
    begin = 1 if code.co_name != "<module>" else 0
    documented = (
        code.co_consts[begin : begin + 1] if code.co_names[:3] == ("__name__", "__module__", "__qualname__") else ()
    )
    for constant in code.co_consts[begin:]:
        if isinstance(constant, str) and constant not in documented and "\n\n" not in constant:
            yield constant
        elif isinstance(constant, tuple | frozenset):
            yield from (item for item in constant if isinstance(item, str))
        elif isinstance(constant, CodeType):
            yield from _strings(constant)


def _said_by(rules: RuleSet) -> Iterator[str]:
    for rule in rules.rules:
        file = rule.file
        yield from (rule.id, file.title, file.message, file.rationale.strip(), file.remediation.strip())
        for framework, controls in file.controls.items():
            yield framework
            yield from controls


def _settings() -> Iterator[str]:
    from airgap_check.objectos import catalogue

    loaded = catalogue.load()
    for name, variable in loaded.variables.items():
        yield name
        yield from (host for hosts in variable.implies.values() for host in hosts)
        yield from (absence.means for absence in (variable.unset, variable.empty) if absence)
