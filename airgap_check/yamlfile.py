"""Policy and rule files: YAML read strictly into typed structs, every fault with its file, line and column.

A subset of YAML 1.2 is read, on purpose: no anchors, aliases, tags or merge keys (an alias bomb has nothing to hold on
to), no second document, keys are text, and the words yes, no, on and off mean themselves. Nothing is resolved to a
date or a sexagesimal number behind the author's back.
"""

from __future__ import annotations

import types
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from airgap_check.errors import InvalidFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEPTH_LIMIT = 32
_LONGEST_MESSAGE = 500  # characters

_UNIONS = (types.UnionType, Union)

Path = tuple[str | int, ...]
_S = TypeVar("_S", bound=msgspec.Struct)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def suggest(word: object, known: Iterable[str]) -> str:
    """Return `` (did you mean ...?)`` when a known word is close to this one, else nothing."""
    near = get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


class Document:
    """One YAML file as plain values, with the place of every value and key, and the faults found so far."""

    def __init__(self, path: str) -> None:
        """Start empty; `read` and `parse` fill it."""
        self.path = path
        self.value: Any = None
        self.places: dict[Path, tuple[int, int]] = {}
        self.keys: dict[Path, tuple[int, int]] = {}
        self.faults: list[tuple[int, int, str]] = []

    def fault(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Note a fault at the nearest known place of a path."""
        where = self.keys if at_key else self.places
        while path and path not in where:
            path = path[:-1]
        self.faults.append((*where.get(path, (1, 1)), message))

    def refuse(self) -> None:
        """Raise `InvalidFileError` with every fault, in the order of the file, if there is any."""
        if self.faults:
            faults = sorted(set(self.faults))
            raise InvalidFileError([f"{self.path}:{line}:{column}: {_one_line(text)}" for line, column, text in faults])


def _one_line(text: str) -> str:
    """Return a message as one printable line: it quotes keys and values of a file that may be hostile."""
    cut = text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode("ascii")


def parse(path: str, content: bytes) -> Document:
    """Parse YAML bytes; ``path`` is only for messages.

    Raises `InvalidFileError` when it is not YAML; duplicate keys are noted as faults of the document.
    """
    document = Document(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidFileError([f"{path}:{line}:1: not UTF-8 text"]) from error
    loader = None
    try:
        loader = _Loader(text)  # the pure Python reader refuses control characters here already
        _Builder(document, loader).build()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise InvalidFileError([f"{path}:{where}: {problem}"]) from error
    finally:
        if loader:
            loader.dispose()
    return document


class _Builder:
    """Builds plain values from parser events, so that depth and aliases are refused before they cost anything."""

    def __init__(self, document: Document, loader: Any) -> None:
        self._document = document
        self._loader = loader

    def build(self) -> None:
        next_event = self._loader.get_event
        next_event()  # stream start
        if isinstance(next_event(), yaml.StreamEndEvent):
            return
        self._document.value = self._value(next_event(), ())
        next_event()  # document end
        event = next_event()
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(event, "a second document in one file")

    def _value(self, event: yaml.Event, path: Path) -> Any:
        self._document.places[path] = place = _place(event)
        if len(path) > _DEPTH_LIMIT:
            self._stop(event, f"nested deeper than {_DEPTH_LIMIT} levels")
        self._refuse_marks(event)
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else _scalar(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := self._loader.get_event(), yaml.SequenceEndEvent):
                items.append(self._value(item, (*path, len(items))))
            return items
        return self._mapping(path, place)

    def _mapping(self, path: Path, place: tuple[int, int]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(key := self._loader.get_event(), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                self._stop(key, "a key must be a word")
            self._refuse_marks(key)
            inner = (*path, key.value)
            self._document.keys[inner] = _place(key)
            if key.value in mapping:
                self._document.fault(inner, f"duplicate key {key.value}", at_key=True)
            mapping[key.value] = self._value(self._loader.get_event(), inner)
        self._document.keys.setdefault(path, place)
        return mapping

    def _refuse_marks(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._stop(event, "anchors and aliases are not accepted")
        if getattr(event, "tag", None) is not None:
            self._stop(event, "tags are not accepted")

    def _stop(self, event: yaml.Event, message: str) -> None:
        self._document.faults.append((*_place(event), message))
        self._document.refuse()


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


def _scalar(text: str) -> str | int | bool | None:
    """Resolve a plain scalar by the YAML 1.2 core schema, decimal numbers only."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        # Python refuses to read more than 4300 digits, and a leading zero is somebody's octal: both stay text.
        return int(text) if len(digits) <= 18 and (digits == "0" or digits[0] != "0") else text
    return text


def decode(document: Document, struct: type[_S]) -> _S:
    """Turn a document into a struct, noting every fault in it.

    After a fault the struct has holes (None where a value was wrong or missing), so that the caller can go on to find
    the faults that types alone do not show; it must then call `Document.refuse`. Structs, and sequences of structs,
    are walked here so that one wrong key does not hide the next; leaves are left to msgspec.
    """
    if not isinstance(document.value, dict):
        document.fault((), f"expected a mapping, got {_kind(document.value)}")
        document.refuse()
    value: _S = _decode(document, struct, document.value, ())
    return value


def _decode(document: Document, expected: Any, value: Any, path: Path) -> Any:
    if value is None:  # an author who wrote `for:` and no more did not mean everybody
        document.fault(path, "has no value: give it one, or leave the key out")
        return None
    expected = _not_none(expected)
    if isinstance(expected, type) and issubclass(expected, msgspec.Struct):
        return _decode_struct(document, expected, value, path)
    if isinstance(value, list) and (sequence := _sequence(expected)):
        item_type = get_args(sequence)[0]
        return tuple(_decode(document, item_type, item, (*path, index)) for index, item in enumerate(value))
    try:
        return msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        document.fault(path, _explain(error, expected, value))
        return None


def _not_none(expected: Any) -> Any:
    """Unwrap ``X | None`` to X; other unions stay whole."""
    if get_origin(expected) in _UNIONS:
        members = [member for member in get_args(expected) if member is not type(None)]
        if len(members) == 1:
            return members[0]
    return expected


def _sequence(expected: Any) -> Any:
    """Return the tuple type among the alternatives, None when there is none."""
    members = get_args(expected) if get_origin(expected) in _UNIONS else (expected,)
    return next((member for member in members if get_origin(member) is tuple), None)


@lru_cache(maxsize=64)
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(struct)


@lru_cache(maxsize=64)
def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:  # as the file names them
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def _decode_struct(document: Document, struct: type[msgspec.Struct], value: Any, path: Path) -> Any:
    if not isinstance(value, dict):
        document.fault(path, f"expected a mapping, got {_kind(value)}")
        return None
    fields, hints = _fields(struct), _hints(struct)
    for key in value:
        if key not in fields:
            document.fault((*path, key), f"unknown key {key}{suggest(key, fields)}", at_key=True)
    arguments: dict[str, Any] = {}
    for key, field in fields.items():
        if key in value:
            decoded = _decode(document, hints[field.name], value[key], (*path, key))
            if decoded is not None or field.required:
                arguments[field.name] = decoded
        elif field.required:
            document.fault(path, f"missing key {key}", at_key=True)
            arguments[field.name] = None
    return struct(**arguments)


def _explain(error: msgspec.ValidationError, expected: Any, value: Any) -> str:
    """Say what was expected in the words of the file's author rather than of the decoder."""
    if get_origin(expected) is Literal and type(value) is type(get_args(expected)[0]):
        choices = [str(choice) for choice in get_args(expected)]
        return f"unknown value {value}{suggest(value, choices)}; one of: {', '.join(choices)}"
    if expected is date:
        return f"expected a date such as 2027-03-01, got {value}"
    message = str(error).partition(" - at ")[0].replace(" | null", "")  # null is refused before
    return message.replace("`", "").replace("array", "list").replace("object", "mapping")


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
