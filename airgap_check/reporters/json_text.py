"""Writes long JSON documents: the frame indented, the items of its long arrays a line each, in ASCII throughout.

A report can hold 100,000 findings. Their JSON is never held as objects, and in memory once: ASCII takes one byte a
character whatever a host calls itself, and text that grows at its end is not copied.
"""

from __future__ import annotations

from itertools import islice
from json import JSONEncoder
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAMESPACE: Final = UUID("6f0c2f2a-8d3b-5c1e-9a57-0d0f6c1b7e42")  # of every id that a report makes out of content
_BATCH = 1000
_encode = JSONEncoder(separators=(",", ":"), check_circular=False).encode
_frame = JSONEncoder(indent=2).encode


def identity(*parts: object) -> str:
    """Return the UUIDv5 (RFC 9562) of some content: the same content has the same one, tomorrow and elsewhere."""
    return str(uuid5(NAMESPACE, _encode([str(part) for part in parts])))


def long(name: str) -> str:
    """Mark, in a frame, where the items of a long array go; no foreign text has a control character in it."""
    return f"\x00{name}"


def document(frame: Any, arrays: dict[str, Iterable[Any]]) -> str:
    """Write a document; each string of the frame that `long` made is replaced by an array of the items of that name.

    The arrays come in the order of the frame.
    """
    text, rest = "", _frame(frame) + "\n"
    for name, items in arrays.items():
        head, mark, rest = rest.partition(_encode(long(name)))
        if not mark:
            raise ValueError(name)
        text += head + "["
        separator = "\n"
        for batch in _batches(items):
            text += separator + ",\n".join(batch)
            separator = ",\n"
        text += "\n]"
    return text + rest


def lines(items: Iterable[Any]) -> str:
    """Write JSON Lines."""
    text = ""
    for batch in _batches(items):
        text += "\n".join(batch) + "\n"
    return text


def _batches(items: Iterable[Any]) -> Iterator[list[str]]:
    """Yield encoded items, many at a time."""
    encoded = (_encode(item) for item in items)
    while batch := list(islice(encoded, _BATCH)):
        yield batch
