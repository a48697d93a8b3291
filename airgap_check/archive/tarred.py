"""Tar archives under zstd in the one way that we write them (POSIX.1-2017 ustar; RFC 8878), as `zipped` says.

The members are one frame, compressed; manifest, statement and the mark of the end are a second one, of raw blocks.
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from airgap_check.archive.form import (
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

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_LEVEL = 9
_WINDOW = 1 << 27  # bytes; the most that zstd itself takes without being told to
_SIP = 1 << 10  # bytes; four of them may unpack to 128 KiB
_FRAME = struct.Struct("<4sBI")  # magic, descriptor, size of the content
_MAGIC = b"\x28\xb5\x2f\xfd"
_SINGLE_SEGMENT = 0b10100000  # the size in four bytes, no checksum, no dictionary (RFC 8878, section 3.1.1.1.1)
_RAW_BLOCK = 1 << 17
_TYPES = {
    "1": "a hard link", "2": "a symbolic link", "3": "a device", "4": "a device", "5": "a folder", "6": "a pipe",
    "x": "a header that overrides another", "g": "a header that overrides others", "L": "a long name", "S": "sparse",
}  # fmt: skip


def _header(name: str, size: int, stamp: int) -> bytes:
    fields = (name.encode(), b"0000600\0", b"0000000\0", b"0000000\0", b"%011o\0" % size, b"%011o\0" % stamp)
    block = struct.pack("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x", *fields, b" " * 8, b"0", b"", b"ustar\0", b"00",
                        b"", b"", b"0000000\0", b"0000000\0", b"")  # fmt: skip
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


class Writer:
    """Writes an archive, stamped with this many seconds since 1970."""

    def __init__(self, stamp: int) -> None:
        self._stamp = stamp
        self.entries: list[Entry] = []

    def body(self, members: Iterable[Member]) -> Iterator[bytes]:
        """Yield the members in their order. Raises `BadArchiveError` for what is too large."""
        import zstandard

        engine = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
        for member in members:
            size = sum(map(len, member.pieces()))
            content = Measured(member.name, member.pieces())
            yield engine.compress(_header(member.name, size, self._stamp))
            for piece in content:
                yield engine.compress(piece)
            yield engine.compress(_padding(size))
            self.entries.append(content.entry())
        yield engine.flush()

    def tail(self, contents: Sequence[tuple[str, bytes]]) -> bytes:
        """Return what follows the members: these, and the end."""
        pieces = [
            _header(name, len(content), self._stamp) + content + _padding(len(content)) for name, content in contents
        ]
        return _framed(b"".join(pieces) + _END)


def _framed(content: bytes) -> bytes:
    """Return a frame of raw blocks."""
    pieces = [_FRAME.pack(_MAGIC, _SINGLE_SEGMENT, len(content))]
    for begin in range(0, len(content), _RAW_BLOCK):
        block = content[begin : begin + _RAW_BLOCK]
        last = begin + _RAW_BLOCK >= len(content)
        pieces += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return b"".join(pieces)


def _unframed(frame: bytes) -> bytes:
    """Return what a frame of raw blocks holds; what is none is found out when it is written anew."""
    pieces = []
    at = _FRAME.size
    while at < len(frame):
        size = int.from_bytes(frame[at : at + 3], "little") >> 3
        pieces.append(frame[at + 3 : at + 3 + size])
        at += 3 + size
    return b"".join(pieces)


class Reader:
    """Reads an archive from its beginning; ``offset`` is where the body ends, once `members` has come to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stamp: int | None = None
        self._stock, self._at = b"", 0
        self.offset = 0

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield each name with its content, which has to be taken before the next. Raises `BadArchiveError`."""
        self._file.seek(0)
        unpacked = self._unpacked()
        seen: set[str] = set()
        before = ""
        while block := self._take(unpacked, _BLOCK):
            name, size = self._parse(block)
            check_order(name, before, seen)
            before = name
            if size > largest(name):
                raise BadArchiveError(f"member {name}: its header says {size:,} bytes")
            yield name, self._content(unpacked, name, size)
            if self._take(unpacked, -size % _BLOCK) != _padding(size):
                raise BadArchiveError(f"something stands behind {name}, where there is nothing")

    def _unpacked(self) -> Iterator[bytes]:
        """Unpack the first frame, and note where it ends."""
        import zstandard

        engine = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        while not engine.eof:
            sip = self._file.read(_SIP)
            if not sip:
                raise BadArchiveError("cut off: the manifest is missing")
            self.offset += len(sip)
            try:
                out = engine.decompress(sip)
            except zstandard.ZstdError as error:
                raise BadArchiveError(f"the members cannot be unpacked: {error}") from error
            if out:
                yield out
        self.offset -= len(engine.unused_data)

    def _take(self, unpacked: Iterator[bytes], count: int) -> bytes:
        """Take so many bytes; none at the end. Raises `BadArchiveError` for fewer."""
        while len(self._stock) - self._at < count:
            rest, self._at = self._stock[self._at :], 0
            more = next(unpacked, b"")
            self._stock = rest + more
            if not more and rest:
                raise BadArchiveError("cut off within a member")
            if not more:
                return b""
        self._at += count
        return self._stock[self._at - count : self._at]

    def _content(self, unpacked: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
        left = size
        while left:
            if self._at == len(self._stock):
                self._stock, self._at = next(unpacked, b""), 0
            piece = self._stock[self._at : self._at + left]
            if not piece:
                raise BadArchiveError(f"cut off within {name}")
            self._at += len(piece)
            left -= len(piece)
            yield piece

    def _parse(self, block: bytes) -> tuple[str, int]:
        """Read one header. It is as we write it, or the archive is refused."""
        name = block[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
        if kind := _TYPES.get(chr(block[156])):
            raise BadArchiveError(f"member {name[:120]} is {kind}")
        try:
            size, stamp = int(block[124:135], 8), int(block[136:147], 8)
            written = _header(name, size, stamp if self._stamp is None else self._stamp)
        except (ValueError, struct.error):
            written = b""
        if block != written:
            raise BadArchiveError(f"the header of member {name[:120]} is not as we write it")
        self._stamp = stamp
        return name, size

    def tail(self) -> list[tuple[str, bytes]]:
        """Return what follows the body, each with its content. Raises `BadArchiveError` unless we write it so."""
        self._file.seek(self.offset)
        found = self._file.read(TAIL_LIMIT + 1)
        content = _unframed(found)
        contents = []
        at = 0
        for _ in range(2):
            block = content[at : at + _BLOCK]
            if len(block) < _BLOCK:
                raise BadArchiveError("cut off: manifest or statement is missing")
            name, size = self._parse(block)
            contents.append((name, content[at + _BLOCK : at + _BLOCK + size]))
            at += _BLOCK + size + len(_padding(size))
        if contents[0][0] != MANIFEST:
            raise BadArchiveError("the manifest is not where it has to be")
        written = Writer(self._stamp or 0).tail(contents)
        if found != written:
            more = len(found) - len(written)
            follows = more > 0 and found.startswith(written)
            raise BadArchiveError(f"{more:,} bytes follow the end" if follows else "the end is not as we write it")
        return contents

    def is_stamped(self, moment: datetime) -> bool:
        """Tell whether all of it bears the time of a moment."""
        return self._stamp == int(moment.timestamp())
