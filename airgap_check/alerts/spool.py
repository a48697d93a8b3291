"""The messages that wait on disk: one file a message and destination, until it was delivered or had to be given up.

A file comes to be whole or not at all, and is removed only after its delivery: being killed costs a double at worst.
What is bounded is how many there are, how large together and how old; the oldest go first, and are counted.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from airgap_check import output
from airgap_check.alerts.message import Alert
from airgap_check.errors import UsageError
from airgap_check.evidence.fact import Fact
from airgap_check.history import folder
from airgap_check.input import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_EACH: Final = 200
"""How many messages wait for one destination."""
MOST: Final = 1000
MOST_BYTES: Final = 32 << 20
OLDEST: Final = timedelta(days=30)
_FILE_LIMIT = 1 << 20
_PATIENCE = 5.0  # seconds that another run may hold the queue; it needs milliseconds
_PAUSE = 0.02
_F = TypeVar("_F", bound=Fact)
_MESSAGE, _STANDING, _TEMPORARY = ".alert", ".standing", ".tmp"


class Message(Fact, frozen=True, kw_only=True):
    """An alert that waits. ``made`` is when the run that it tells of ended."""

    destination: str
    made: datetime
    alert: Alert


class Standing(Fact, frozen=True, kw_only=True):
    """How it stands with a destination: failures in a row and since when, when to try again, how many were dropped."""

    destination: str = ""
    failures: int = 0
    since: datetime | None = None
    again: datetime | None = None
    error: str = ""
    dropped: int = 0


class Waiting(NamedTuple):
    """A message's file; names sort in the order in which messages came. ``key`` stands for its destination."""

    name: str
    key: str
    size: int


class Spool:
    """The folder ``spool`` of a state folder. What it does raises `UsageError` where the disk does not let it."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "spool")
        folder.prepare(state_dir)
        folder.prepare(self._path)

    @contextmanager
    def delivering(self, patience: float) -> Iterator[bool]:
        """Be the only run that delivers; False where another one is at it all the time."""
        with self._held("delivery.lock", patience) as held:
            yield held

    def put(self, destination: str, alert: Alert) -> int:
        """Keep a message, once an id, and return how many older ones had to go."""
        with self._queue():
            waiting = self._waiting()
            if any(f"-{alert.id}{_MESSAGE}" in one.name for one in waiting):
                return 0
            number = max((int(one.name.partition("-")[0]) for one in waiting), default=0) + 1
            name = f"{number:012d}-{_key(destination)}-{alert.id}{_MESSAGE}"
            self._write(name, Message(destination=destination, made=alert.finished, alert=alert))
            return self._shorten(self._waiting(), alert.finished)

    def head(self, destination: str) -> tuple[str, Message] | None:
        """Return the oldest message for a destination with the name to remove it by; what cannot be read is dropped."""
        key = _key(destination)
        with self._queue():
            for one in self._waiting():
                if one.key != key:
                    continue
                message = self._read(one.name)
                if message is not None and message.destination == destination:
                    return one.name, message
                self._drop(one)
        return None

    def is_waiting(self) -> bool:
        """Tell whether there is anything to deliver."""
        return bool(self._waiting())

    def count(self, destination: str) -> int:
        """Return how many messages wait for a destination."""
        return sum(1 for one in self._waiting() if one.key == _key(destination))

    def remove(self, name: str) -> None:
        """Forget a message that was delivered."""
        with self._queue(), _as_usage(self._path):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._path, name))
            self._settle()

    def expire(self, now: datetime) -> int:
        """Drop what is too old, and return how many that were."""
        with self._queue():
            return self._shorten(self._waiting(), now)

    def standing(self, destination: str) -> Standing:
        """Return how it stands with a destination; nothing is held against one whose file cannot be read."""
        return self._standing(_key(destination), destination)

    def keep(self, standing: Standing) -> None:
        """Remember how it stands with a destination."""
        with self._queue():
            self._write(f"{_key(standing.destination)}{_STANDING}", standing)

    def settle(self, destination: str, told: int) -> None:
        """Hold no failure against a destination any more, nor the dropped messages that it was told of."""
        standing = self.standing(destination)
        dropped = max(0, standing.dropped - told)
        if standing != (settled := Standing(destination=destination, dropped=dropped)):
            self.keep(settled)

    def give_up(self, destination: str, name: str) -> None:
        """Drop a message that will never be taken."""
        with self._queue():
            self._drop(Waiting(name, _key(destination), 0))

    def _shorten(self, waiting: list[Waiting], now: datetime) -> int:
        """Drop the oldest until the rest is within bounds."""
        dropped = 0
        for key in dict.fromkeys(one.key for one in waiting):
            mine = [one for one in waiting if one.key == key]
            while mine and (len(mine) > MOST_EACH or self._is_old(mine[0], now)):
                self._drop(mine[0])
                waiting.remove(mine.pop(0))
                dropped += 1
        total = sum(one.size for one in waiting)
        while len(waiting) > MOST or total > MOST_BYTES:
            total -= waiting[0].size
            self._drop(waiting.pop(0))
            dropped += 1
        return dropped

    def _is_old(self, one: Waiting, now: datetime) -> bool:
        message = self._read(one.name)
        return message is not None and now - message.made > OLDEST

    def _drop(self, one: Waiting) -> None:
        standing = self._standing(one.key, "")
        self._write(f"{one.key}{_STANDING}", replace(standing, dropped=standing.dropped + 1))
        with _as_usage(self._path), suppress(FileNotFoundError):
            os.unlink(os.path.join(self._path, one.name))

    def _standing(self, key: str, destination: str) -> Standing:
        standing = _decoded(os.path.join(self._path, f"{key}{_STANDING}"), Standing) or Standing()
        return replace(standing, destination=destination or standing.destination)

    def _read(self, name: str) -> Message | None:
        return _decoded(os.path.join(self._path, name), Message)

    def _write(self, name: str, content: Fact) -> None:
        output.write(os.path.join(self._path, name), [msgspec.json.encode(content)])
        with _as_usage(self._path):
            self._settle()

    def _settle(self) -> None:
        """Make sure that what was renamed or removed is so after a power cut, too."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _waiting(self) -> list[Waiting]:
        found = []
        with _as_usage(self._path), os.scandir(self._path) as entries:
            for entry in entries:
                number, _, rest = entry.name.removesuffix(_MESSAGE).partition("-")
                if entry.name.endswith(_MESSAGE) and number.isascii() and number.isdigit():
                    with suppress(FileNotFoundError):
                        size = entry.stat(follow_symlinks=False).st_size
                        found.append(Waiting(entry.name, rest.partition("-")[0], size))
        return sorted(found)

    @contextmanager
    def _queue(self) -> Iterator[None]:
        with self._held("queue.lock", _PATIENCE) as held:
            if not held:
                raise UsageError(f"{self._path}: another run of airgap-check holds it")
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a run left half written when it was killed; whoever writes holds the queue."""
        with _as_usage(self._path):
            for name in os.listdir(self._path):
                if name.endswith(_TEMPORARY):
                    os.unlink(os.path.join(self._path, name))

    @contextmanager
    def _held(self, name: str, patience: float) -> Iterator[bool]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with _as_usage(self._path):
            descriptor = os.open(os.path.join(self._path, name), flags, 0o600)
        try:
            yield _lock(descriptor, time.monotonic() + patience)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE)
        else:
            return True


def _key(destination: str) -> str:
    """Stand for a destination in file names: what people call it may be anything."""
    return sha256(destination.encode()).hexdigest()[:16]


def _decoded(path: str, kind: type[_F]) -> _F | None:
    """Read a file of ours; None where there is none, or not such a one."""
    try:
        return msgspec.json.decode(read_bytes(path, _FILE_LIMIT), type=kind)
    except (UsageError, msgspec.DecodeError, ValueError):
        return None


@contextmanager
def _as_usage(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
