"""Makes one consistent image of an SQLite database in our own memory, from its file and its write-ahead log.

SQLite itself may not be let near a running database here: to read a write-ahead log it maps `-shm`, which whoever owns
the file can truncate under us (SIGBUS); it creates `-wal` and `-shm` where there are none, changes their owner as root,
and locks. So files are only ever read, by descriptors, and what was committed in the log is laid over the copy.
Source: the SQLite file format (sqlite.org/fileformat2.html), 1.3 and 4.
"""

from __future__ import annotations

import errno
import os
import time
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import foreign_path, procfs

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 256 << 20  # bytes of the database, and of its log: SQLite makes a second copy of the image
_TRIES = 5
_PAUSE = 0.05  # seconds, between two tries
_CHUNK = 1 << 20
_MAGIC = b"SQLite format 3\0"
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_WAL_HEADER = Struct(">8I")  # magic, version, page size, checkpoint number, two salts, two checksums
_FRAME_HEADER = Struct(">6I")  # page number, size of the database after a commit, two salts, two checksums
_HALF = "a rollback journal lies beside it: it may hold half of a transaction"
_LITTLE, _BIG = 0x377F0682, 0x377F0683


class ImageError(Exception):
    """There is no image to be had; the text says why."""


class Image(NamedTuple):
    """A database as it was at one moment. ``doubt`` says why it may not be, empty where it is."""

    data: bytearray
    doubt: str = ""


def read(thread: int, path: str, deadline: float | None, limit: int = LIMIT) -> Image:
    """Read a database as a process finds it. Raises OSError where it may not be read, and `ImageError`.

    Nobody is asked to wait: when the files change meanwhile, they are read once more, a few times.
    """
    path = foreign_path.real(thread, path)  # SQLite keeps its log beside the file, not beside a link to it
    database = procfs.open_in_root(thread, path)
    try:
        for attempt in range(_TRIES):
            log = _open(thread, f"{path}-wal")
            hot = _is_hot(thread, f"{path}-journal")
            try:
                data = _attempt(database, log, deadline, limit)
            finally:
                if log is not None:
                    os.close(log)
            if data is not None and (not hot or attempt == _TRIES - 1):
                return Image(data, _HALF if hot else "")
            _check(deadline)
            time.sleep(_PAUSE)
    finally:
        os.close(database)
    raise ImageError("is written to all the time, so that no consistent copy could be made")


def _attempt(database: int, log: int | None, deadline: float | None, limit: int) -> bytearray | None:
    """Copy both files; None when somebody wrote to the database, or began the log anew, meanwhile."""
    before, generation = _moment(database), _read(log, 0, _WAL_HEADER.size)
    data = _whole(database, before[0], deadline, limit)
    frames = _whole(log, _size(log), deadline, limit) if log is not None else bytearray()
    if _moment(database) != before or _read(log, 0, _WAL_HEADER.size) != generation or len(data) != before[0]:
        return None
    if data and not data.startswith(_MAGIC):
        raise ImageError("is not an SQLite database, or an encrypted one")
    overlay(data, frames, deadline)
    if len(data) > 19:
        data[18] = data[19] = 1  # an image has no log any more (sqlite3_deserialize: "set bytes 18 and 19 to 0x01")
    return data


def overlay(data: bytearray, log: bytes | bytearray, deadline: float | None = None) -> int:
    """Lay the committed transactions of a write-ahead log over a database; return how many frames that were.

    A log that does not begin as one holds nothing, as for SQLite itself. Raises `ImageError` at the deadline, and for a
    log that makes the database absurdly big.
    """
    pages: dict[int, int] = {}
    pending: dict[int, int] = {}
    size = count = page_size = 0
    for index, (number, pages_after, begin, length) in enumerate(_frames(log, deadline)):
        page_size = length
        pending[number] = begin
        if pages_after:
            pages |= pending
            pending.clear()
            size, count = pages_after, index + 1
    if not count:
        return 0
    if size * page_size > 2 * LIMIT:
        raise ImageError(f"its write-ahead log makes it bigger than {2 * LIMIT >> 20} MiB")
    del data[size * page_size :]
    data.extend(bytes(size * page_size - len(data)))
    for number, begin in pages.items():
        if number <= size:
            data[(number - 1) * page_size : number * page_size] = log[begin : begin + page_size]
    return count


def _frames(log: bytes | bytearray, deadline: float | None) -> Iterator[tuple[int, int, int, int]]:
    """Yield each valid frame: page number, size of the database in pages after a commit or 0, offset, page size.

    The first frame with other salts, or a wrong checksum, ends the log: what follows is of an earlier one, or torn.
    """
    if len(log) < _WAL_HEADER.size:
        return
    magic, _, page_size, _, *salts, first, second = _WAL_HEADER.unpack_from(log)
    if magic not in {_LITTLE, _BIG} or not 512 <= page_size <= 65536 or page_size & (page_size - 1):
        return
    words = Struct(f"{'<' if magic == _LITTLE else '>'}{page_size // 4}I")
    heads = Struct(f"{words.format[0]}6I"), Struct(f"{words.format[0]}2I")
    if _checksum(heads[0].unpack_from(log), 0, 0) != (first, second):
        return
    position = _WAL_HEADER.size
    while position + _FRAME_HEADER.size + page_size <= len(log):
        _check(deadline)
        number, pages_after, *own, end_first, end_second = _FRAME_HEADER.unpack_from(log, position)
        begin = position + _FRAME_HEADER.size
        first, second = _checksum(heads[1].unpack_from(log, position), first, second)
        first, second = _checksum(words.unpack_from(log, begin), first, second)
        if own != salts or (first, second) != (end_first, end_second) or not number:
            return
        yield number, pages_after, begin, page_size
        position = begin + page_size


def _checksum(words: tuple[int, ...], first: int, second: int) -> tuple[int, int]:
    """Continue the checksum of a log over an even number of 32-bit words (4.2 of the format)."""
    pairs = iter(words)
    for one, two in zip(pairs, pairs, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second


def _open(thread: int, path: str) -> int | None:
    try:
        return procfs.open_in_root(thread, path)
    except FileNotFoundError:
        return None


def _is_hot(thread: int, path: str) -> bool:
    """Tell whether a rollback journal says that a transaction is under way, or was when its writer died."""
    journal = _open(thread, path)
    if journal is None:
        return False
    try:
        return _read(journal, 0, len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC
    finally:
        os.close(journal)


def _moment(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _size(descriptor: int) -> int:
    return os.fstat(descriptor).st_size


def _read(descriptor: int | None, offset: int, length: int) -> bytes:
    return b"" if descriptor is None else os.pread(descriptor, length, offset)


def _whole(descriptor: int, size: int, deadline: float | None, limit: int) -> bytearray:
    """Read a file up to the size that it had; one that shrinks meanwhile comes out shorter."""
    if size > limit:
        raise OSError(errno.EFBIG, f"{size >> 20} MiB, more than the {limit >> 20} MiB that are copied")
    data = bytearray()
    while len(data) < size:
        _check(deadline)
        part = os.pread(descriptor, min(_CHUNK, size - len(data)), len(data))
        if not part:
            break
        data += part
    return data


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise ImageError("the time limit came before it was read")
