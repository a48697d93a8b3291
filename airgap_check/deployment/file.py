"""Opens the files of a deployment: regular ones, bounded, each as it lies there, with the reason where it cannot."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.asset import Check
from airgap_check.kernel import procfs
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.asset import Outcome

SIZE_LIMIT = 8 << 20
_FILES = 4096
_DEPTH = 16
_SKIPPED = frozenset({".git", "node_modules", ".venv", "__pycache__"})


class Listed(NamedTuple):
    """A file that was found, and whether somebody named it rather than a folder that it is in."""

    path: str
    named: bool


class Files:
    """The files of one reading. ``within`` is the folder that none of them may lie outside of, if any."""

    def __init__(self, deadline: float | None = None, within: str | None = None) -> None:
        """Start with nothing read; ``deadline`` is of the monotonic clock."""
        self._deadline = deadline
        self._within = os.path.realpath(within) if within is not None else None
        self._content: dict[str, bytes | None] = {}
        self.failures: list[str] = []
        self.checks: list[Check] = []

    @property
    def count(self) -> int:
        """Return how many files were read."""
        return sum(content is not None for content in self._content.values())

    def fail(self, reason: str) -> None:
        """Note once why this is not everything."""
        reason = printable(reason)[:300]
        if reason not in self.failures:
            self.failures.append(reason)

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
        """State that a file is not what it should be, or that it is (*passed*)."""
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
        if check not in self.checks:
            self.checks.append(check)

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
                if len(found) > _FILES:
                    self.fail(f"{top}: more than {_FILES} files")
                    return sorted(found[:_FILES])
        return sorted(found)

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
    """Say what a path is; a link counts as the file that it leads to, and as nothing where that is a folder."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return "file" if stat.S_ISREG(os.stat(path).st_mode) else ""
    except OSError:
        return ""
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else ""
