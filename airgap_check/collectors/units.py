"""Reads the environments that systemd's unit files and drop-ins give to services.

Source: systemd.unit(5) for the folders and who overrides whom, systemd.exec(5) for the directives. A specifier that
depends on the instance stands for any text, instances of templates are not told apart, and a drop-in for all units
stands for itself.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import foreign_path, procfs
from airgap_check.objectos import unit_file
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDERS = (  # a file in an earlier one hides its namesakes in the later ones
    "/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
    "/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system",
    "/run/systemd/system.attached", "/run/systemd/generator", "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
)  # fmt: skip
_TYPES = (".service", ".socket", ".mount", ".swap")
_SECTIONS = frozenset({"Service", "Socket", "Mount", "Swap"})
_LIMIT = 1 << 20
_FILES = 1024  # that one EnvironmentFile= may name by a pattern
_BLIND = (
    "of systemd, not read: user units, DefaultEnvironment=, PassEnvironment=, environment.d and /etc/environment, "
    "credentials, and what a shell in ExecStart= assigns"
)


class Given(NamedTuple):
    """One variable that a unit is given, and the file and line that say so."""

    unit: str
    name: str
    value: str
    path: str
    line: int


class Reading(NamedTuple):
    """What was read: the variables in force, how many files, what could not be read, and what we cannot know."""

    given: list[Given]
    files: int
    failures: list[str]
    blind: list[str]


def read(root: str = "") -> Reading:
    """Read every unit below ``root`` (empty: this host)."""
    reader = _Reader(root)
    fragments, drop_ins = reader.find()
    given = [
        found
        for unit in sorted({*fragments, *drop_ins})
        for found in reader.environment(unit, [*fragments.get(unit, ()), *_in_order(drop_ins.get(unit, {}))])
    ]
    return Reading(given, reader.files, reader.failures, [_BLIND] if reader.files else [])


def _in_order(drop_ins: dict[str, str]) -> Iterable[str]:
    return (path for _, path in sorted(drop_ins.items()))


class _Reader:
    def __init__(self, root: str) -> None:
        self._root = root
        self._folders = {os.path.realpath(root + folder): folder for folder in reversed(FOLDERS)}
        self.files = 0
        self.failures: list[str] = []

    def find(self) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
        """Return the file of each unit, and the drop-ins of each unit by name; whoever is first hides the rest."""
        fragments: dict[str, list[str]] = {}
        drop_ins: dict[str, dict[str, str]] = {}
        for folder in reversed(self._folders.values()):  # /lib/systemd/system may be a link to /usr/lib's
            for entry in self._scan(folder):
                if entry.name.endswith(_TYPES):
                    fragments.setdefault(entry.name, [] if self._is_alias(entry) else [f"{folder}/{entry.name}"])
                elif entry.name.endswith(".d") and entry.name[:-2].endswith((*_TYPES, "service")):
                    unit = drop_ins.setdefault(entry.name[:-2], {})
                    for file in self._scan(f"{folder}/{entry.name}"):
                        if file.name.endswith(".conf"):
                            unit.setdefault(file.name, f"{folder}/{entry.name}/{file.name}")
        return fragments, drop_ins

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._root + folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.failures.append(f"{folder}: {error.strerror}")
            return []

    def _is_alias(self, entry: os.DirEntry[str]) -> bool:
        """Tell whether a unit is another name of one that is read anyway (or masked, which reads as empty)."""
        if not entry.is_symlink():
            return False
        try:  # not os.path.realpath(): the link may lead to a network file system that has died
            located = foreign_path.locate(os.getpid(), os.path.abspath(entry.path))
        except OSError:
            return False
        try:
            target = os.readlink(f"/proc/self/fd/{located}")
        finally:
            os.close(located)
        return os.path.dirname(target) in self._folders and os.path.basename(target) != entry.name

    def environment(self, unit: str, paths: Iterable[str]) -> list[Given]:
        """Return the variables of one unit after every override, in the order of their names."""
        assigned: dict[str, Given] = {}
        executed: dict[str, Given] = {}
        files: list[str] = []
        unset: list[str] = []
        for path in paths:
            text = self._unit_text(path)
            for directive in unit_file.directives(text) if "Environment" in text or "env" in text else ():
                if directive.section not in _SECTIONS:
                    continue
                if directive.key == "Environment":
                    _assign(assigned, unit, path, directive)
                elif directive.key == "EnvironmentFile":
                    files = [*files, directive.value] if directive.value else []
                elif directive.key == "UnsetEnvironment":
                    unset = [*unset, *unit_file.words(directive.value)] if directive.value else []
                elif directive.key == "ExecStart":
                    _assign(executed, unit, path, directive, unit_file.env_arguments(directive.value))
        of_instances = self._assign_files(assigned, unit, files)
        kept = [
            given
            for given in (*assigned.values(), *of_instances)
            if given.name not in unset and f"{given.name}={given.value}" not in unset
        ]
        kept = [given for given in kept if given.name not in executed]
        return sorted([*kept, *executed.values()], key=lambda given: (given.name, given.path))

    def _assign_files(self, assigned: dict[str, Given], unit: str, patterns: Iterable[str]) -> list[Given]:
        """Assign what files give, and return apart what files of single instances give: they override nobody else's."""
        of_instances: list[Given] = []
        for pattern in patterns:
            path, per_instance = unit_file.expanded(pattern.removeprefix("-"), unit)
            if per_instance and not path.startswith("/"):
                self.failures.append(f"EnvironmentFile={printable(pattern)} of {printable(unit)}: can be anywhere")
                continue
            for found in self._matches(path) if glob.has_magic(path) else [path]:
                for name, value, line in unit_file.environment_file(self._text(found)):
                    given = Given(unit, name, value, found, line)
                    if per_instance:
                        of_instances.append(given)
                    else:
                        assigned[name] = given
        return of_instances

    def _matches(self, pattern: str) -> list[str]:
        """Return what a pattern matches, sorted; unlike `glob` it does not walk into a network file system."""
        found = [""]
        for part in pattern.split("/")[1:]:
            if glob.has_magic(part):
                found = [f"{folder}/{name}" for folder in found for name in self._names(folder, part)]
            else:
                found = [f"{folder}/{part}" for folder in found]
            if len(found) > _FILES:
                self.failures.append(f"{printable(pattern)}: more than {_FILES} files")
                return []
        return sorted(found)

    def _names(self, folder: str, part: str) -> list[str]:
        try:
            names = procfs.names_in_root(os.getpid(), f"{self._root}{folder}/", _FILES)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.failures.append(f"{printable(folder)}: {error.strerror}")
            return []
        hidden = part.startswith(".")
        return [name for name in names if fnmatch.fnmatchcase(name, part) and name.startswith(".") == hidden]

    def _unit_text(self, path: str) -> str:
        """Return a unit file; only root can put one there, so it is opened as any file, but never waited for."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._root + path, flags)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link, or masked by a link to /dev/null
                return self._text(path)
            if error.errno != errno.ENOENT:
                self.failures.append(f"{path}: {error.strerror}")
            return ""
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            self.files += 1
            data = os.read(descriptor, _LIMIT + 1)
            if len(data) > _LIMIT:
                self.failures.append(f"{path}: more than {_LIMIT} bytes")
            return data[:_LIMIT].decode(errors="replace")
        finally:
            os.close(descriptor)

    def _text(self, path: str) -> str:
        """Return a file that a unit names, or a link that stands for a unit: anybody's file may be named there."""
        try:
            text = procfs.read_in_root(os.getpid(), self._root + path, _LIMIT).decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            if not self._is_null(path):
                self.failures.append(f"{path}: {error.strerror}")
            return ""
        self.files += 1
        return text

    def _is_null(self, path: str) -> bool:
        """Tell whether a path is, or directly leads to, /dev/null: the documented way to mask something."""
        try:
            return path == "/dev/null" or os.readlink(self._root + path) == "/dev/null"
        except OSError:
            return False


def _assign(
    assigned: dict[str, Given], unit: str, path: str, directive: unit_file.Directive, words: Iterable[str] | None = None
) -> None:
    if not directive.value:
        assigned.clear()
    for word in unit_file.words(directive.value) if words is None else words:
        name, equals, value = word.partition("=")
        if equals:
            assigned[name] = Given(unit, name, value, path, directive.line)
