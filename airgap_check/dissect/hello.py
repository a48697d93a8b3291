"""Reads a TLS ClientHello: the name that the client asks for, and whether that is only an outer one.

Source: RFC 8446 4 and 5, RFC 6066 3 (SNI), RFC 7301 (ALPN), RFC 9849 (ECH). An SSLv2-compatible hello has no name and
is not read.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.dissect.name import host
from airgap_check.dissect.stream import Stream, distance

if TYPE_CHECKING:
    from collections.abc import Hashable

CLIENT_HELLO, RECORD = 1, 5  # the handshake's type; bytes of a record's header

_HANDSHAKE = 22  # the type of a record
_LONGEST_RECORD = 16384 + 256
_SNI, _ALPN, _VERSIONS = 0, 16, 43
_ENCRYPTED = frozenset({0xFE0D, 0xFE0A, 0xFE09, 0xFE08, 0xFFCE})  # ECH, its drafts, and ESNI before it
_MOST = 64  # names of protocols, and versions, that are kept
_EARLY = 8  # segments that may come before the one that begins a hello
_SHORT = struct.Struct(">H").unpack_from
_EXTENSION = struct.Struct(">HH").unpack_from


class Hello(NamedTuple):
    """What a client said. ``name`` is the SNI in lower case and printable, None without one.

    ``ech``: an encrypted hello (or GREASE, which cannot be told apart) is inside, so that ``name`` is an outer one and
    the real one unknowable. ``complete`` is False where the hello was cut or could not be decrypted: what stands in
    the rest is unknowable, and so is whether the name is an outer one.
    """

    name: str | None
    ech: bool = False
    alpn: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    complete: bool = True


UNKNOWABLE = Hello(None, complete=False)


def parse(handshake: bytes | bytearray | memoryview) -> Hello | None:
    """Read a handshake message, from its type on; None when it is not a ClientHello.

    One that is cut or malformed is read as far as it goes, and not complete.
    """
    data = bytes(handshake)
    if len(data) < 4 or data[0] != CLIENT_HELLO:
        return None
    size = 4 + int.from_bytes(data[1:4], "big")
    found: dict[int, bytes] = {}
    whole = _extensions(data[:size], found) and len(data) >= size
    legacy = _SHORT(data, 4) if len(data) >= 6 else ()
    return Hello(
        _server_name(found.get(_SNI, b"")),
        not _ENCRYPTED.isdisjoint(found),
        _protocols(found.get(_ALPN, b"")),
        _supported(found[_VERSIONS]) if _VERSIONS in found else legacy,
        whole,
    )


def peek(payload: bytes | memoryview) -> Hello | None:
    """Read the hello at the beginning of a segment as far as it goes, for where no more will come (a short capture)."""
    message = bytearray()
    data = bytes(payload)
    position = 0
    while data[position : position + 2] == b"\x16\x03" and len(data) >= position + RECORD:
        end = position + RECORD + _SHORT(data, position + 3)[0]
        message += data[position + RECORD : end]
        position = end
    return parse(message)


def opens(payload: bytes | memoryview) -> bool:
    """Tell whether a segment may be the beginning of a ClientHello (one byte of it may be)."""
    head = bytes(payload[:6])
    return head[:2] in _BEGIN and head[5:6] in {b"\x01", b""}


_BEGIN = frozenset({b"\x16", b"\x16\x03"})


def _extensions(data: bytes, found: dict[int, bytes]) -> bool:
    """Collect the extensions of a hello by type, the first of each; tell whether it could be read to its end."""
    try:
        position = 38  # type, length, version, random
        position += 1 + data[position]  # session
        position += 2 + _SHORT(data, position)[0]  # cipher suites
        position += 1 + data[position]  # compression methods
        if position == len(data):
            return True  # TLS 1.0 may end here
        end = position + 2 + _SHORT(data, position)[0]
        position += 2
        while position < end:
            kind, size = _EXTENSION(data, position)
            position += 4
            if position + size > min(end, len(data)):
                return False
            found.setdefault(kind, data[position : position + size])
            position += size
    except (IndexError, struct.error):
        return False
    return bool(position == end == len(data))


def _server_name(data: bytes) -> str | None:
    """Return the host name of a server_name extension."""
    if len(data) < 5 or data[2] != 0:
        return None
    return host(data[5 : 5 + _SHORT(data, 3)[0]]) or None


def _protocols(data: bytes) -> tuple[str, ...]:
    names: list[str] = []
    position = 2
    while position < len(data) and len(names) < _MOST:
        end = position + 1 + data[position]
        names.append(host(data[position + 1 : end]))
        position = end
    return tuple(names)


def _supported(data: bytes) -> tuple[int, ...]:
    end = min(1 + data[0], len(data)) if data else 0
    return tuple(_SHORT(data, position)[0] for position in range(1, end - 1, 2))[:_MOST]


class _Flow:
    """A stream whose hello is not complete: its segments in order, and the handshake without the records."""

    __slots__ = ("early", "message", "start", "stream")

    def __init__(self, start: int | None, room: int) -> None:
        self.start = start
        self.early: list[tuple[int, bytes]] = []
        self.stream = Stream(room)
        self.message = bytearray()

    @property
    def begun(self) -> bool:
        """Tell whether bytes of a hello have come."""
        return bool(self.message or self.stream.data)


class Hellos:
    """Finds the ClientHello of many TCP streams; ``key`` names one direction of one connection.

    At most ``flows`` are followed, and ``room`` bytes of each; the oldest gives way.
    """

    def __init__(self, flows: int = 1024, room: int = 65536) -> None:
        self.lost = 0  # hellos given up unfinished: evicted, or too long
        self._flows: OrderedDict[Hashable, _Flow] = OrderedDict()
        self._done: OrderedDict[Hashable, int] = OrderedDict()  # where the hello began
        self._limit, self._room = flows, room

    def begin(self, key: Hashable, sequence: int) -> None:
        """Note the sequence number of a stream's first byte (the SYN's, plus one); optional.

        With it, segments that overtake the first are kept; without it, a few of them are.
        """
        flow = self._flows.get(key)
        if self._done.get(key) == sequence or (flow and flow.start == sequence):
            return  # the SYN again
        self._done.pop(key, None)
        self._flows.pop(key, None)
        self._follow(key, _Flow(sequence, self._room))

    def feed(self, key: Hashable, sequence: int, payload: bytes) -> Hello | None:
        """Add a segment that a client sent; return its hello once, when complete or given up (not ``complete``).

        A connection that begins anew under the same key is noticed where its first segment looks like a hello.
        """
        if not payload:
            return None
        flow = self._flows.get(key)
        if flow is None:
            known = self._done.get(key)
            if known is not None and (known == sequence or not opens(payload)):
                return None
            flow = _Flow(None, self._room)
            self._done.pop(key, None)
            self._follow(key, flow)
        if flow.start is None and not self._starts(flow, sequence, payload):
            if len(flow.early) > _EARLY:
                self._finish(key, sequence)
            return None
        return self._read(key, flow, sequence, payload)

    def _starts(self, flow: _Flow, sequence: int, payload: bytes) -> bool:
        """Keep a segment that came before the first; or begin with the first, and add what was kept."""
        if not opens(payload):
            flow.early.append((sequence, payload[: self._room // _EARLY]))
            return False
        flow.start = sequence
        for other, piece in flow.early:
            flow.stream.add(distance(sequence, other), piece)
        flow.early.clear()
        return True

    def _read(self, key: Hashable, flow: _Flow, sequence: int, payload: bytes) -> Hello | None:
        assert flow.start is not None
        fits = flow.stream.add(distance(flow.start, sequence), payload)
        more = _records(flow)
        message = flow.message
        size = 4 + int.from_bytes(message[1:4], "big") if len(message) >= 4 else 4
        if message and message[0] != CLIENT_HELLO:
            more = False
        elif len(message) >= max(size, 5):
            self._finish(key, flow.start)
            return parse(message[:size])
        if more and fits and size <= self._room:
            return None
        self._finish(key, flow.start)
        if not message or message[0] != CLIENT_HELLO:
            return None
        self.lost += 1
        return (parse(message) or UNKNOWABLE)._replace(complete=False)

    def _follow(self, key: Hashable, flow: _Flow) -> None:
        self._flows[key] = flow
        if len(self._flows) > self._limit:
            _, oldest = self._flows.popitem(last=False)
            self.lost += oldest.begun

    def _finish(self, key: Hashable, start: int) -> None:
        del self._flows[key]
        self._done[key] = start
        if len(self._done) > self._limit:
            self._done.popitem(last=False)


def _records(flow: _Flow) -> bool:
    """Move the handshake out of the records that are there; False when they are not records of a handshake."""
    stream = flow.stream
    while data := stream.data:
        if data[0] != _HANDSHAKE or (len(data) > 1 and data[1] != 3):
            return False
        if len(data) < RECORD:
            break
        size = _SHORT(data, 3)[0]
        if not 0 < size <= _LONGEST_RECORD:
            return False
        if len(data) < RECORD + size:
            break
        flow.message += stream.take(RECORD + size)[RECORD:]
        if len(flow.message) >= 4 and flow.message[0] != CLIENT_HELLO:
            return False
    return True
