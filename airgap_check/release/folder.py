"""The files of a folder that somebody delivered: listed without leaving it, opened without following any link."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import time
from hashlib import sha256
from typing import Literal, NamedTuple

from airgap_check.errors import UsageError

_MOST_MEMBERS, _DEEPEST = 100_000, 32
_PIECE = 1 << 20
_TEXT_LIMIT = 1 << 20  # bytes of a document for people; more is none
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Member(NamedTuple):
    """What lies in the folder under a name (relative, with ``/``); ``target`` is where a link leads, as it says."""

    name: str
    kind: Literal["file", "link", "special"]
    size: int = 0
    target: str = ""


class Folder:
    """One folder. ``failures`` says in words what could not be listed: then this is not all that there is."""

    def __init__(self, path: str) -> None:
        """List a folder. Raises `UsageError` when there is none, or it may not be read."""
        self.path = path
        self.members: dict[str, Member] = {}
        self.failures: list[str] = []
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except NotADirectoryError as error:
            raise UsageError(f"{path}: is not a folder; a bundle is a folder of files") from error
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        try:
            self._list(descriptor, "", _DEEPEST)
        finally:
            os.close(descriptor)
        self._regular = {name: member for name, member in self.members.items() if member.kind == "file"}
        links = {name: self.led_to(member) for name, member in self.members.items() if member.kind == "link"}
        self._led = {name: target for name, target in links.items() if target}
        # whoever opens a link inside by its name gets a file: so do we
        self.files = self._regular | {
            name: Member(name, "file", self._regular[target].size) for name, target in self._led.items()
        }

    def _list(self, descriptor: int, inside: str, depth: int) -> None:
        try:
            names = sorted(os.listdir(descriptor))
        except OSError as error:
            self.failures.append(f"{inside or '.'}: {error.strerror}")
            return
        for entry in names:
            name = f"{inside}/{entry}" if inside else entry
            if len(self.members) >= _MOST_MEMBERS:
                self.failures.append(f"more than {_MOST_MEMBERS:,} files")
                return
            try:
                status = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    self._enter(descriptor, entry, name, depth)
                else:
                    self.members[name] = _member(descriptor, entry, name, status)
            except OSError as error:
                self.failures.append(f"{name}: {error.strerror}")

    def _enter(self, above: int, entry: str, name: str, depth: int) -> None:
        if not depth:
            self.failures.append(f"{name}: folders deeper than {_DEEPEST}")
            return
        descriptor = os.open(entry, _FOLDER, dir_fd=above)
        try:
            self._list(descriptor, name, depth - 1)
        finally:
            os.close(descriptor)

    def at(self, name: str) -> str:
        """Return the path of a member."""
        return os.path.join(self.path, name)

    def led_to(self, member: Member) -> str | None:
        """Name the file of this folder that a link leads to, by its words alone; None when it leads anywhere else."""
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.target))
        return inside if inside in self._regular and not member.target.startswith("/") else None

    def open(self, name: str) -> int:
        """Open a file for reading, a folder at a time, following no link but one to a file in here. Raises OSError."""
        *folders, last = self._led.get(name, name).split("/")
        here = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER, dir_fd=here)
                os.close(here)
                here = inner
            descriptor = os.open(last, _FILE, dir_fd=here)
        finally:
            os.close(here)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file")
        return descriptor

    def head(self, name: str, size: int = 512) -> bytes:
        """Return the first bytes of a file; none when it cannot be read, which is noted."""
        try:
            descriptor = self.open(name)
            try:
                return os.read(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._note(name, error)
            return b""

    def text(self, name: str) -> str | None:
        """Return a document's text; None when it is too big, binary, or cannot be read, which is noted."""
        if self.files[name].size > _TEXT_LIMIT:
            return None
        try:
            with os.fdopen(self.open(name), "rb") as file:
                content = file.read(_TEXT_LIMIT + 1)
        except OSError as error:
            self._note(name, error)
            return None
        return None if b"\0" in content else content.decode("utf-8-sig", errors="replace")

    def _note(self, name: str, error: OSError) -> None:
        text = f"{name}: {error.strerror}"
        if text not in self.failures:
            self.failures.append(text)

    def digest(self, name: str, deadline: float | None) -> str:
        """Return a file's SHA-256 in hexadecimal. Raises OSError, which is TimeoutError when time has run out."""
        total = sha256()
        with os.fdopen(self.open(name), "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                total.update(piece)
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "no time was left to read it")
        return total.hexdigest()


def _member(descriptor: int, entry: str, name: str, status: os.stat_result) -> Member:
    if stat.S_ISREG(status.st_mode):
        return Member(name, "file", status.st_size)
    if stat.S_ISLNK(status.st_mode):
        return Member(name, "link", target=os.readlink(entry, dir_fd=descriptor))
    return Member(name, "special")
