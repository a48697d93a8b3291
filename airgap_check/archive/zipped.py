"""Zip archives in the one way that we write them (PKWARE APPNOTE 6.3.10): every byte follows from the content.

Members are deflated, in the order of their names, with sizes in front; manifest and statement come last, and as they
are. The reader refuses anything else. What deflate makes of a content is not unique, so the manifest has its digest.
"""

from __future__ import annotations

import struct
import zlib
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, NamedTuple

from airgap_check.archive.form import (
    CHUNK,
    MANIFEST,
    TAIL_LIMIT,
    BadArchiveError,
    Entry,
    Measured,
    Member,
    check_order,
    largest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_VERSION = 20  # 2.0: deflate
_MADE_BY = 3 << 8 | _VERSION  # Unix
_PRIVATE = 0o100600 << 16
_STORED, _DEFLATED = 0, 8
_IN_MEMORY = 1 << 24
_MOST = (1 << 32) - 1
_TOO_MUCH = "more than a zip archive holds: write .tar.zst"


class _Packed(NamedTuple):
    """A member as it lies in the archive."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int


class Stamp(NamedTuple):
    """A time as MS-DOS writes it: two seconds to the tick, 1980 to 2107, here in UTC."""

    time: int
    date: int

    @classmethod
    def of(cls, moment: datetime) -> Stamp:
        """Return the stamp of a moment."""
        year = min(max(moment.year, 1980), 2107)
        return cls(
            moment.hour << 11 | moment.minute << 5 | moment.second // 2,
            (year - 1980) << 9 | moment.month << 5 | moment.day,
        )


class Writer:
    """Writes an archive; ``folder`` is where what is too large for the memory waits for its header."""

    def __init__(self, stamp: Stamp, folder: str) -> None:
        self._stamp, self._folder = stamp, folder
        self._packed: list[_Packed] = []
        self._offset = 0
        self.entries: list[Entry] = []

    def body(self, members: Iterable[Member]) -> Iterator[bytes]:
        """Yield the members in their order. Raises OSError, and `BadArchiveError` for what is too large."""
        for member in members:
            content = Measured(member.name, member.pieces())
            with SpooledTemporaryFile(_IN_MEMORY, dir=self._folder) as spool:
                crc = _deflate(content, spool)
                packed = spool.tell()
                entry = content.entry()
                self.entries.append(entry)
                yield self._local(_Packed(entry.name, _DEFLATED, crc, packed, entry.size, self._offset))
                spool.seek(0)
                while piece := spool.read(CHUNK):
                    yield piece

    def tail(self, contents: Sequence[tuple[str, bytes]]) -> bytes:
        """Return what follows the members: these, the directory, the end. Raises `BadArchiveError`."""
        pieces, listed, begin = [], list(self._packed), self._offset
        for name, content in contents:
            packed = _Packed(name, _STORED, zlib.crc32(content), len(content), len(content), begin)
            listed.append(packed)
            pieces += [_local(packed, self._stamp), content]
            begin += len(pieces[-2]) + len(content)
            if begin > _MOST:
                raise BadArchiveError(_TOO_MUCH)
        directory = b"".join(_central(packed, self._stamp) for packed in listed)
        if begin + len(directory) > _MOST:
            raise BadArchiveError(_TOO_MUCH)
        count = len(listed)
        end = _END.pack(_END_MAGIC, 0, 0, count, count, len(directory), begin, 0)
        return b"".join([*pieces, directory, end])

    def _local(self, packed: _Packed) -> bytes:
        if packed.offset > _MOST or packed.packed > _MOST:
            raise BadArchiveError(_TOO_MUCH)
        self._packed.append(packed)
        header = _local(packed, self._stamp)
        self._offset += len(header) + packed.packed
        return header


def _deflate(content: Iterable[bytes], spool: IO[bytes]) -> int:
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    crc = 0
    for piece in content:
        crc = zlib.crc32(piece, crc)
        spool.write(engine.compress(piece))
    spool.write(engine.flush())
    return crc


def _local(packed: _Packed, stamp: Stamp) -> bytes:
    name = packed.name.encode()
    fields = (packed.method, *stamp, packed.crc, packed.packed, packed.size, len(name), 0)
    return _LOCAL.pack(_LOCAL_MAGIC, _VERSION, 0, *fields) + name


def _central(packed: _Packed, stamp: Stamp) -> bytes:
    name = packed.name.encode()
    fields = (packed.method, *stamp, packed.crc, packed.packed, packed.size, len(name), 0, 0, 0, 0)
    return _CENTRAL.pack(_CENTRAL_MAGIC, _MADE_BY, _VERSION, 0, *fields, _PRIVATE, packed.offset) + name


class Reader:
    """Reads an archive from its beginning; ``offset`` is where the body ends, once `members` has come to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stamp: Stamp | None = None
        self._packed: list[_Packed] = []
        self.offset = 0

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield each name with its content, which has to be taken before the next. Raises `BadArchiveError`."""
        self._file.seek(0)
        seen: set[str] = set()
        before = ""
        while True:
            packed = self._header(self.offset)
            if packed.name == MANIFEST:
                return
            check_order(packed.name, before, seen)
            before = packed.name
            if packed.method != _DEFLATED:
                raise BadArchiveError(f"member {packed.name} is not deflated")
            if packed.size > largest(packed.name):
                raise BadArchiveError(f"member {packed.name}: its header says {packed.size:,} bytes")
            self._packed.append(packed)
            yield packed.name, self._content(packed)
            self.offset += _LOCAL.size + len(packed.name) + packed.packed

    def _header(self, offset: int) -> _Packed:
        """Read one local header. It is as we write it, or the archive is refused."""
        block = self._file.read(_LOCAL.size)
        if len(block) < _LOCAL.size:
            raise BadArchiveError(f"cut off at byte {offset:,}: the manifest is missing")
        magic, _, flags, method, time, date, crc, packed, size, length, _ = _LOCAL.unpack(block)
        if magic != _LOCAL_MAGIC:
            raise BadArchiveError(f"byte {offset:,}: no header where a member begins; the manifest is missing")
        name = self._file.read(length)
        shown = name[:120].decode("ascii", "backslashreplace")
        if flags & 1:
            raise BadArchiveError(f"member {shown} is encrypted")
        if flags & 8:
            raise BadArchiveError(f"member {shown} has its sizes behind it, where a reader may not look")
        self._stamp = self._stamp or Stamp(time, date)
        found = _Packed(shown, method, crc, packed, size, offset)
        if _local(found, self._stamp) != block + name:
            raise BadArchiveError(f"the header of member {shown} is not as we write it")
        return found

    def _content(self, packed: _Packed) -> Iterator[bytes]:
        engine = zlib.decompressobj(-15)
        crc = size = 0
        left = packed.packed
        while left and not engine.eof:
            piece = self._file.read(min(left, CHUNK))
            if not piece:
                raise BadArchiveError(f"cut off within {packed.name}")
            left -= len(piece)
            while piece and not engine.eof:
                try:
                    out = engine.decompress(piece, CHUNK)
                except zlib.error as error:
                    raise BadArchiveError(f"{packed.name} cannot be unpacked: {error}") from error
                piece = engine.unconsumed_tail
                size += len(out)
                crc = zlib.crc32(out, crc)
                if size > packed.size:
                    raise BadArchiveError(
                        f"{packed.name} unpacks to more than the {packed.size:,} bytes that it claims"
                    )
                yield out
        if left or engine.unused_data or not engine.eof:
            raise BadArchiveError(f"the data of {packed.name} does not end where its header says")
        if (crc, size) != (packed.crc, packed.size):
            raise BadArchiveError(f"{packed.name} is not what its header says: another length or checksum")

    def tail(self) -> list[tuple[str, bytes]]:
        """Return what follows the body, each with its content. Raises `BadArchiveError` unless we write it so."""
        self._file.seek(self.offset)
        contents = []
        offset = self.offset
        for _ in range(2):
            packed = self._header(offset)
            content = self._file.read(min(packed.packed, TAIL_LIMIT))
            contents.append((packed.name, content))
            offset += _LOCAL.size + len(packed.name) + len(content)
        self._file.seek(self.offset)
        found = self._file.read(TAIL_LIMIT + 1)
        writer = Writer(self._stamp or Stamp(0, 0), "")
        writer._packed, writer._offset = list(self._packed), self.offset  # noqa: SLF001  (it is the other half of this)
        _compare(found, writer.tail(contents), offset - self.offset)
        return contents

    def is_stamped(self, moment: datetime) -> bool:
        """Tell whether all of it bears the time of a moment."""
        return self._stamp == Stamp.of(moment)


def _compare(found: bytes, written: bytes, directory: int) -> None:
    """Refuse a directory and an end that are not those of these members. Raises `BadArchiveError`."""
    if found == written:
        return
    if found.startswith(written):
        raise BadArchiveError(f"{len(found) - len(written):,} bytes follow the end")
    if found[:directory] != written[:directory]:
        raise BadArchiveError("manifest or statement is not what its header says: another checksum, or packed")
    at = directory
    while written[at : at + 4] == _CENTRAL_MAGIC:
        length = _CENTRAL.size + int.from_bytes(written[at + 28 : at + 30], "little")
        if found[at : at + length] != written[at : at + length]:
            name = written[at + _CENTRAL.size : at + length].decode("ascii", "backslashreplace")
            raise BadArchiveError(
                f"the directory says otherwise of {name} than its header: a name, size, mode or place"
            )
        at += length
    raise BadArchiveError("the directory lists more members, or does not end as it has to")
