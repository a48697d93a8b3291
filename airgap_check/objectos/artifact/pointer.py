"""Places inside a JSON document, written as JSON paths only when somebody asks."""

from __future__ import annotations

import re

from airgap_check.redact import printable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_NAME, _LENGTH = 64, 1024


class Node:
    """A place: the ``key`` (a name or an index) below its parent. That of the root is what the path begins with."""

    __slots__ = ("key", "parent")

    def __init__(self, parent: Node | None, key: str | int) -> None:
        """Stand below a parent."""
        self.parent, self.key = parent, key

    @property
    def parent_key(self) -> str | int | None:
        """Return the key of the parent."""
        return self.parent.key if self.parent else None

    @property
    def name(self) -> str:
        """Return the name that it stands under: its own, or that of the list that it is in."""
        here: Node | None = self
        while here is not None and not isinstance(here.key, str):
            here = here.parent
        return str(here.key) if here else ""

    def names_below(self, above: Node) -> list[str]:
        """Return the names on the way from a place above to this one, without the indexes."""
        names: list[str] = []
        here: Node | None = self
        while here is not None and here is not above:
            if isinstance(here.key, str):
                names.append(here.key)
            here = here.parent
        return names[::-1]


def write(node: Node) -> str:
    """Write a place as a JSON path, each name cut at 64 characters and the whole at 1024."""
    parts: list[str] = []
    here: Node | None = node
    while here is not None:
        parts.append(_step(here.key, is_root=here.parent is None))
        here = here.parent
    text = "".join(reversed(parts))
    return text if len(text) <= _LENGTH else text[:_LENGTH] + "..."


def _step(key: str | int, *, is_root: bool) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if is_root:
        return printable(key)
    if _PLAIN.match(key):
        return f".{key}"
    shown = printable(key[:_NAME]).replace("\\", "\\\\").replace('"', '\\"')
    return f'["{shown}"]'
