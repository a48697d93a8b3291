"""Reads a compose project as `docker compose` would: its files, what they include and extend, its variables filled in.

Source: the Compose specification ("Interpolation", "Merge", "Include", "Extends"). The shell that compose will be
started from is not known: a variable that only it could set is blank, and is named.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import manifest
from airgap_check.deployment import environment_file
from airgap_check.deployment.interpolation import fill
from airgap_check.deployment.service import Remark
from airgap_check.manifest import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.deployment.file import Files

BASES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = ("compose.override.yml", "compose.override.yaml", "docker-compose.override.yml",
              "docker-compose.override.yaml")  # fmt: skip
_REPLACED = frozenset({"command", "entrypoint", "test"})  # lists that are not joined
_LISTED_MAPPINGS = frozenset({"environment", "labels", "args", "extra_hosts", "sysctls"})
_DEPTH = 8
_REMOTE = ("oci://", "git@", "http://", "https://", "ssh://", "git://", "github.com/")


class Unset(NamedTuple):
    """A variable that nothing among the files sets, and where it stands."""

    name: str
    path: str
    line: int
    required: bool


class Project:
    """One compose project; ``remote`` are files that it would fetch from elsewhere."""

    def __init__(self, files: Files) -> None:
        """Start empty; `load` fills it."""
        self._files = files
        self.services: dict[str, Node] = {}
        self.networks: dict[str, Node] = {}
        self.variables: set[str] = set()
        self.unset: dict[str, Unset] = {}
        self.given: dict[str, tuple[environment_file.Assignment, str]] = {}  # by .env files
        self.remote: list[Remark] = []
        self.paths: list[str] = []
        self.fragment = False

    def load(self, path: str) -> None:
        """Read a file with its override, if that lies beside it.

        A file of another name is laid over the base beside it where it is a fragment, as ``-f BASE -f FILE`` does.
        """
        folder, name = os.path.split(path)
        values = self._dot_env([os.path.join(folder, ".env")], {})
        tree = self._tree(path, values, 0)
        self.fragment = name not in BASES and tree is not None and not _stands_alone(tree)
        base = next((one for one in BASES if os.path.isfile(os.path.join(folder, one))), None)
        if self.fragment and base:
            tree = _laid_over(self._tree(os.path.join(folder, base), values, 0), tree, "")
            self.fragment = False
        if name in BASES:
            for override in _OVERRIDES:
                beside = os.path.join(folder, override)
                if os.path.exists(beside):
                    tree = _laid_over(tree, self._tree(beside, values, 0), "")
        if tree is not None:
            self.services.update({key: self._extended(key, tree, values, ()) for key in tree.pairs("services")})
            self.networks.update(tree.pairs("networks"))

    def values(self, node: Node) -> dict[str, str]:
        """Return what fills in the variables of env files that a node's file names."""
        return self._dot_env([os.path.join(os.path.dirname(node.path), ".env")], {})

    def _dot_env(self, paths: list[str], values: Mapping[str, str]) -> dict[str, str]:
        known = dict(values)
        for path in paths:
            content = self._files.read(path, optional=True)
            found = environment_file.parse((content or b"").decode(errors="replace"), known)
            known |= {one.name: one.text for one in found if one.text is not None}
            self.given |= {one.name: (one, path) for one in found if one.text is not None}
        return known

    def _tree(self, path: str, values: Mapping[str, str], depth: int) -> Node | None:
        """Read one file with what it includes; None where it cannot be read."""
        if depth > _DEPTH:
            self._files.note(path, None, f"included deeper than {_DEPTH} levels, or by itself")
            return None
        content = self._files.read(path)
        if content is None:
            return None
        self.paths.append(path)
        parsed = manifest.parse(path, content)
        for line, column, message in parsed.faults:
            self._files.note(path, line, message, column=column)
        tree: Node | None = None
        for document in parsed.documents:
            if document.fields is None:
                self._files.note(path, document.line, "no mapping, and so no compose file", column=document.column)
                continue
            tree = _laid_over(tree, self._filled(document, values, ""), "")
        for entry in tree.each("include") if tree else []:
            tree = _laid_over(self._included(entry, path, values, depth), tree, "")
        return tree

    def _included(self, entry: Node, path: str, values: Mapping[str, str], depth: int) -> Node | None:
        folder = os.path.dirname(path)
        listed = [entry.text] if entry.text is not None else _words(entry, "path")
        own = [os.path.join(folder, name) for name in _words(entry, "env_file")]
        tree: Node | None = None
        for name in listed:
            if name.startswith(_REMOTE) or "://" in name:
                self.remote.append(Remark(f"includes {name}", path, entry.line))
                continue
            inner = os.path.normpath(os.path.join(folder, name))
            inner_values = {**self._dot_env(own or [os.path.join(os.path.dirname(inner), ".env")], {}), **values}
            tree = _laid_over(tree, self._tree(inner, inner_values, depth + 1), "")
        return tree

    def _filled(self, node: Node, values: Mapping[str, str], at: str) -> Node:
        """Fill in the variables of every value; keys stay as they are."""
        if node.fields is not None:
            fields = {key: self._filled(inner, values, f"{at}.{key}") for key, inner in node.fields.items()}
            return Node(node.path, node.line, node.column, fields=fields, tag=node.tag)
        if node.items is not None:
            items = [self._filled(inner, values, at) for inner in node.items]
            return Node(node.path, node.line, node.column, items=items, tag=node.tag)
        if node.text is None or "$" not in node.text:
            return node
        filled = fill(node.text, values)
        self.variables |= filled.names
        for name in sorted(filled.blank | filled.required):
            self.unset.setdefault(name, Unset(name, node.path, node.line, name in filled.required))
        if filled.fault:
            self._files.note(node.path, node.line, f"{at.lstrip('.')}: {filled.fault}", column=node.column)
        # A value that was filled in is text, whatever it looks like; one that came to nothing is blank, not null.
        return Node(node.path, node.line, node.column, text=filled.text, plain=False, tag=node.tag, written=node.text)

    def _extended(self, name: str, tree: Node, values: Mapping[str, str], above: tuple[tuple[str, str], ...]) -> Node:
        """Lay a service over the one that it extends, in this file or another."""
        service = tree.pairs("services")[name]
        extends = service.get("extends")
        if extends is None:
            return service
        if (service.path, name) in above or len(above) > _DEPTH:
            self._files.note(service.path, extends.line, f"services.{name} extends itself", column=extends.column)
            return service
        base = extends.text if extends.text is not None else extends.word("service") or name
        other = extends.word("file")
        source: Node | None = tree
        if other is not None:
            if "://" in other:
                self.remote.append(Remark(f"extends {other}", service.path, extends.line))
                return service
            source = self._tree(os.path.normpath(os.path.join(os.path.dirname(service.path), other)), values, 1)
        if source is None or base not in source.pairs("services"):
            self._files.note(service.path, extends.line, f"services.{name} extends {base}, which is not there")
            return service
        below = self._extended(base, source, values, (*above, (service.path, name)))
        return _laid_over(below, service, "") or service


def _words(node: Node, key: str) -> list[str]:
    """Return one word, or the words of a list; an entry of a list may be a mapping with a path."""
    single = node.word(key)
    if single is not None:
        return [single]
    return [text for item in node.each(key) if (text := item.text or item.word("path"))]


def _stands_alone(tree: Node) -> bool:
    services = tree.pairs("services").values()
    return all(service.get("image") or service.get("build") or service.get("extends") for service in services)


def _laid_over(below: Node | None, above: Node | None, key: str) -> Node | None:
    """Merge two files as compose does: mappings by key, lists joined, the rest replaced."""
    if below is None or above is None:
        return above if below is None else below
    if above.tag in {"!reset", "!override"}:
        return above
    if key in _LISTED_MAPPINGS:
        below, above = _as_mapping(below), _as_mapping(above)
    if below.fields is not None and above.fields is not None:
        own = {name: _laid_over(below.fields.get(name), node, name) or node for name, node in above.fields.items()}
        fields = {**below.fields, **own}
        return Node(above.path, below.line if not key else above.line, above.column, fields=fields)
    if below.items is not None and above.items is not None and key not in _REPLACED:
        return Node(above.path, above.line, above.column, items=[*below.items, *above.items])
    return above


def _as_mapping(node: Node) -> Node:
    """Return ``[A=1, B]`` as ``{A: 1, B: null}``."""
    if node.items is None:
        return node
    fields: dict[str, Node] = {}
    for item in node.items:
        if item.text is not None:
            name, equals, text = item.text.partition("=")
            fields[name] = Node(
                item.path, item.line, item.column, text=text if equals else "null", plain=not equals,
                written=item.written.partition("=")[2] if item.written else None,
            )  # fmt: skip
    return Node(node.path, node.line, node.column, fields=fields)


def assignments(node: Node | None) -> dict[str, Node]:
    """Return the variables of an ``environment``, however it is written."""
    return {} if node is None else _as_mapping(node).fields or {}
