"""Reads the headings of a document for people, and what stands below each: Markdown, AsciiDoc, reStructuredText."""

from __future__ import annotations

import re
from typing import NamedTuple

SUFFIXES = (".md", ".markdown", ".txt", ".rst", ".adoc", ".asciidoc", ".org")
# What people write for people, and no program can be sure to read.
_SEALED_FORMS = (".pdf", ".docx", ".doc", ".odt", ".rtf", ".html", ".htm", ".xlsx", ".xls", ".ods", ".pptx", ".odp")
_BARE_NAMES = re.compile(r"(?:readme|checklist|operations?|runbook|database|migrations?|install|upgrade)[a-z_-]*\Z")
_MARKED = re.compile(r" {0,3}(?:#{1,6}|={1,6}|\*{1,6})[ \t]+(\S.*?)[ \t#=]*\Z")
_UNDERLINE = re.compile(r" {0,3}(=|-|~|\^)\1{2,}[ \t]*\Z")
_FENCE = re.compile(r" {0,3}(?:`{3,}|~{3,}|-{4,}\Z|\.{4,}\Z)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s")


class Section(NamedTuple):
    """A heading, its line from 1, and the text below it up to the next heading."""

    title: str
    line: int
    body: str


def is_document(name: str) -> bool:
    """Tell whether a file is a document for people, by its name."""
    base = name.rpartition("/")[2].lower()
    return base.endswith(SUFFIXES) or _BARE_NAMES.match(base) is not None


def is_unreadable(name: str) -> bool:
    """Tell whether a file is a document of a form that is not read here, by its name."""
    return name.lower().endswith(_SEALED_FORMS)


def sections(text: str) -> list[Section]:
    """Return the headings in order, each with all text up to the next one; lines count from 1."""
    lines = text.splitlines()
    starts: list[tuple[str, int, int]] = []  # title, its line, where its text begins
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        before = lines[number - 1].strip() if number else ""
        if not fence and before and _is_underline(line, before) and _may_be_title(before):
            starts.append((before, number - 1, number + 1))
        elif mark and (not fence or mark[0].strip() == fence):
            fence = "" if fence else mark[0].strip()
        elif not fence and (found := _MARKED.match(line)) and not line.lstrip().startswith("* "):
            starts.append((found[1], number, number + 1))
    ends = [line for _, line, _ in starts[1:]] + [len(lines)][: len(starts)]
    return [
        Section(title, line + 1, "\n".join(lines[begin:end]).strip())
        for (title, line, begin), end in zip(starts, ends, strict=True)
    ]


def _is_underline(line: str, title: str) -> bool:
    return _UNDERLINE.match(line) is not None and len(line.strip()) >= min(len(title), 3)


def _may_be_title(line: str) -> bool:
    return not _ITEM.match(line + " ") and len(line) <= 120 and _MARKED.match(line) is None and "|" not in line
