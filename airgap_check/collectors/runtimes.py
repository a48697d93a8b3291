"""Finds the product's runtimes among processes, what they read from `.env*` files, and what nobody told them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.process_environment import SETTINGS
from airgap_check.kernel import procfs
from airgap_check.objectos import dotenv, product
from airgap_check.objectos.settings import EXPECTED, variable
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from airgap_check.collectors.process_environment import Seen

_PACKAGE_LIMIT = 1 << 16
_DOTENV_LIMIT = 1 << 20


class Subject(NamedTuple):
    """A process that is a runtime, and which product and version it runs."""

    seen: Seen
    product: str
    version: str | None


class FromFile(NamedTuple):
    """A variable that a runtime reads from a `.env*` file, with the whole file's variables beside it."""

    seen: Seen
    name: str
    value: str
    path: str
    line: int
    siblings: dict[str, str]


class Unset(NamedTuple):
    """A variable, and its aliases, that no process of a runtime was given; ``seen`` is the first of them."""

    seen: Seen
    name: str
    role: str


class Findings(NamedTuple):
    """What is known of the runtimes of a host; ``failures`` say what could not be read."""

    subjects: list[Subject]
    from_files: list[FromFile]
    unset: list[Unset]
    files: int
    failures: list[str]


def ancestors(pid: int) -> set[int]:
    """Return a process and everybody who started it: they invoked us, they are not the subject."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = procfs.parent(pid)
    return found - {1}


def find(seen: Sequence[Seen], excluded: Collection[int], deadline: float | None) -> Findings:
    """Tell which processes are runtimes, read their files, say what is missing; not past a deadline."""
    subjects = [subject for one in seen if one.pid not in excluded and (subject := _subject(one))]
    reader = _Reader()
    unset: list[Unset] = []
    for tree in _trees([subject.seen for subject in subjects]):
        if deadline is not None and time.monotonic() > deadline:
            reader.failures.append("the .env files of every runtime before the time limit")
            break
        names, readable = reader.names(tree)
        if readable and all(one.environ is not None for one in tree):
            unset += [Unset(tree[0], name, role) for name, role, aliases in EXPECTED if aliases.isdisjoint(names)]
    return Findings(subjects, reader.from_files, unset, reader.files, reader.failures)


def _subject(seen: Seen) -> Subject | None:
    told = bool(seen.environ) and product.is_told(seen.environ or ()) and not product.carries(seen.argv)
    if not seen.called and not told:
        return None
    script = seen.called.script if seen.called else product.script(seen.argv)
    named, version = _package(seen.pid, script) if script else (None, None)
    return Subject(seen, seen.called.product if seen.called else named or product.UNKNOWN, version)


def _package(pid: int, script: str) -> tuple[str | None, str | None]:
    """Return the product and version of the package that a script belongs to, as far as we may read it."""
    directory = _working_directory(pid)
    for path in product.package_files(script, directory) if directory else ():
        try:
            found = product.package(procfs.read_in_root(pid, path, _PACKAGE_LIMIT))
        except OSError:
            continue
        if found:
            return found
    return None, None


def _working_directory(pid: int) -> str | None:
    """Return the working directory as the process itself names it, None when it is gone or outside its root."""
    try:
        root = os.readlink(f"/proc/{pid}/root")
        directory = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
    if root != "/":
        if directory != root and not directory.startswith(f"{root}/"):
            return None
        directory = directory[len(root) :] or "/"
    return None if directory.endswith(" (deleted)") or not directory.startswith("/") else directory


def _root(pid: int) -> int:
    """Return what tells the roots of two processes apart: the mount namespace, and a chroot inside it."""
    try:
        return hash((os.stat(f"/proc/{pid}/ns/mnt").st_ino, os.readlink(f"/proc/{pid}/root")))
    except OSError:
        return -pid


def _trees(seen: Iterable[Seen]) -> list[list[Seen]]:
    """Group processes with the ones that they started: `os start` passes on to `os serve` what it has read."""
    by_pid = {one.pid: one for one in seen}
    parents = {pid: procfs.parent(pid) for pid in by_pid}
    trees: dict[int, list[Seen]] = {}
    for pid, one in by_pid.items():
        top, steps = pid, 0
        while parents[top] in by_pid and steps < len(by_pid):
            top, steps = parents[top], steps + 1
        trees.setdefault(top, []).append(one)
    return [sorted(tree, key=lambda one: one.pid != top) for top, tree in trees.items()]


_Found = dict[str, tuple[str, str, int]]  # name -> value, path, line


class _Reader:
    """Reads the files of one working directory once, however many processes share it."""

    def __init__(self) -> None:
        self.from_files: list[FromFile] = []
        self.files = 0
        self.failures: list[str] = []
        self._read_before: dict[tuple[int, str, str], _Found | None] = {}

    def names(self, tree: list[Seen]) -> tuple[set[str], bool]:
        """Return every variable that a runtime was given, and whether all of its files could be read."""
        names: set[str] = set()
        complete = True
        for one in tree:
            names.update(one.environ or ())
            names.update(name for _, name, _ in product.flags(one.called.arguments if one.called else ()))
            found = self._files_of(one)
            complete = complete and found is not None
            self._report(one, found or {})
            names.update(found or ())
        return names, complete

    def _files_of(self, seen: Seen) -> _Found | None:
        directory = _working_directory(seen.pid)
        if directory is None:
            return {}
        mode = product.mode((seen.environ or {}).get("NODE_ENV"), seen.called)
        key = (_root(seen.pid), directory, mode)
        if key not in self._read_before:
            self._read_before[key] = self._read(seen, directory, mode)
        return self._read_before[key]

    def _read(self, seen: Seen, directory: str, mode: str) -> _Found | None:
        """Return the value, path and line of each variable; None when a file could not be read."""
        found: _Found = {}
        complete = True
        for name in dotenv.file_names(mode):
            path = f"{directory.rstrip('/')}/{name}"
            try:
                text = procfs.read_in_root(seen.pid, path, _DOTENV_LIMIT).decode(errors="replace")
            except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
                continue
            except OSError as error:
                self.failures.append(f"{printable(path)} of {seen.pid} ({printable(seen.name)}): {error.strerror}")
                complete = False
                continue
            self.files += 1
            found |= {assigned.name: (assigned.value, path, assigned.line) for assigned in dotenv.parse(text)}
        if len(found) > SETTINGS:
            self.failures.append(f"{printable(directory)}/.env*: more than {SETTINGS} variables")
            return None
        return found if complete else None

    def _report(self, seen: Seen, found: _Found) -> None:
        """Keep what is in force: what a process was given already is not overridden by a file."""
        siblings = {name: value for name, (value, _, _) in found.items()}
        known = {(one.name, one.path) for one in self.from_files}
        for name, (value, path, line) in found.items():
            in_force = (seen.environ or {}).get(name, value) == value
            if variable(name) and in_force and (name, path) not in known:
                self.from_files.append(FromFile(seen, name, value, path, line, siblings))
