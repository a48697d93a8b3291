"""Scans one open file: reads it into memory of our own, finds its faults, and walks it piece by piece.

The file is not mapped: one that shrinks while it is mapped would kill us.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from airgap_check.objectos.artifact import area as areas
from airgap_check.objectos.artifact import fault, leak
from airgap_check.objectos.artifact.fault import FaultError
from airgap_check.objectos.artifact.found import Scan
from airgap_check.objectos.artifact.piece import Member, Piece, members, pieces
from airgap_check.objectos.artifact.pointer import Node, write
from airgap_check.objectos.artifact.sink import Sink
from airgap_check.objectos.artifact.walking import walk_part
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 320 << 20  # bytes of a file; the memory taken is this and some pieces
_CHUNK = 1 << 20
_LENGTH = 256


def scan(descriptor: int, *, at: tuple[str, ...] = (), root: str = "$", deadline: float | None = None) -> Scan:
    """Read an open regular file as an artifact, or as what holds one below the names ``at``.

    ``root`` is what pointers begin with, ``deadline`` of the monotonic clock. Raises nothing: what could not be read
    has the state *unreadable*, what is no artifact *malformed*.
    """
    try:
        text, digest = _read(descriptor, deadline)
    except OSError as error:
        return Scan(state="unreadable", reason=error.strerror or "it cannot be read")
    size = len(text)
    reading = _Reading(root, deadline)
    place: tuple[int, str] | None = None
    try:
        reading.read(text, at)
    except FaultError as error:
        place = (error.offset, error.reason)
        if fault.mend_surrogates(text):  # JavaScript takes half a character, msgspec does not
            reading = _Reading(root, deadline)
            place = reading.attempt(text, at)
    place = place or reading.repeated
    line, column = fault.line_and_column(text, place[0]) if place else (None, None)
    return Scan(
        sha256=digest,
        size=size,
        state="malformed" if place else "intact",
        reason=place[1] if place else "",
        line=line,
        column=column,
        found=tuple(reading.sink.found),
        flaws=reading.sink.flaws(),
        incomplete="; ".join(reading.missed),
        **reading.identity,
    )


def _read(descriptor: int, deadline: float | None) -> tuple[bytearray, str]:
    """Return the bytes of a file and their digest; raises OSError for what is too large, or changed meanwhile."""
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        raise OSError(0, "not a regular file")
    if before.st_size > LIMIT:
        raise OSError(0, f"larger than {LIMIT >> 20} MiB")
    text, digest, size = bytearray(before.st_size), hashlib.sha256(), 0
    view = memoryview(text)
    while size < len(text) and (count := os.preadv(descriptor, [view[size : size + _CHUNK]], size)):
        digest.update(view[size : size + count])
        size += count
        if deadline is not None and time.monotonic() > deadline:
            raise OSError(0, "the time limit came before its end")
    after = os.fstat(descriptor)
    if size != after.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise OSError(0, "it changed while it was read")
    return text, digest.hexdigest()


def _always(_: memoryview) -> bool:
    return True


def _never(_: memoryview) -> bool:
    return False


class _Reading:
    """What the pieces read so far came to."""

    def __init__(self, root: str, deadline: float | None) -> None:
        self.sink = Sink()
        self.missed: list[str] = []
        self.repeated: tuple[int, str] | None = None
        self.identity: dict[str, Any] = {}
        self._root, self._deadline = Node(None, root), deadline
        self._marks: tuple[bytes, ...] = ()

    def attempt(self, text: bytearray, at: tuple[str, ...]) -> tuple[int, str] | None:
        """Read again; return the offset and the reason of a fault."""
        try:
            self.read(text, at)
        except FaultError as error:
            return error.offset, error.reason
        return None

    def read(self, text: bytearray, at: tuple[str, ...]) -> None:
        """Read a whole text. Raises `FaultError` where it stops making sense."""
        data, offset = memoryview(text), 0
        if not data:
            raise FaultError(0, "the file is empty")
        self._marks = leak.marks(text)
        for name in at:
            data, offset = self._descend(data, offset, name)
        for member in self._of(data, offset):
            if member.key == "runtimeModule":
                self._note("runtime_module", self._plain(member))
            elif isinstance(member.key, str):
                self._part(member, areas.section(member.key))
            if self._is_late():
                break
        if self.sink.dropped:
            self.missed.append(f"{self.sink.dropped} destinations more than can be listed")

    def _of(self, data: memoryview, offset: int) -> Iterable[Member]:
        """Yield the members of what must be an object."""
        first = bytes(data[:256]).lstrip()[:1]
        if first == b"[":
            raise FaultError(offset + bytes(data[:256]).index(b"["), "a list, where an object has to be")
        for member in members(data, offset):
            if member.repeats:
                self._repeat(member.offset, str(member.key))
            else:
                yield member

    def _descend(self, data: memoryview, offset: int, name: str) -> tuple[memoryview, int]:
        """Find what a name holds; everything beside it has to be sound as well."""
        inside = None
        for member in self._of(data, offset):
            if member.key == name:
                inside = member
            else:
                for piece in pieces(member, self._root, _never):
                    self._check(piece)
        if inside is None:
            raise FaultError(offset, f"it has no {name}")
        return inside.data, inside.offset

    def _part(self, member: Member, area: areas.Area) -> None:
        place = Node(self._root, member.key)
        # Who it is, and every name that a plug-in left, are read from names that mean nothing elsewhere.
        whole = member.key == "manifest" or area is areas.PLUGINS
        for piece in pieces(member, place, _always if whole else self._is_wary):
            self._check(piece)
            if piece.place is place and member.key == "manifest" and isinstance(piece.value, dict):
                self._identify(piece.value)
            part = area
            for name in piece.place.names_below(place):
                part = areas.below(part, name)
            if piece.skipped and part.sight != "quiet":
                self.missed.append(f"a text of {piece.skipped} bytes at {write(piece.place)}")
            if piece.value:
                walk_part(part, piece.value, piece.place, self.sink, wary=piece.wary)
            if self._is_late():
                return

    def _check(self, piece: Piece) -> None:
        if piece.repeated:
            self._repeat(*piece.repeated)

    def _repeat(self, offset: int, key: str) -> None:
        named = f"the key {key!r}" if key else "a key"
        reason = f"{named} stands here for the second time; the runtime takes the last (JSON.parse)"
        if self.repeated is None or offset < self.repeated[0]:
            self.repeated = (offset, reason)

    def _identify(self, manifest: dict[str, Any]) -> None:
        engines = manifest.get("engines")
        self._note("name", manifest.get("id") or manifest.get("name"))
        self._note("version", manifest.get("version"))
        self._note("protocol", engines.get("protocol") if isinstance(engines, dict) else None)

    def _note(self, what: str, text: object) -> None:
        if isinstance(text, str) and text:
            self.identity[what] = printable(text)[:_LENGTH]

    @staticmethod
    def _plain(member: Member) -> object:
        return next(pieces(member, Node(None, ""), _always)).value

    def _is_wary(self, data: memoryview) -> bool:
        return leak.may_hold_secrets(data, self._marks)

    def _is_late(self) -> bool:
        if self._deadline is None or time.monotonic() < self._deadline:
            return False
        if not self.missed or self.missed[-1] != "stopped at the time limit":
            self.missed.append("stopped at the time limit")
        return True
