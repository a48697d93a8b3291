"""A report for who hears it, or reads it with the fingers: one statement a line, words instead of signs and columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.account import Advice, Grid, Heading, Headline, Labelled, Line, RuleHeading, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SIGNS = (
    (re.compile(r"^\.\.\. and "), ""),
    (re.compile(r"  x([0-9]+)(?=$|  \[waived\])"), r", \1 times"),
    (re.compile(r"  \[waived\] "), ". Waived by "),
    (re.compile(r" -> "), " to "),
    (re.compile(r"^\? "), "somebody "),
    (re.compile(r" {2,}"), " "),
)


def tell(statements: Iterable[Statement]) -> str:
    """Write each statement as one line of words, however long: whoever reads it breaks lines where it suits them."""
    return "".join(f"{line}\n" for statement in statements for line in _lines(statement))


def _lines(statement: Statement) -> Iterator[str]:
    match statement:
        case Headline(verdict, claim):
            yield f"Verdict: {wording.VERDICTS[verdict].lower()}. Claim: {claim}"
        case Heading(title):
            yield ""
            yield title
        case RuleHeading(severity, rule, title):
            yield ""
            yield f"Rule {printable(rule)}, severity {severity}: {printable(title)}"
        case Line(label, line):
            yield f"{_label(label)}: {_words(line)}"
        case Labelled(label, line):
            words = line.replace(" = ", " is ") if label == "because" else line
            yield f"{_label(label)}: {printable(words)}"
        case Advice(label, text):
            first, *rest = [printable(part).strip() for part in text.splitlines()] or [""]
            yield f"{_label(label)}: {first}"
            yield from rest
        case Grid():
            yield from _rows(statement)


def _rows(grid: Grid) -> Iterator[str]:
    for row in grid.rows:
        if row.spoken:
            label, line = row.spoken
            yield f"{_label(label)}: {printable(line)}"


def _label(words: str) -> str:
    words = printable(words)
    return words[:1].upper() + words[1:]


def _words(line: str) -> str:
    line = printable(line)
    for sign, words in _SIGNS:
        line = sign.sub(words, line)
    return line
