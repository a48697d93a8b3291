"""Cuts a large JSON text into pieces that are decoded one at a time, so that memory stays bounded by the largest.

msgspec finds the bounds of values without decoding them; json decodes a piece, since it alone tells of a key that
stands twice. What is passed on was checked in full. Of a piece that holds no secret, what no name in it makes telling
is left out while it is decoded: structures of field names and labels are most of an artifact, and nothing to walk.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airgap_check.objectos.artifact import fault
from airgap_check.objectos.artifact.area import is_dull
from airgap_check.objectos.artifact.fault import FaultError
from airgap_check.objectos.artifact.pointer import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    IsWary = Callable[[memoryview], bool]

DEPTH = 500  # of nesting; what people build has some twenty
_SIZE = 2 << 20  # bytes of a piece that is decoded as a whole
_SHAPE = 64  # names of an object that is worth remembering
_BATCH = 1000  # small values of a large object that are handed on together
_TOGETHER = 1 << 16  # bytes of small elements of a large list that are decoded together
_CONTAINERS = frozenset({dict, list})
_COMPARED = 1 << 16
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_KEY = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+")
_AT_BYTE = re.compile(r" \(byte (\d+)\)")


class Piece(NamedTuple):
    """A decoded piece; ``repeated`` tells of the first key in it that stands twice (offset, key).

    A *wary* one may hold secrets, and is whole; of any other, structures that say nothing are empty. The value of a
    text that is too large to be decoded is None, and ``skipped`` its length.
    """

    place: Node
    value: Any
    wary: bool = False
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


def pieces(member: Member, place: Node, is_wary: IsWary) -> Iterator[Piece]:
    """Yield a value in decoded pieces, each no larger than two megabytes unless it is one text.

    ``is_wary`` tells of a stretch of the text whether it may hold a secret. Raises `FaultError` for what is no JSON.
    """
    data = member.data
    if len(data) <= _SIZE:
        yield _decoded(member, place, is_wary)
    elif data[0] == 0x7B:
        yield from _of_large_object(member, place, is_wary)
    elif data[0] == 0x5B:
        yield from _of_large_list(member, place, is_wary)
    else:
        wrong = fault.invalid_utf8(data)
        if wrong is not None:
            raise FaultError(member.offset + wrong, "not UTF-8")
        yield Piece(place, None, skipped=len(data))


def _of_large_list(member: Member, place: Node, is_wary: IsWary) -> Iterator[Piece]:
    """Yield the elements of a list: small ones decoded together, and one by one where that is not possible."""
    raws: list[msgspec.Raw] = _outline(member.data, member.offset, list[msgspec.Raw])
    one_by_one = members(member.data, member.offset)  # knows where each stands, which takes its time
    passed = begin = 0
    while begin < len(raws):
        end, size = begin, 0
        while end < len(raws) and size < _TOGETHER:
            size += len(memoryview(raws[end]))
            end += 1
        values = _together(raws[begin:end], is_wary)
        if values is None:
            for one in islice(one_by_one, begin - passed, end - passed):
                yield from pieces(one, Node(place, one.key), is_wary)
            passed = end
        else:
            yield from (Piece(Node(place, index), value) for index, value in enumerate(values, begin) if value)
        begin = end


def _together(raws: list[msgspec.Raw], is_wary: IsWary) -> list[Any] | None:
    """Decode some elements of a list; None where each deserves a look of its own."""
    text = b"[" + b",".join(raws) + b"]"
    if len(text) > _SIZE or is_wary(memoryview(text)):
        return None
    try:
        values: list[Any] = _PRUNING.decode(str(text, "utf-8"))
    except (ValueError, RecursionError):
        return None
    return None if _PRUNING.saw_repeated else values


def _of_large_object(member: Member, place: Node, is_wary: IsWary) -> Iterator[Piece]:
    """Yield what is small in an object together, since fields tell of each other, and what is large by itself."""
    gathered: dict[str, Any] = {}
    wary, count, size = False, 0, 0
    for one in members(member.data, member.offset):
        if one.repeats:
            yield Piece(place, None, repeated=(one.offset, str(one.key)))
        elif len(one.data) > _SIZE // 2:
            yield from pieces(one, Node(place, one.key), is_wary)
        else:
            piece = _decoded(one, place, is_wary)
            if piece.repeated:
                yield Piece(place, None, repeated=piece.repeated)
            gathered[str(one.key)] = piece.value
            wary, count, size = wary or piece.wary, count + 1, size + len(one.data)
            if size > _SIZE or count > _BATCH:
                yield Piece(place, gathered, wary)
                gathered, wary, count, size = {}, False, 0, 0
    if gathered:
        yield Piece(place, gathered, wary)


class _Decoder:
    """Decodes JSON as usual, but remembers whether an object had a key twice. Integers become floats of any length.

    One that is *pruning* empties each object without a name that means something, and without a structure that is kept.
    """

    def __init__(self, *, pruning: bool) -> None:
        self.saw_repeated = False
        hook = self._prune if pruning else self._gather
        self._decode = json.JSONDecoder(object_pairs_hook=hook, parse_int=float).decode

    def _gather(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        gathered = dict(pairs)
        if len(gathered) != len(pairs):
            self.saw_repeated = True
        return gathered

    def _prune(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        gathered = dict(pairs)
        if len(gathered) != len(pairs):
            self.saw_repeated = True
        if len(gathered) > _SHAPE or not is_dull(tuple(gathered)):
            return gathered
        if not _CONTAINERS.isdisjoint(map(type, gathered.values())):
            for item in gathered.values():
                if item and (type(item) is dict or (type(item) is list and _keeps(item))):
                    return gathered
        return {}

    def decode(self, text: str) -> Any:
        """Decode one text, and forget what was seen before."""
        self.saw_repeated = False
        return self._decode(text)


def _keeps(items: list[Any]) -> bool:
    """Tell whether a list holds a structure that is not empty."""
    return not _CONTAINERS.isdisjoint(map(type, filter(None, items)))


_WHOLE, _PRUNING = _Decoder(pruning=False), _Decoder(pruning=True)


def _decoded(member: Member, place: Node, is_wary: IsWary) -> Piece:
    text, wary = "", is_wary(member.data)
    decoder = _WHOLE if wary else _PRUNING
    try:
        text = str(member.data, "utf-8")
        value = decoder.decode(text)
    except UnicodeDecodeError as error:
        raise FaultError(member.offset + error.start, "not UTF-8") from None
    except json.JSONDecodeError as error:
        raise FaultError(member.offset + len(text[: error.pos].encode()), error.msg) from None
    except RecursionError:
        at = member.offset + fault.too_deep(member.data, DEPTH)
        raise FaultError(at, f"nested deeper than {DEPTH} levels") from None
    repeated = fault.first_duplicate(member.data) if decoder.saw_repeated else None
    return Piece(place, value, wary, repeated and (member.offset + repeated[0], repeated[1]))
