"""Reads the files from which a runtime takes variables: `.env*`, and what the interpreter's options name."""

from __future__ import annotations

import errno
import os
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.process_environment import SETTINGS
from airgap_check.kernel import foreign_path, procfs
from airgap_check.objectos import dotenv, product
from airgap_check.objectos.settings import variable
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.collectors.process_environment import Seen

_LIMIT = 1 << 20
_DELETED = " (deleted)"


class FromFile(NamedTuple):
    """A variable that a runtime reads from a file, with the whole file's variables beside it."""

    seen: Seen
    name: str
    value: str
    path: str
    line: int
    siblings: dict[str, str]


class Given(NamedTuple):
    """The settings in force for a process: its command line over its environment over its files.

    ``complete`` is False where one of the files could not be read.
    """

    settings: dict[str, str]
    complete: bool


def working_directory(pid: int) -> str | None:
    """Return the working directory as the process itself names it, None when it is gone.

    Raises OSError when it cannot be named: it is outside of the process's root, or we may not look.
    """
    directory = named_below(os.readlink(f"/proc/{pid}/root"), os.readlink(f"/proc/{pid}/cwd"))
    return None if directory.endswith(_DELETED) and not _is_at(pid, directory) else directory


def named_below(root: str, path: str) -> str:
    """Return a path as a process with this root names it, both as the kernel names them to us.

    Raises OSError for what is outside of the root, or cannot be reached from any.
    """
    if root != "/":
        if path != root and not path.startswith(f"{root}/"):
            raise OSError(errno.EXDEV, "it is outside of the root of its process")
        path = path[len(root) :] or "/"
    if not path.startswith("/"):
        raise OSError(errno.EXDEV, "it cannot be reached")
    return path


def _is_at(pid: int, directory: str) -> bool:
    """Tell whether a path is the working directory; a folder may really be called what the kernel adds to its name."""
    try:
        located = foreign_path.locate(pid, directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return os.path.samestat(os.fstat(located), os.stat(f"/proc/{pid}/cwd"))
    finally:
        os.close(located)


def _root(pid: int) -> tuple[int, str]:
    """Return what tells the roots of two processes apart: the mount namespace, and a chroot inside it."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino, os.readlink(f"/proc/{pid}/root")
    except OSError:
        return -pid, ""


_Found = dict[str, tuple[str, str, int]]  # name -> value, path, line


class Reader:
    """Reads each file once, however many processes share it; ``failures`` say what could not be read."""

    def __init__(self) -> None:
        self.from_files: list[FromFile] = []
        self.files = 0
        self.failures: list[str] = []
        self._reported: set[tuple[str, str, tuple[int, str]]] = set()
        self._read_before: dict[tuple[tuple[int, str], str, bool], _Found | None] = {}

    def given(self, seen: Seen) -> Given:
        """Return every variable that a process was given; incomplete when one of its files could not be read."""
        paths = self._paths(seen)
        complete = paths is not None
        found: _Found = {}
        for path, optional in paths or ():
            read = self._read(seen, path, optional=optional)
            complete = complete and read is not None
            found |= read or {}
        if len(found) > SETTINGS:
            self.failures.append(f"the files of {_title(seen)}: more than {SETTINGS} variables")
            complete, found = False, {}
        self._report(seen, found)
        settings = {name: value for name, (value, _, _) in found.items()} | (seen.environ or {})
        for _, name, value in product.flags(_arguments(seen)):
            for weaker in product.OVERRIDDEN.get(name, ()):
                settings.pop(weaker, None)
            settings[name] = value
        return Given(settings, complete)

    def named_by_options(self, seen: Seen) -> _Found:
        """Return what the files give that ``--env-file`` names, which nobody else would be known as a runtime by."""
        found: _Found = {}
        if product.env_files(seen.argv):
            for path, optional in self._paths(seen, automatic=False) or ():
                found |= self._read(seen, path, optional=optional) or {}
        return found

    def _paths(self, seen: Seen, *, automatic: bool = True) -> list[tuple[str, bool]] | None:
        """Return the files of a process, the overriding ones last, and whether each may be missing."""
        options = product.env_files(seen.argv)
        try:
            directory = working_directory(seen.thread)
        except (FileNotFoundError, ProcessLookupError):  # the process has vanished
            return []
        except OSError as error:
            self._fail(f"the working directory of {_title(seen)}: {error.strerror}")
            return None
        if directory is None:
            return [(one.path, one.optional) for one in options if one.path.startswith("/")]
        mode = product.mode((seen.environ or {}).get("NODE_ENV"), seen.called)
        names = dotenv.file_names(mode) if automatic else []
        found = [(name, True) for name in names] + [(one.path, one.optional) for one in options]
        return [(posixpath.join(directory, path), optional) for path, optional in found]

    def _read(self, seen: Seen, path: str, *, optional: bool) -> _Found | None:
        """Return the value, path and line of each variable; None when the file could not be read."""
        key = (_root(seen.thread), path, optional)
        if key not in self._read_before:
            self._read_before[key] = self._read_now(seen, path, optional=optional)
        return self._read_before[key]

    def _read_now(self, seen: Seen, path: str, *, optional: bool) -> _Found | None:
        try:
            text = procfs.read_in_root(seen.thread, path, _LIMIT).decode(errors="replace")
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if (missing and optional) or procfs.is_zombie(seen.pid):
                return {}
            self._fail(f"{printable(path)} of {_title(seen)}: {error.strerror}")
            return None
        self.files += 1
        return {assigned.name: (assigned.value, path, assigned.line) for assigned in dotenv.parse(text)}

    def _fail(self, failure: str) -> None:
        if failure not in self.failures:
            self.failures.append(failure)

    def _report(self, seen: Seen, found: _Found) -> None:
        """Keep what is in force: what a process was given already is not overridden by a file."""
        siblings = {name: value for name, (value, _, _) in found.items()}
        root = _root(seen.thread)
        for name, (value, path, line) in found.items():
            in_force = (seen.environ or {}).get(name, value) == value
            if variable(name) and in_force and (name, path, root) not in self._reported:
                self._reported.add((name, path, root))
                self.from_files.append(FromFile(seen, name, value, path, line, siblings))


def _arguments(seen: Seen) -> tuple[str, ...]:
    return seen.called.arguments if seen.called else ()


def _title(seen: Seen) -> str:
    return f"{seen.pid} ({printable(seen.name)})"
