"""Which forms an archive has, by its name and by its first bytes, and which members with which sizes it may hold."""

from __future__ import annotations

import re
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

from airgap_check.errors import UsageError
from airgap_check.input import SIZE_LIMIT, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Form = Literal["zip", "tar.zst"]

EVIDENCE, REPORT, JUDGEMENT, POLICY = "evidence.jsonl", "report.json", "judgement.json", "policy.yaml"
MANIFEST, STATEMENT, ENVELOPE = "manifest.json", "statement.json", "attestation.dsse.json"
COVERAGE, SELF_TEST, TOOL, RULES = "coverage.json", "self-test.json", "tool.json", "rules/"

CHUNK = 1 << 20
_MAGICS: dict[bytes, Form] = {b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "tar.zst"}
_FOREIGN = re.compile(r"\.(tar|gz|tgz|bz2|tbz2?|xz|txz|zst|tzst|7z|rar)$", re.IGNORECASE)
_COMPONENT = re.compile(r"[A-Za-z0-9%._~-]+")
LONGEST_NAME = 100  # bytes: what fits into the one field that every reader of tar knows
MOST_MEMBERS = 10_000
TAIL_LIMIT = 1 << 26  # bytes of what follows the body: manifest, statement, directory
_LARGEST: dict[str, int] = {EVIDENCE: 1 << 30, REPORT: 1 << 29, JUDGEMENT: 1 << 28}  # bytes
_LARGEST_OTHER = 1 << 22
_OTHERS_TOGETHER = 1 << 24  # a bomb may be made of many; YAML takes seconds a megabyte


class BadArchiveError(Exception):
    """An archive that is not as we write it: broken, or changed by somebody; the message says where."""


class Member(NamedTuple):
    """What goes into an archive: ``pieces`` begins its content anew, as often as it is called."""

    name: str
    pieces: Callable[[], Iterable[bytes]]


class Entry(NamedTuple):
    """What an archive holds; ``sha256`` is of the content."""

    name: str
    size: int
    sha256: str


class Measured:
    """Counts and hashes the pieces that pass. Raises `BadArchiveError` for more than a member may hold."""

    def __init__(self, name: str, pieces: Iterable[bytes]) -> None:
        self._name, self._pieces = name, pieces
        self._limit = largest(name)
        self._hash = sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            if self.size > self._limit:
                raise BadArchiveError(f"{self._name}: more than {self._limit:,} bytes")
            self._hash.update(piece)
            yield piece

    def entry(self) -> Entry:
        """Return what has passed."""
        return Entry(self._name, self.size, self._hash.hexdigest())


def largest(name: str) -> int:
    """Return how many bytes a member may hold."""
    return SIZE_LIMIT if name.startswith(RULES) else _LARGEST.get(name, _LARGEST_OTHER)


def check_together(entries: Iterable[Entry]) -> None:
    """Refuse small members that together are none. Raises `BadArchiveError`."""
    if sum(entry.size for entry in entries if entry.name not in _LARGEST) > _OTHERS_TOGETHER:
        raise BadArchiveError(f"more than {_OTHERS_TOGETHER:,} bytes of policy, rules and the like")


def of(path: str) -> Form | None:
    """Return the form that a name asks for; None is for JSON Lines. Raises `UsageError` for another kind of archive."""
    for form in _MAGICS.values():
        if path.lower().endswith(f".{form}"):
            return form
    if match := _FOREIGN.search(path):
        raise UsageError(
            f"{path}: an archive ends in .zip or .tar.zst, never in {match[0]}; .jsonl is the evidence alone"
        )
    return None


def check(path: str) -> None:
    """Refuse, before any work, a name whose archive could not be written. Raises `UsageError`."""
    if of(path) == "tar.zst":
        require_zstandard(path)


def require_zstandard(path: str) -> None:
    """Raise `UsageError` where the library for zstd is not installed."""
    try:
        import zstandard  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{path}: zstd needs a library: pip install 'airgap-check[archive]', or write .zip") from error


def is_archive(path: str) -> bool:
    """Tell by its first bytes whether a file is an archive, whatever it is called. Raises `UsageError`."""
    with opened(path) as file:
        return sniff(file) is not None


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file to read it. Raises `UsageError`, also for a medium that fails while it is read."""
    try:
        with _file(path) as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _file(path: str) -> IO[bytes]:
    try:
        return open(path, "rb", opener=open_regular)
    except ValueError as error:  # no file has such a name
        raise UsageError(f"{path}: {error}") from error


def sniff(file: IO[bytes]) -> Form | None:
    """Return the form that the first bytes show."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    return _MAGICS.get(head)


def fault_of(name: str) -> str:
    """Say why a member cannot be called so, or nothing: no path may lead out of where it is unpacked."""
    if name.startswith("/"):
        return "an absolute path"
    parts = name.split("/")
    if ".." in parts or "." in parts:
        return "a path that leads elsewhere"
    if not all(_COMPONENT.fullmatch(part) for part in parts):
        return "a name with characters that no member has"
    return "a name that is too long" if len(name) > LONGEST_NAME else ""


def check_order(name: str, before: str, seen: set[str]) -> None:
    """Note a name, and refuse one that no member has, or that does not follow. Raises `BadArchiveError`."""
    if fault := fault_of(name):
        raise BadArchiveError(f"member {name[:120]!r}: {fault}")
    if name.casefold() in seen:
        raise BadArchiveError(f"member {name} is there twice, or differs from another only by case")
    if name <= before:
        raise BadArchiveError(f"member {name} is out of order")
    seen.add(name.casefold())
    if len(seen) > MOST_MEMBERS:
        raise BadArchiveError(f"more than {MOST_MEMBERS:,} members")
