"""Recognises guidance on the database: what to create, who may do what, how a version moves to the next.

By its name (`DATABASE.md`, `migration-notes.txt`, any `.sql`) and something about a database in it, or by a heading
that begins with the database in a document with any name.
"""

from __future__ import annotations

import re

from airgap_check.release.document import is_document, sections

_NAME = re.compile(r"database|migrat|schema|postgres|mysql|mariadb|mongo|(?:\A|[^a-z])db(?:[^a-z]|\Z)")
_ABOUT = re.compile(
    r"\b(?:databases?|migrations?|schemas?|postgres\w*|mysql|mariadb|mongo\w*|sqlite|libsql|tables?)\b", re.IGNORECASE
)
_TITLE = re.compile(
    r"[\W\d_]*(?:(?:the|your|business|core|application|prepar\w+|creat\w+|set\w* up|configur\w+)\s+){0,3}"
    r"(?:databases?|migrations?|schemas?|postgres\w*|mysql|mariadb|mongo\w*)\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(r"\b(?:create|alter|insert|update|grant|drop|select)\b", re.IGNORECASE)
_FEWEST_WORDS = 5


def is_database_guide(name: str, text: str) -> bool:
    """Tell whether a file guides through the database's side of an installation."""
    base = _base(name)
    if base.endswith(".sql"):
        return _STATEMENT.search(text) is not None
    if not is_document(name):
        return False
    if _NAME.search(base) and _ABOUT.search(text) and _says(text):
        return True
    return any(_TITLE.match(one.title) and _says(one.body) for one in sections(text))


def is_called(name: str) -> bool:
    """Tell whether a file of any kind, be it one that cannot be read here, is called after the database."""
    return _NAME.search(_base(name)) is not None


def _base(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _says(text: str) -> bool:
    return len(re.findall(r"\w{2,}", text)) >= _FEWEST_WORDS
