"""Knows what an operations checklist must cover, and finds it in documents: upgrade, rollback, backup, diagnostics.

A topic is covered by a heading that names it with something below, or by a document of its own that is called after it.
A checklist without such headings is read as a list: then each of its lines counts by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.release.document import is_document, sections

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOPICS = {
    "upgrade": r"upgrad\w*|updat(?:e|es|ing)",
    "rollback": r"roll(?:s|ed|ing)?[ -]?backs?|revert\w*|downgrad\w*",
    "backup": r"back(?:s|ed|ing)?[ -]?ups?",
    "diagnostics": r"diagnos\w*|troubleshoot\w*|support bundles?|health[ -]?checks?",
}
TOPICS: Mapping[str, re.Pattern[str]] = {
    topic: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for topic, words in _TOPICS.items()
}
_NAME = re.compile(
    rf"checklist|operations?\b|runbook|playbook|\bops\b|(?:\A|\W)(?:{'|'.join(_TOPICS.values())})(?:\W|\Z)"
)
_ENOUGH = 2  # topics among the headings make a checklist of a document with any name


def is_named(name: str) -> bool:
    """Tell whether a file says by its name that it is the checklist, or a part of it."""
    return is_document(name) and is_called(name)


def is_called(name: str) -> bool:
    """Tell it of a file of any kind, be it one that cannot be read here."""
    return _NAME.search(_base(name)) is not None


def covered(name: str, text: str) -> set[str]:
    """Return the topics that a document covers, one that its name is about among them."""
    return _covered(text) | {topic for topic, words in TOPICS.items() if words.search(_base(name)) and _says(text)}


def _base(name: str) -> str:
    return name.rpartition("/")[2].lower().replace("_", "-")


def _covered(text: str) -> set[str]:
    found = sections(text)
    named = {topic: [one for one in found if words.search(one.title)] for topic, words in TOPICS.items()}
    if sum(map(bool, named.values())) >= _ENOUGH:
        return {topic for topic, matching in named.items() if any(_says(one.body) for one in matching)}
    return {topic for topic, words in TOPICS.items() if any(words.search(line) for line in _lines(text))}


def is_checklist(name: str, text: str) -> bool:
    """Tell whether a document is one by its headings, whatever its name."""
    titles = [one.title for one in sections(text)]
    about = sum(any(words.search(title) for title in titles) for words in TOPICS.values())
    return is_document(name) and about >= _ENOUGH


def missing(texts: Mapping[str, str]) -> list[str]:
    """Return the topics that none of the checklists covers, in the order in which people read them."""
    known = set().union(*(covered(name, text) for name, text in texts.items()))
    return [topic for topic in TOPICS if topic not in known]


def _says(body: str) -> bool:
    """Tell whether anything stands below a heading that is more than a promise."""
    return len(re.findall(r"\w{2,}", body)) >= 3 and not re.fullmatch(
        r"\W*(?:todo|tbd|tba)\b.*", body, re.IGNORECASE | re.DOTALL
    )


def _lines(text: str) -> list[str]:
    """Return the lines with words to read, without the title of the whole."""
    return [line for line in text.splitlines() if not line.lstrip().startswith("# ") and _says(line)]
