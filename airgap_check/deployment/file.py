"""Opens the files of a deployment: regular ones, bounded, each as it lies there, with the reason where it cannot."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence.asset import Check
from airgap_check.kernel import procfs
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence.asset import Outcome

SIZE_LIMIT = 8 << 20
_FILES = 4096
_NOTES = 1000
_HEAD = 1 << 16
_DEPTH = 16
_SKIPPED = frozenset({".git", "node_modules", ".venv", "__pycache__"})


class Listed(NamedTuple):
    """A file that was found, and whether somebody named it rather than a folder that it is in."""

    path: str
    named: bool


class Files:
    """The files of one reading. ``within`` is the folder that none of them may lie outside of, if any.

    ``standing`` holds contents for files that are not there yet, by path: what a template will be copied to.
    """

    def __init__(
        self, deadline: float | None = None, within: str | None = None, standing: Mapping[str, bytes] | None = None
    ) -> None:
        """Start with nothing read; ``deadline`` is of the monotonic clock."""
        self._deadline = deadline
        self._within = os.path.realpath(within) if within is not None else None
        self._content: dict[str, bytes | None] = dict(standing or {})
        self.failures: dict[str, None] = {}
        self.checks: dict[Check, None] = {}

    @property
    def count(self) -> int:
        """Return how many files were read."""
        return sum(content is not None for content in self._content.values())

    def fail(self, reason: str) -> None:
        """Note once why this is not everything."""
        if len(self.failures) < _NOTES:
            self.failures[printable(reason)[:300]] = None

    def is_late(self) -> bool:
        """Tell whether the time is up, and say so."""
        if self._deadline is None or time.monotonic() < self._deadline:
            return False
        self.fail("stopped at the time limit")
        return True

    def read(self, path: str, *, optional: bool = False) -> bytes | None:
        """Return the bytes of a file; None where it cannot be read, which is a failure unless it may be missing."""
        if path not in self._content:
            self._content[path] = self._bytes(path, optional=optional)
        return self._content[path]

    def head(self, path: str) -> bytes | None:
        """Return how a file that is too large to read begins; None for one that is not, or that cannot be opened."""
        try:
            descriptor = procfs.open_in_root(os.getpid(), os.path.abspath(path))
        except OSError:
            return None
        try:
            return os.pread(descriptor, _HEAD, 0) if os.fstat(descriptor).st_size > SIZE_LIMIT else None
        finally:
            os.close(descriptor)

    def _bytes(self, path: str, *, optional: bool) -> bytes | None:
        if self.is_late() or not self._may_read(path):
            return None
        try:
            return procfs.read_in_root(os.getpid(), os.path.abspath(path), SIZE_LIMIT)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not optional:
                self.fail(f"{path}: {error.strerror}")
        except OSError as error:
            self.fail(f"{path}: {error.strerror or error}")
            self.note(path, None, f"not read: {error.strerror or error}", outcome="unknown")
        return None

    def _may_read(self, path: str) -> bool:
        if self._within is None:
            return True
        real = os.path.realpath(path)
        if real == self._within or real.startswith(self._within.rstrip("/") + "/"):
            return True
        self.fail(f"{path}: lies outside of {self._within}")
        return False

    def note(self, path: str, line: int | None, detail: str, *, column: int = 0, outcome: Outcome = "failed") -> None:
        """State that a file is not what it should be, or that nobody can tell."""
        if len(self.checks) >= _NOTES:
            self.fail(f"more than {_NOTES} faults")
            return
        where = f"column {column}: " if column else ""
        check = Check(
            aspect="deployment-malformed",
            subject=printable(os.path.basename(path)),
            outcome=outcome,
            detail=printable(f"{where}{detail}")[:500],
            path=printable(path),
            line=line,
            seen="deployment",
        )
        self.checks[check] = None

    def find(self, paths: list[str]) -> list[Listed]:
        """List the files that paths name, and those of the folders that they name; links to folders are not followed.

        Each file is listed once, by whatever links it was found.
        """
        found: list[Listed] = []
        seen: set[str] = set()
        for path in paths:
            if os.path.isdir(path):
                names = [Listed(inner, named=False) for inner in self._walk(path)]
            else:
                names = [Listed(path, named=True)]
            for listed in names:
                real = os.path.realpath(listed.path)
                if real not in seen:
                    seen.add(real)
                    found.append(listed)
        return found

    def _walk(self, top: str) -> list[str]:
        found: list[str] = []
        todo = [(top, 0)]
        while todo and not self.is_late():
            folder, depth = todo.pop()
            for name in self._names(folder):
                path = os.path.join(folder, name)
                kind = _kind(path)
                if kind == "folder" and name not in _SKIPPED:
                    if depth < _DEPTH:
                        todo.append((path, depth + 1))
                    else:
                        self.fail(f"{path}: deeper than {_DEPTH} folders")
                elif kind == "file":
                    found.append(path)
                elif kind == "link" and not self._is_below(path, top):
                    self.fail(f"{path}: a link to a folder, which is not followed")
                if len(found) > _FILES:
                    self.fail(f"{top}: more than {_FILES} files")
                    return sorted(found[:_FILES])
        return sorted(found)

    @staticmethod
    def _is_below(path: str, top: str) -> bool:
        """Tell whether a link leads to a folder that is walked anyway."""
        return (os.path.realpath(path) + "/").startswith(os.path.realpath(top).rstrip("/") + "/")

    def _names(self, folder: str) -> list[str]:
        try:
            return procfs.names_in_root(os.getpid(), os.path.abspath(folder), _FILES)
        except FileNotFoundError:
            return []
        except OSError as error:
            too_many = error.errno == errno.EFBIG
            self.fail(f"{folder}: {f'more than {_FILES} files' if too_many else error.strerror or error}")
            return []


def _kind(path: str) -> str:
    """Say what a path is; a link counts as the file that it leads to, also where that is missing.

    What can never be read is nothing: a unit that is masked leads to /dev/null.
    """
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            mode = os.stat(path).st_mode
            return "link" if stat.S_ISDIR(mode) else "" if stat.S_ISCHR(mode) else "file"
    except OSError:
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) else ""
