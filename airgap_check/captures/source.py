"""Opens a capture or a log, says what it is by its contents, and reads it as a stream; gzip is unpacked on the way."""

from __future__ import annotations

import os
import time
import zlib
from typing import TYPE_CHECKING, BinaryIO, Literal, Self

from airgap_check.captures import conntrack, eve, pcap, pcapng, zeek
from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.input import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Format = Literal["pcap", "pcapng", "zeek", "eve", "conntrack"]

STANDARD_INPUT = "-"
_GZIP = b"\x1f\x8b"
_HEAD = 65536  # bytes in which a log must show what it is
_PIECE = 1 << 20  # bytes read at a time
_PACKED = 8192  # of compressed bytes: all that follow a member are copied at its end, and a member may be tiny
_PLENTY, _MOST_TIMES = 64 << 20, 300  # bytes that may unpack from however few; beyond, no capture is that dull
_LONGEST_LINE = 1 << 20
_READABLE = "pcap, pcapng, Zeek's conn, dns, ssl, http and quic logs, Suricata's eve.json, conntrack -L or -E"


class Source:
    """One open file. ``position`` is in bytes of what is inside, ``damage`` says in words why reading ended early."""

    def __init__(self, path: str, report: Callable[[int], None], deadline: float | None) -> None:
        """Open a file; ``report`` hears how many bytes of it have been read. Raises `UsageError`."""
        self.path = path
        self._name = "standard input" if path == STANDARD_INPUT else path
        self.damage = ""
        self.position = 0
        self._report = report
        self._deadline = deadline
        self._file = _opened(path)
        self._packed = b""  # what follows a member of a gzip file
        self._raw = self._unpacked = 0
        self._ahead = b""
        self._unpack: zlib._Decompress | None = None
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def _begin(self) -> None:
        self._ahead = self._pull(_HEAD)
        if self._ahead.startswith(_GZIP):
            self._unpack = zlib.decompressobj(wbits=31)
            packed, self._ahead = self._ahead, b""
            self._ahead = self._inflate(packed)
        self.format = self._recognise(self._ahead)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _recognise(self, head: bytes) -> Format:
        if head[:4] in pcap.MAGIC:
            return "pcap"
        if head[:4] == pcapng.MAGIC:
            return "pcapng"
        if not head:
            raise InvalidFileError([f"{self._name}:1:1: empty: there is nothing to judge"])
        for line in head.split(b"\n")[:100]:
            if zeek.recognises(line):
                return "zeek"
            if eve.recognises(line):
                return "eve"
            if conntrack.recognises(line):
                return "conntrack"
        raise InvalidFileError([f"{self._name}:1:1: not a file that can be judged; these can: {_READABLE}"])

    def read(self, size: int) -> bytes:
        """Return the next bytes, ``size`` of them unless the file ends, is damaged, or time is up."""
        pieces = []
        left = size
        while left:
            piece, self._ahead = self._ahead[:left], self._ahead[left:]
            if not piece and not (piece := self._next(left)):
                break
            pieces.append(piece)
            left -= len(piece)
        data = b"".join(pieces)
        self.position += len(data)
        return data

    def _next(self, size: int) -> bytes:
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.damage = "time was up"
        if self.damage:
            return b""
        if self._unpack is None:
            return self._pull(size)
        data = b""
        while not data and not self.damage:
            packed = self._unpack.unconsumed_tail or self._packed or self._pull(_PACKED)
            self._packed = b""
            if not packed:
                self.damage = "" if self._unpack.eof else "the compressed data is cut short"
                break
            data = self._inflate(packed, size)
            self._unpacked += len(data)
            if self._unpacked > _PLENTY and self._unpacked > self._raw * _MOST_TIMES:
                self.damage = f"the compressed data unpacks to more than {_MOST_TIMES} times its size"
        return data

    def _inflate(self, packed: bytes, size: int = _PIECE) -> bytes:
        assert self._unpack is not None
        try:
            if self._unpack.eof:  # another member follows
                self._unpack = zlib.decompressobj(wbits=31)
            data = self._unpack.decompress(packed, size)
            self._packed = self._unpack.unused_data
        except zlib.error:
            self.damage = "the compressed data is damaged"
            return b""
        return data

    def _pull(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise UsageError(f"{self._name}: {error.strerror or error}") from error
        self._raw += len(data)
        self._report(self._raw)
        return data

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, without their ends; of one that is too long only its beginning, which is no valid line."""
        rest = b""
        while piece := self.read(_PIECE):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
            if len(rest) > _LONGEST_LINE:
                rest = rest[:_LONGEST_LINE]
        if rest:
            yield rest


def _opened(path: str) -> BinaryIO:
    """Open a regular file, or standard input unless somebody would have to type a capture."""
    if path != STANDARD_INPUT:
        try:
            return open(path, "rb", opener=open_regular)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
    try:
        if os.isatty(0):
            raise UsageError("standard input is a terminal: give files, or a capture through a pipe")
        return open(0, "rb", closefd=False)
    except OSError as error:
        raise UsageError(f"standard input: {error.strerror or error}") from error
