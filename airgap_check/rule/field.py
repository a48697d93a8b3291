"""The fields of a view by which rules, and waivers, name what they test.

A rule names them by dotted paths. A path is looked up in the view first, then in the record that it shows, so
``allowed`` and ``policy.cloud_url`` stand beside ``process.name``.
"""

from __future__ import annotations

import types
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Field:
    """A dotted path into a view: its type, and how to read it."""

    def __init__(self, path: str, reader: Callable[[Any], Any], annotation: object) -> None:
        """Use `field`, which looks the path up."""
        self.path = path
        self._reader = reader
        self.type, self.choices = _leaf(annotation)

    def read(self, view: object) -> Any:  # a leaf is text, a number, or a tuple of them
        """Return the value, or None where an optional part of the path is missing."""
        try:
            return self._reader(view)
        except AttributeError:
            return None


def fields(view_type: type[msgspec.Struct]) -> dict[str, Field]:
    """List every leaf that a rule may name on a view, by dotted path."""
    found = _FIELDS.get(view_type)
    if found is None:
        found = {}
        own = dict(_hints(view_type))
        record = own.pop("record", None)
        for prefix, hints in (("record.", _shared(record) if record else {}), ("", own)):
            for name, annotation in hints.items():
                for tail, leaf in _leaves(name, annotation):
                    field = Field(tail, attrgetter(prefix + tail), leaf)
                    if field.type in _TESTABLE:
                        found[tail] = field
        _FIELDS[view_type] = found
    return found


_FIELDS: dict[type[msgspec.Struct], dict[str, Field]] = {}
_TESTABLE = (str, int, bool, datetime)  # a list of structs has no value that a rule could name


def _shared(record: Any) -> dict[str, Any]:  # a struct type, or several
    """List the fields of a record; of one that may be of several types, those that all of them have alike."""
    first, *others = (_hints(member) for member in _members(record))
    return {name: hint for name, hint in first.items() if all(other.get(name) == hint for other in others)}


@lru_cache(maxsize=128)
def _hints(struct: Any) -> dict[str, Any]:  # a struct type
    hints = get_type_hints(struct)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _leaves(path: str, annotation: Any) -> list[tuple[str, Any]]:  # any annotated type
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            return [leaf for name, hint in _hints(member).items() for leaf in _leaves(f"{path}.{name}", hint)]
    return [(path, annotation)]


def _members(annotation: Any) -> tuple[Any, ...]:  # any annotated type
    return get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)


def _leaf(annotation: Any) -> tuple[type, tuple[str, ...]]:  # any annotated type
    """Return the plain type of a leaf and, for a closed vocabulary, its words. Sequences count as their items."""
    member = next(member for member in _members(annotation) if member is not type(None))
    if get_origin(member) is tuple:
        member = get_args(member)[0]
    if get_origin(member) is Literal:
        return str, get_args(member)
    return (member if isinstance(member, type) else str), ()
