"""YAML and JSON that others wrote, as a tree in which every node knows its line: compose files, Kubernetes manifests.

Unlike `airgap_check.yamlfile` it takes what such files use: several documents, anchors, aliases, merge keys, tags. No
tag is ever executed. An alias shares its node, and what a tree would come to with every alias written out is bounded,
so that a file of a few lines cannot become billions of nodes (billion laughs).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 64
_NODES = 400_000  # of one file with its aliases written out; 8 MiB of ordinary manifests have fewer
_DOCUMENTS = 20_000
_FAULTS = 100
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What YAML 1.1 (Kubernetes) and the core schema (compose) make of a plain word: nothing, or no text.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
_NUMBER = re.compile(
    r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|0x[\da-fA-F]+|0b[01]+|0o?[0-7]+|[-+]?\.(?:inf|nan)"
)
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


class Node:
    """A mapping (``fields``), a list (``items``) or a scalar (``text``), and where it stands.

    ``plain`` tells that a scalar stands there without quotes. ``size`` counts it and all below, aliases written out.
    ``written`` is what stood there before something was put in its place. Lines and columns count from 1; a mapping or
    list that has a key stands where its key does.
    """

    __slots__ = ("column", "fields", "items", "line", "path", "plain", "size", "tag", "text", "written")

    def __init__(
        self,
        path: str,
        line: int,
        column: int,
        *,
        text: str | None = None,
        plain: bool = False,
        items: list[Node] | None = None,
        fields: dict[str, Node] | None = None,
        tag: str | None = None,
        written: str | None = None,
    ) -> None:
        """Take the parts; exactly one of text, items and fields is given."""
        self.path, self.line, self.column, self.plain, self.tag = path, line, column, plain, tag
        self.text, self.items, self.fields = text, items, fields
        self.written = text if written is None else written
        inner = items if items is not None else list(fields.values()) if fields is not None else []
        self.size: int = 1 + sum(node.size for node in inner)

    def get(self, *keys: str) -> Node | None:
        """Walk down mappings; None where a step is missing, null, or no mapping."""
        node: Node | None = self
        for key in keys:
            node = node.fields.get(key) if node is not None and node.fields is not None else None
        return None if node is None or node.is_null() else node

    def word(self, *keys: str) -> str | None:
        """Return the text of a scalar below; None where there is none."""
        node = self.get(*keys)
        return None if node is None else node.text

    def each(self, *keys: str) -> list[Node]:
        """Return the items of a list below; none where there is no list."""
        node = self.get(*keys)
        return [] if node is None or node.items is None else node.items

    def pairs(self, *keys: str) -> dict[str, Node]:
        """Return the fields of a mapping below; none where there is no mapping."""
        node = self.get(*keys)
        return {} if node is None or node.fields is None else node.fields

    def is_null(self) -> bool:
        """Tell whether nothing stands here: an empty value, ``null``, or compose's ``!reset``."""
        return (self.text is not None and self.plain and self.text in _NULL) or self.tag == "!reset"

    def is_true(self, *keys: str) -> bool:
        """Tell whether a field says yes, in quotes or not."""
        return self.word(*keys) in _TRUE

    def is_text(self) -> bool:
        """Tell whether a strict reader (YAML 1.1, as Kubernetes has it) sees text here and no number or boolean."""
        if self.text is None or not self.plain or self.tag == "tag:yaml.org,2002:str":
            return self.text is not None
        return not (self.text in _NULL or self.text in _TRUE or self.text in _FALSE or _NUMBER.fullmatch(self.text))


class Fault(NamedTuple):
    """What makes a file something else than it should be, and where."""

    line: int
    column: int
    message: str


class Manifest(NamedTuple):
    """The documents of a file up to its first serious fault; duplicate keys are faults that do not end it."""

    documents: tuple[Node, ...]
    faults: tuple[Fault, ...]


def parse(path: str, content: bytes) -> Manifest:
    """Parse YAML or JSON bytes; ``path`` is only noted in the nodes. Never raises for what the bytes say."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Manifest((), (Fault(content.count(b"\n", 0, error.start) + 1, 1, "not UTF-8 text"),))
    if text.lstrip()[:1] in {"{", "["}:
        text = _PAIR.sub(_character, text)
    builder = _Builder(path)
    loader = None
    try:
        loader = _Loader(text)
        builder.build(loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        builder.faults.append(Fault(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, str(problem)))
    except _StopError as stopped:
        builder.faults.append(stopped.fault)
    finally:
        if loader:
            loader.dispose()
    return Manifest(tuple(builder.documents), tuple(sorted(set(builder.faults))))


def _character(pair: re.Match[str]) -> str:
    """Return the character that JSON writes as two escapes, which YAML does not know."""
    return chr(0x10000 + ((int(pair[1], 16) - 0xD800) << 10) + int(pair[2], 16) - 0xDC00)


class _StopError(Exception):
    """The file is not read any further."""

    def __init__(self, event: Any, message: str) -> None:
        super().__init__(message)
        mark = event.start_mark
        self.fault = Fault(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, message)


class _Builder:
    """Builds nodes from parser events, so that depth and size are refused before they cost anything."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._anchors: dict[str, Node | None] = {}  # None: still being built
        self.documents: list[Node] = []
        self.faults: list[Fault] = []
        self._room = _NODES

    def build(self, loader: Any) -> None:
        """Read every document."""
        loader.get_event()  # stream start
        while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
            if len(self.documents) == _DOCUMENTS:
                raise _StopError(event, f"more than {_DOCUMENTS} documents")
            self._anchors.clear()
            document = self._node(loader, loader.get_event(), 0)
            self._room -= document.size
            self.documents.append(document)
            loader.get_event()  # document end

    def _node(self, loader: Any, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        if depth > _DEPTH:
            raise _StopError(event, f"nested deeper than {_DEPTH} levels")
        anchor = event.anchor
        if anchor:
            self._anchors[anchor] = None
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._path, line, column, text=event.value, plain=not event.style, tag=event.tag)
        elif isinstance(event, yaml.SequenceStartEvent):
            items = list(self._items(loader, depth))
            node = Node(self._path, line, column, items=items, tag=event.tag)
        else:
            node = Node(self._path, line, column, fields=self._fields(loader, depth), tag=event.tag)
        if node.size > self._room:
            raise _StopError(event, f"more than {_NODES} nodes with every alias written out")
        if anchor:
            self._anchors[anchor] = node
        return node

    def _aliased(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise _StopError(event, "an alias to an anchor that does not stand before it")
        node = self._anchors[event.anchor]
        if node is None:
            raise _StopError(event, "an alias inside of what it stands for")
        return node

    def _items(self, loader: Any, depth: int) -> Iterator[Node]:
        size = 0
        while not isinstance(event := loader.get_event(), yaml.SequenceEndEvent):
            node = self._node(loader, event, depth + 1)
            size = self._grown(size, node, event)
            yield node

    def _grown(self, size: int, node: Node, event: Any) -> int:
        if size + node.size > self._room:
            raise _StopError(event, f"more than {_NODES} nodes with every alias written out")
        return size + node.size

    def _fields(self, loader: Any, depth: int) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        size = 0
        while not isinstance(event := loader.get_event(), yaml.MappingEndEvent):
            key = self._node(loader, event, depth + 1)
            following = loader.get_event()
            value = self._node(loader, following, depth + 1)
            if value.text is None and not isinstance(following, yaml.AliasEvent):
                value.line, value.column = key.line, key.column
            size = self._grown(size, value, event)
            if key.text is None:
                raise _StopError(event, "a key must be a word")
            if key.text == "<<" and key.plain:
                for name, node in self._merged(value, event).items():
                    merged.setdefault(name, node)
            else:
                if key.text in own:
                    self.faults.append(Fault(key.line, key.column, f"duplicate key {key.text[:80]}"))
                    if len(self.faults) == _FAULTS:
                        raise _StopError(event, f"more than {_FAULTS} faults")
                own[key.text] = value
        return {**merged, **own}

    @staticmethod
    def _merged(value: Node, event: Any) -> dict[str, Node]:
        """Return the fields of what a merge key names: one mapping, or several, of which the first wins."""
        sources = value.items if value.items is not None else [value]
        found: dict[str, Node] = {}
        for source in sources:
            if source.fields is None:
                raise _StopError(event, "a merge key wants a mapping")
            found = {**source.fields, **found}
        return found
