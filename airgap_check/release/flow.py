"""Bytes that pass once: read ahead, counted and hashed on the way, unpacked in pieces, never without end."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from typing import IO, TYPE_CHECKING, cast

from airgap_check.release.trouble import BrokenError, HostileError

if TYPE_CHECKING:
    from bz2 import BZ2Decompressor
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future
    from lzma import LZMADecompressor

CHUNK = 1 << 20
_WORTH_A_THREAD = 1 << 16  # bytes; hashing less costs less than handing it over
_MOST_AHEAD = 4  # chunks that wait to be hashed
_FIRST_STEP = 512
_RATIO_LIMIT = 250  # real layers unpack to 2 to 10 times their size; zeros by gzip to 1,000 times
_HARMLESS = 1 << 26  # bytes that may come out of however few
_SIZE_LIMIT = 1 << 36  # bytes that may come out of anything
_ZSTD_WINDOW = 1 << 27  # bytes; the most that zstd itself takes without being told to

_XZ_MEMORY = 1 << 28  # bytes; xz -9 needs a quarter of it

MAGICS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}


class Digest:
    """A digest that a thread may work on while the next bytes are on their way: hashlib and zlib release the lock.

    ``worker`` has one thread, so that the chunks stay in order.
    """

    def __init__(self, algorithm: str = "sha256", worker: Executor | None = None) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=True)
        self._worker = worker
        self._waiting: deque[Future[None]] = deque()

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._worker is None or len(chunk) < _WORTH_A_THREAD:
            self._settle(0)
            self._hash.update(chunk)
        else:
            self._waiting.append(self._worker.submit(self._hash.update, chunk))
            self._settle(_MOST_AHEAD)

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""
        self._settle(0)
        return self._hash.hexdigest()

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()


class Flow:
    """Bytes that pass once. ``pull(n)`` gives at most ``n`` of them, none at the end; ``size`` counts what it gave."""

    def __init__(self, pull: Callable[[int], bytes], digest: Digest | None = None) -> None:
        self._pull = pull
        self._digest = digest
        self._chunk = b""
        self._at = 0
        self.size = 0

    @property
    def offset(self) -> int:
        """How many bytes were taken."""
        return self.size - len(self._chunk) + self._at

    def hexdigest(self) -> str:
        """Return the digest of what was pulled, which is everything after `drain`. There must be one."""
        assert self._digest is not None
        return self._digest.hexdigest()

    def some(self, most: int) -> bytes:
        """Take at least one byte and at most ``most``; none at the end."""
        if self._at == len(self._chunk) and not self._fill():
            return b""
        begin, self._at = self._at, min(len(self._chunk), self._at + most)
        return self._chunk[begin : self._at]

    def give_back(self, count: int) -> None:
        """Return the last bytes of what `some` gave last."""
        assert count <= self._at
        self._at -= count

    def read(self, count: int) -> bytes:
        """Take exactly so many bytes; fewer only at the end."""
        piece = self.some(count)
        if len(piece) == count or not piece:
            return piece
        pieces = [piece]
        count -= len(piece)
        while count and (piece := self.some(count)):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def peek(self, count: int) -> bytes:
        """Look at the next bytes without taking them; fewer only at the end."""
        while len(self._chunk) - self._at < count:
            rest = self._chunk[self._at :]
            if not self._fill():
                self._chunk, self._at = rest, 0
                break
            self._chunk, self._at = rest + self._chunk, 0
        return self._chunk[self._at : self._at + count]

    def skip(self, count: int) -> int:
        """Pass over so many bytes, and return how many there were."""
        left = count
        while left and (self._at < len(self._chunk) or self._fill()):
            step = min(left, len(self._chunk) - self._at)
            self._at += step
            left -= step
        return count - left

    def drain(self) -> None:
        """Pass over the rest."""
        while self._fill():
            pass
        self._at = len(self._chunk)

    def _fill(self) -> bool:
        chunk = self._pull(CHUNK)
        if not chunk:
            return False
        if self._digest is not None:
            self._digest.update(chunk)
        self.size += len(chunk)
        self._chunk, self._at = chunk, 0
        return True


def part(flow: Flow, size: int) -> Callable[[int], bytes]:
    """Return how to pull the next ``size`` bytes of a flow, and no more."""
    end = flow.offset + size
    return lambda most: flow.some(min(most, end - flow.offset)) if flow.offset < end else b""


def packing(head: bytes) -> str:
    """Return how bytes that begin so are compressed, which is what docker load understands; nothing if not at all."""
    return next((how for magic, how in MAGICS.items() if head.startswith(magic)), "")


def unpacked(flow: Flow, how: str) -> Callable[[int], bytes]:
    """Return how to pull what a compressed flow holds; what is not compressed passes as it is.

    Pulling raises `BrokenError` for what is cut off or no such data, `HostileError` for a bomb, ImportError where the
    library for zstd is not installed.
    """
    if not how:
        return flow.some
    unpack = {"gzip": _gunzip, "zstd": _unzstd, "xz": _unxz, "bzip2": _bunzip2}[how]
    pieces = _within_limits(unpack(flow), flow)
    return lambda _most: next(pieces, b"")


def _within_limits(pieces: Iterator[bytes], flow: Flow) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _SIZE_LIMIT or size > max(_HARMLESS, _RATIO_LIMIT * flow.size):
            raise HostileError(f"a decompression bomb: {flow.size:,} bytes unpack to more than {size:,}")
        yield piece


def _gunzip(flow: Flow) -> Iterator[bytes]:
    """Unpack one gzip member after the other (RFC 1952, section 2.2); what follows the last is not tolerated."""
    while piece := flow.some(_FIRST_STEP):
        engine = zlib.decompressobj(wbits=31)
        step = _FIRST_STEP
        while not engine.eof:
            try:
                out = engine.decompress(piece, CHUNK)
            except zlib.error as error:
                raise BrokenError(f"no gzip data: {error}") from error
            if out:
                yield out
            piece = engine.unconsumed_tail
            if not piece and not engine.eof:
                # members may be tiny: what is given back must never be much more than what was used
                step = min(2 * step, CHUNK)
                piece = flow.some(step)
                if not piece and not out:
                    raise BrokenError("the gzip data is cut off")
        flow.give_back(len(engine.unused_data))


class _Readable:
    """A flow as zstandard wants to read it."""

    def __init__(self, flow: Flow) -> None:
        self.read = flow.some


def _unzstd(flow: Flow) -> Iterator[bytes]:
    import zstandard

    engine = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    reader = engine.stream_reader(cast("IO[bytes]", _Readable(flow)), read_across_frames=True, closefd=False)
    try:
        while piece := reader.read(CHUNK):
            yield piece
    except zstandard.ZstdError as error:
        raise BrokenError(f"no zstd data: {error}") from error


def _unxz(flow: Flow) -> Iterator[bytes]:
    import lzma

    return _streams(flow, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), lzma.LZMAError, "xz")


def _bunzip2(flow: Flow) -> Iterator[bytes]:
    import bz2

    return _streams(flow, bz2.BZ2Decompressor, OSError, "bzip2")


def _streams(
    flow: Flow, begin: Callable[[], LZMADecompressor | BZ2Decompressor], error: type[Exception], how: str
) -> Iterator[bytes]:
    """Unpack one stream after the other."""
    while piece := flow.some(CHUNK):
        engine = begin()
        while not engine.eof:
            try:
                out = engine.decompress(piece, CHUNK)
            except (error, EOFError) as problem:
                raise BrokenError(f"no {how} data: {problem}") from problem
            if out:
                yield out
            piece = b""
            if engine.needs_input and not engine.eof:
                piece = flow.some(CHUNK)
                if not piece:
                    raise BrokenError(f"the {how} data is cut off")
        flow.give_back(len(engine.unused_data))
