"""Finds the place of what is wrong with a JSON text: a line and a column, a key that stands twice, too deep a nest."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

Buffer = bytes | bytearray | memoryview

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]', re.DOTALL)
_CONTINUATION = bytes(range(0x80, 0xC0))
_CHUNK = 1 << 20
# An escape of half a character: JavaScript writes and reads it, but no decoder of UTF-8 takes it.
_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\[^u]"
)


class FaultError(Exception):
    """What makes a text no JSON, and at which byte."""

    def __init__(self, offset: int, reason: str) -> None:
        """Stand at an offset from the beginning of the file."""
        super().__init__(reason)
        self.offset, self.reason = offset, reason


def line_and_column(text: bytes | bytearray, offset: int) -> tuple[int, int]:
    """Return where a byte stands, both from 1, the column in characters."""
    offset = min(offset, len(text))
    begin = text.rfind(b"\n", 0, offset) + 1
    characters = 0
    for start in range(begin, offset, _CHUNK):
        characters += len(bytes(text[start : min(start + _CHUNK, offset)]).translate(None, _CONTINUATION))
    return text.count(b"\n", 0, offset) + 1, characters + 1


def mend_surrogates(text: bytearray) -> bool:
    """Put a replacement in place of each escaped half of a character; tell whether there was one. The length stays."""
    mended = False
    for match in _SURROGATE.finditer(text):
        if match[1]:
            text[match.start() : match.end()] = b"\\ufffd"
            mended = True
    return mended


def invalid_utf8(text: Buffer) -> int | None:
    """Return the offset of the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(text)
    for start in range(0, len(view), _CHUNK):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(view[start : start + _CHUNK], final=start + _CHUNK >= len(view))
        except UnicodeDecodeError as error:
            return start - pending + error.start
    return None


def too_deep(text: Buffer, limit: int) -> int:
    """Return where a nest goes deeper than ``limit``; the end where it does not."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match[0] in {b"{", b"["}:
            depth += 1
            if depth > limit:
                return match.start()
        elif match[0] in {b"}", b"]"}:
            depth -= 1
    return len(text)


def first_duplicate(text: Buffer) -> tuple[int, str] | None:
    """Return the offset of the first key that its object has already, and the key; the structure must be sound."""
    for offset, key in _keys(text):
        if key is not None:
            return offset, key
    return None


def _keys(text: Buffer) -> Iterator[tuple[int, str | None]]:
    """Yield each string with its offset, and with its text where it is a key that stood there before."""
    open_: list[set[str] | None] = []
    before: re.Match[bytes] | None = None
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == b"{":
            open_.append(set())
        elif token == b"[":
            open_.append(None)
        elif token in {b"}", b"]"}:
            open_.pop()
        elif token == b":" and before is not None and open_ and (known := open_[-1]) is not None:
            try:
                key = json.loads(before[0])
            except ValueError:  # not UTF-8: another fault
                continue
            yield before.start(), printable(key)[:64] if key in known else None
            known.add(key)
        before = match if token[:1] == b'"' else None
