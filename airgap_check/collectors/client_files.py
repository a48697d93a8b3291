"""Reads the files that tell package managers and container engines where to go: a runtime's, and the host's."""

from __future__ import annotations

import os
import posixpath
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors import process_environment
from airgap_check.kernel import procfs
from airgap_check.objectos import client_file, product
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.collectors.runtimes import Subject
    from airgap_check.objectos.client_file import Named

_LIMIT = 1 << 20
_FOLDER = "etc/containers/registries.conf.d"
_OF_A_HOST = ("etc/npmrc", "etc/pip.conf", "etc/docker/daemon.json", "etc/containers/registries.conf")
_NAMING = (  # a file by its path
    "PIP_CONFIG_FILE", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG", "npm_config_globalconfig",
    "NPM_CONFIG_GLOBALCONFIG", "CONTAINERS_REGISTRIES_CONF",
)  # fmt: skip
_VARIABLES = frozenset({*_NAMING, "HOME", "XDG_CONFIG_HOME", "PREFIX"})
_NOWHERE = (FileNotFoundError, NotADirectoryError, ProcessLookupError)


class FromClientFile(NamedTuple):
    """What a file names; ``subject`` is the runtime that it was found beside, None for the host's own."""

    subject: Subject | None
    path: str
    named: Named


class Reading(NamedTuple):
    """What all files name; ``failures`` say what could not be read."""

    given: list[FromClientFile]
    files: int
    failures: list[str]


def read(subjects: Sequence[Subject], root: str, deadline: float | None) -> Reading:
    """Read the host's files below ``root``, and those of each runtime as it would find them."""
    reader = _Reader(root)
    for path in (*_OF_A_HOST, *reader.fragments(os.getpid(), root)):
        reader.read(None, os.getpid(), posixpath.join(root or "/", path))
    for subject in subjects:
        if deadline is not None and time.monotonic() > deadline:
            reader.failures.append("the files beside every runtime before the time limit")
            break
        thread = subject.seen.thread
        for path in _beside(subject):
            reader.read(subject, thread, path)
        if _root(thread) != _root(os.getpid()):
            for path in (*_OF_A_HOST, *reader.fragments(thread, "")):
                reader.read(subject, thread, f"/{path}")
    return Reading(reader.given, reader.files, reader.failures)


def _beside(subject: Subject) -> Iterator[str]:
    """Yield the files that what a runtime starts (npm, pip) would read, wherever its variables say that they are."""
    around = process_environment.context(subject.seen.thread, _VARIABLES)
    home = around.get("HOME", "")
    folder = around.get("XDG_CONFIG_HOME") or (home and posixpath.join(home, ".config"))
    paths = [posixpath.join(subject.directory, ".npmrc")] if subject.directory else []
    paths += [posixpath.join(home, name) for name in (".npmrc", ".pip/pip.conf") if home]
    paths += [posixpath.join(folder, name) for name in ("pip/pip.conf", "containers/registries.conf") if folder]
    paths += [around[name] for name in _NAMING if name in around]
    paths += [posixpath.join(prefix, "etc/npmrc") for prefix in (around.get("PREFIX"), _prefix(subject)) if prefix]
    for path in dict.fromkeys(paths):
        if path.startswith("/") and "\0" not in path:
            yield posixpath.normpath(path)


def _prefix(subject: Subject) -> str | None:
    """Return the folder that an interpreter was installed in: npm's global configuration is below it."""
    try:
        program = os.readlink(f"/proc/{subject.seen.thread}/exe")
    except OSError:
        return None
    return posixpath.dirname(posixpath.dirname(program)) if product.is_interpreter(program) else None


def _root(pid: int) -> tuple[int, str]:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino, os.readlink(f"/proc/{pid}/root")
    except OSError:
        return -pid, ""


class _Reader:
    """Reads each file once, however many runtimes share it."""

    def __init__(self, root: str) -> None:
        self.given: list[FromClientFile] = []
        self.files = 0
        self.failures: list[str] = []
        self._length = len(root.rstrip("/"))
        self._seen: set[tuple[tuple[int, str], str]] = set()

    def fragments(self, pid: int, root: str) -> list[str]:
        """Name the files of the folder that container engines read besides, from the root without a slash."""
        folder = posixpath.join(root or "/", _FOLDER)
        try:
            names = procfs.names_in_root(pid, folder)
        except _NOWHERE:
            return []
        except OSError as error:
            self._fail(folder, error.strerror or str(error))
            return []
        return [posixpath.join(_FOLDER, name) for name in names if name.endswith(".conf")]

    def read(self, subject: Subject | None, pid: int, path: str) -> None:
        key = (_root(pid), path)
        if key in self._seen:
            return
        self._seen.add(key)
        shown = path if subject else path[self._length :]
        try:
            content = procfs.read_in_root(pid, path, _LIMIT)
            named = client_file.read(path, content)
        except _NOWHERE:
            return
        except client_file.MalformedFileError as error:
            self._fail(shown, str(error))
            return
        except OSError as error:
            self._fail(shown, error.strerror or str(error))
            return
        self.files += 1
        self.given += [FromClientFile(subject, shown, one) for one in named]

    def _fail(self, path: str, reason: str) -> None:
        self.failures.append(f"{path}: {printable(reason)[:200]}")
