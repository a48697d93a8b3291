"""Says ``hello`` to MongoDB and reads which members of its replica set it sends every client to.

Source: the MongoDB wire protocol (OP_MSG), the hello command, and bsonspec.org 1.1.
"""

from __future__ import annotations

from struct import pack, unpack_from
from typing import TYPE_CHECKING, Any

from airgap_check.objectos.endpoint import parse as endpoints_of
from airgap_check.probes.account import ConversationError, Heard, Named, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_OP_MSG = 2013
_LONGEST = 1 << 20
_DEEPEST = 8
_MOST_VALUES = 20_000
_MOST_MEMBERS = 50
_PORT = 27017
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_TEXTS = frozenset({0x02, 0x0D, 0x0E})
_NOBODY = "what it answers is no BSON"


def greet(line: Line, target: Target) -> Heard:  # noqa: ARG001 # every conversation is given its target
    """Ask who it is. Raises `ConversationError` when it does not speak MongoDB's protocol."""
    words = b"\x10hello\0" + pack("<i", 1) + b"\x02$db\0" + pack("<i", 6) + b"admin\0"
    body = pack("<IB", 0, 0) + pack("<i", len(words) + 5) + words + b"\0"
    line.send(pack("<iiii", len(body) + 16, 1, 0, _OP_MSG) + body)
    size, _, answers, operation = unpack_from("<iiii", line.read(16))
    if operation != _OP_MSG or answers != 1 or not 16 + 5 + 5 <= size <= _LONGEST:
        raise ConversationError("it does not speak MongoDB's protocol")
    reply = line.read(size - 16)
    if reply[4] != 0:
        raise ConversationError("it does not speak MongoDB's protocol")
    document = decode(reply[5:])
    if not document.get("ok"):
        return Heard(f"it answers: {quoted(str(document.get('errmsg', 'an error')))}")
    replica_set = document.get("setName")
    named = tuple(_members(document)) if isinstance(replica_set, str) else ()
    known_as = f"replica set {quoted(replica_set)}" if isinstance(replica_set, str) else "a server of its own"
    return Heard(f"{known_as}, wire version {quoted(str(document.get('maxWireVersion', '?')))}", named)


def _members(document: dict[str, Any]) -> Iterator[Named]:
    """Yield whom a driver dials next, as every driver that is not told ``directConnection`` does."""
    for field in ("hosts", "passives", "arbiters"):
        listed = document.get(field)
        members = listed.values() if isinstance(listed, dict) else ()
        for index, member in enumerate(list(members)[:_MOST_MEMBERS]):
            if isinstance(member, str):
                ends = endpoints_of(member, port=_PORT)
                yield Named(f"$.{field}[{index}]", quoted(member), "database", ends[0] if ends else None)


def decode(data: bytes) -> dict[str, Any]:
    """Return a BSON document; an array is a mapping of its indexes, what nobody here asks for is None.

    Raises `ConversationError` for what is none.
    """
    reader = _Reader(data)
    return reader.document(0)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._left = data, 0, _MOST_VALUES

    def document(self, depth: int) -> dict[str, Any]:
        size = self._size(5)
        end = self._at + size
        if depth > _DEEPEST or end > len(self._data):
            raise ConversationError(_NOBODY)
        document: dict[str, Any] = {}
        while (kind := self._bytes(1)[0]) != 0:
            self._left -= 1
            if self._left < 0 or self._at >= end:
                raise ConversationError(_NOBODY)
            name = self._name()
            document[name] = self._value(kind, depth)
        if self._at != end:
            raise ConversationError(_NOBODY)
        return document

    def _value(self, kind: int, depth: int) -> Any:
        if kind in {0x03, 0x04}:
            return self.document(depth + 1)
        if kind in _TEXTS:
            return self._bytes(self._size(1, own=False))[:-1].decode("utf-8", "replace")
        if kind == 0x05:
            self._bytes(self._size(0, own=False) + 1)
        elif kind == 0x0B:
            self._name()
            self._name()
        elif kind in _FIXED:
            raw = self._bytes(_FIXED[kind])
            formats = {0x01: "<d", 0x08: "<?", 0x10: "<i", 0x12: "<q"}
            return unpack_from(formats[kind], raw)[0] if kind in formats else None
        else:
            raise ConversationError(_NOBODY)
        return None

    def _size(self, least: int, *, own: bool = True) -> int:
        """Read a length; one that counts itself (``own``) is of the whole, which begins with it."""
        size = int(unpack_from("<i", self._bytes(4))[0])
        if size < least:
            raise ConversationError(_NOBODY)
        return size - 4 if own else size

    def _bytes(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ConversationError(_NOBODY)
        self._at += size
        return taken

    def _name(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise ConversationError(_NOBODY)
        name = self._data[self._at : end].decode("utf-8", "replace")
        self._at = end + 1
        return name
