"""Cuts a large JSON text into pieces that are decoded one at a time, so that memory stays bounded by the largest.

msgspec finds the bounds of values without decoding them; json decodes a piece, since it alone tells of a key that
stands twice. What is passed on was checked in full.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airgap_check.objectos.artifact import fault
from airgap_check.objectos.artifact.area import is_dull
from airgap_check.objectos.artifact.fault import FaultError
from airgap_check.objectos.artifact.pointer import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH = 500  # of nesting; what people build has some twenty
_SIZE = 2 << 20  # bytes of a piece that is decoded as a whole
_SHAPE = 64  # names of an object that is worth remembering
_BATCH = 1000  # small values of a large object that are handed on together
_COMPARED = 1 << 16
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_KEY = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+")
_AT_BYTE = re.compile(r" \(byte (\d+)\)")


class Piece(NamedTuple):
    """A decoded piece and its bytes; ``repeated`` tells of the first key in it that stands twice (offset, key).

    A *dull* one has no name that means something anywhere. The value of a text that is too large to be decoded is None,
    and ``skipped`` its length.
    """

    place: Node
    value: Any
    data: memoryview
    dull: bool = False
    repeated: tuple[int, str] | None = None
    skipped: int = 0


class Member(NamedTuple):
    """A value of an object or list as it lies in the text; ``repeats`` is set where its key came before."""

    key: str | int
    data: memoryview
    offset: int
    repeats: bool = False


def members(data: memoryview, offset: int) -> Iterator[Member]:
    """Yield the values of an object or list that begins at an offset of the file; of equal keys, the last's.

    Raises `FaultError` for what is no JSON.
    """
    is_object = data[_end_of_blanks(data, 0)] == 0x7B if _end_of_blanks(data, 0) < len(data) else False
    kept: Any = _outline(data, offset, dict[str, msgspec.Raw] if is_object else list[msgspec.Raw])
    at = _end_of_blanks(data, 0) + 1
    if not is_object:
        for index, raw in enumerate(kept):
            at = _end_of_blanks(data, at)
            yield Member(index, memoryview(raw), offset + at)
            at = _end_of_blanks(data, at + len(memoryview(raw))) + 1
        return
    yield from _of_object(data, offset, kept, at)


def _of_object(data: memoryview, offset: int, kept: dict[str, msgspec.Raw], at: int) -> Iterator[Member]:
    """Follow the text along the values that were kept, which gives their offsets, and finds the keys that repeat."""
    seen: set[str] = set()
    while len(seen) < len(kept):
        found = _KEY.match(data, _end_of_blanks(data, at))
        colon = _COLON.match(data, found.end()) if found else None
        key = json.loads(found[0]) if found and colon else ""
        raw = memoryview(kept[key]) if key in kept else None
        if not colon or raw is None or key in seen or not _stands_at(data, colon.end(), raw):
            break
        seen.add(key)
        yield Member(key, raw, offset + colon.end())
        at = _end_of_blanks(data, colon.end() + len(raw)) + 1
    if len(seen) == len(kept) and (not kept or data[at - 1] == 0x7D):
        return
    found_again = fault.first_duplicate(data)
    place, again = found_again or (at, "")
    for key in kept.keys() - seen:  # where these stand is lost, what they hold is not
        yield Member(key, memoryview(kept[key]), offset + place)
    yield Member(again, data[:0], offset + place, repeats=True)


def _stands_at(data: memoryview, at: int, raw: memoryview) -> bool:
    """Tell whether a value is the one that stands at an offset."""
    end = at + len(raw)
    if end >= len(data):
        return False
    for start in range(0, len(raw), _COMPARED):
        part = raw[start : start + _COMPARED]
        if bytes(data[at + start : at + start + len(part)]) != bytes(part):
            return False
    after = _end_of_blanks(data, end)
    return after < len(data) and data[after] in b",}"


def _end_of_blanks(data: memoryview, at: int) -> int:
    match = _BLANKS.match(data, at)
    return match.end() if match else at


def _outline(data: memoryview, offset: int, wanted: Any) -> Any:
    """Decode the outermost level of a value."""
    try:
        return msgspec.json.decode(data, type=wanted)
    except RecursionError:
        raise FaultError(offset + fault.too_deep(data, DEPTH), f"nested deeper than {DEPTH} levels") from None
    except UnicodeDecodeError:
        raise FaultError(offset + (fault.invalid_utf8(data) or 0), "not UTF-8") from None
    except msgspec.ValidationError:
        raise FaultError(offset + _end_of_blanks(data, 0), "not an object") from None
    except msgspec.DecodeError as error:
        at = _AT_BYTE.search(str(error))
        reason = _AT_BYTE.sub("", str(error)).removeprefix("JSON is malformed: ")
        if at is None:
            raise FaultError(offset + len(data), "it ends in the middle") from None
        after = 1 if reason.startswith("trailing characters") else 0  # there it counts the character itself
        raise FaultError(offset + int(at[1]) - after, reason) from None


def pieces(member: Member, place: Node) -> Iterator[Piece]:
    """Yield a value in decoded pieces, each no larger than two megabytes unless it is one text.

    Raises `FaultError` for what is no JSON.
    """
    data = member.data
    if len(data) <= _SIZE:
        yield _decoded(member, place)
    elif data[0] == 0x7B:
        yield from _of_large_object(member, place)
    elif data[0] == 0x5B:
        for one in members(data, member.offset):
            yield from pieces(one, Node(place, one.key))
    else:
        wrong = fault.invalid_utf8(data)
        if wrong is not None:
            raise FaultError(member.offset + wrong, "not UTF-8")
        yield Piece(place, None, data, skipped=len(data))


def _of_large_object(member: Member, place: Node) -> Iterator[Piece]:
    """Yield what is small in an object together, since fields tell of each other, and what is large by itself."""
    gathered: dict[str, Any] = {}
    texts: list[bytes] = []
    dull, size = True, 0
    for one in members(member.data, member.offset):
        if one.repeats:
            yield Piece(place, None, one.data, repeated=(one.offset, str(one.key)))
        elif len(one.data) > _SIZE // 2:
            yield from pieces(one, Node(place, one.key))
        else:
            piece = _decoded(one, place)
            if piece.repeated:
                yield Piece(place, None, one.data[:0], repeated=piece.repeated)
            gathered[str(one.key)] = piece.value
            texts.append(bytes(one.data))
            dull = dull and piece.dull and is_dull((str(one.key),))
            size += len(one.data)
            if size > _SIZE or len(texts) > _BATCH:
                yield Piece(place, gathered, memoryview(b",".join(texts)), dull)
                gathered, texts, dull, size = {}, [], True, 0
    if gathered:
        yield Piece(place, gathered, memoryview(b",".join(texts)), dull)


class _Decoder:
    """Decodes JSON as usual, but remembers whether an object had a key twice, or a name that means something.

    Integers become floats, whatever their length.
    """

    def __init__(self) -> None:
        self.saw_repeated, self.dull = False, True
        self._decode = json.JSONDecoder(object_pairs_hook=self._gather, parse_int=float).decode

    def _gather(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        gathered = dict(pairs)
        if len(gathered) != len(pairs):
            self.saw_repeated = True
        if self.dull and (len(gathered) > _SHAPE or not is_dull(tuple(gathered))):
            self.dull = False
        return gathered

    def decode(self, text: str) -> Any:
        """Decode one text, and forget what was seen before."""
        self.saw_repeated, self.dull = False, True
        return self._decode(text)


_DECODER = _Decoder()


def _decoded(member: Member, place: Node) -> Piece:
    text = ""
    try:
        text = str(member.data, "utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise FaultError(member.offset + error.start, "not UTF-8") from None
    except json.JSONDecodeError as error:
        raise FaultError(member.offset + len(text[: error.pos].encode()), error.msg) from None
    except RecursionError:
        at = member.offset + fault.too_deep(member.data, DEPTH)
        raise FaultError(at, f"nested deeper than {DEPTH} levels") from None
    repeated = fault.first_duplicate(member.data) if _DECODER.saw_repeated else None
    dull = _DECODER.dull and isinstance(value, dict)
    return Piece(place, value, member.data, dull, repeated and (member.offset + repeated[0], repeated[1]))
