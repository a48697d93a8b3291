"""Reads what each runtime keeps beside its application: installed packages, its tie to a cloud, cached artifacts.

The runtime registers installed packages at each boot, unsigned and unchecked, so they are read as an artifact is. A
folder is looked at once, however many processes work in it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors import installed_package
from airgap_check.collectors.home_folder import home_folder
from airgap_check.evidence import Evidence
from airgap_check.evidence.asset import Check
from airgap_check.kernel import foreign_path, procfs
from airgap_check.objectos import business_database, state
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.asset import Outcome

_FILES = 1024  # in one folder
_CREDENTIALS = 1 << 16
_CHUNK = 1 << 20
_ABSENT = (FileNotFoundError, NotADirectoryError)


def collect(installations: Sequence[Installation], deadline: float | None) -> Evidence:
    """Read the state folders of every runtime."""
    reading = _Reading(deadline)
    for installation in installations:
        reading.installation(installation)
    return Evidence(
        kind="state",
        status="partial" if reading.reasons else "complete",
        records=tuple(reading.records),
        reason="; ".join(dict.fromkeys(reading.reasons)),
        scope="the state folders of each runtime: of its working directory, of its home, and of OS_HOME",
        counts={"folders": reading.folders, "packages": reading.packages, "cached": reading.cached},
    )


class _Folder(NamedTuple):
    """A state folder of one runtime, as that names it."""

    owner: Installation
    path: str

    def inside(self, *names: str) -> str:
        return "/".join((self.path.rstrip("/"), *names))

    def check(self, aspect: str, outcome: Outcome, detail: str, *names: str) -> Check:
        path = printable(self.inside(*names))
        return Check(
            aspect=aspect,
            subject=path,
            outcome=outcome,
            detail=detail,
            path=path,
            process=self.owner.process,
            workload=self.owner.workload,
            seen="state",
        )


class _Reading:
    """What was read so far, and what could not be."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._seen: set[tuple[int, int]] = set()
        self.records: list[AnyRecord] = []
        self.reasons: list[str] = []
        self.folders = self.packages = self.cached = 0

    def installation(self, installation: Installation) -> None:
        """Read the folders of one runtime that no other has shown already; one that has gone keeps nothing."""
        if procfs.start_ticks(installation.thread) is None:
            return
        if installation.directory is None:
            self.reasons.append(f"the working directory of process {installation.process.pid} cannot be told")
        try:
            paths = list(_paths(installation))
        except OSError as error:
            self._fail(f"the home folder of process {installation.process.pid}", error)
            return
        present = False
        for path in paths:
            folder = _Folder(installation, path)
            try:
                identity = foreign_path.identity(installation.thread, path)
            except _ABSENT:
                continue
            except OSError as error:
                self._fail(path, error)
                continue
            present = True
            if identity not in self._seen:
                self._seen.add(identity)
                self._folder(folder)
        if not present and paths:
            self._nothing(_Folder(installation, paths[0]))

    def _nothing(self, folder: _Folder) -> None:
        """Say that a runtime has no state folder at all, once a folder: that is an answer too."""
        if not any(isinstance(one, Check) and one.subject == folder.path for one in self.records):
            for aspect in ("cloud-bound", "cloud-credentials", "artifact-cache", "package-malformed"):
                self.records.append(folder.check(aspect, "passed", "there is no such folder"))

    def _folder(self, folder: _Folder) -> None:
        self.folders += 1
        self.records.append(self._bound(folder))
        self.records += [self._credentials(folder, name) for name in state.CREDENTIALS]
        self._cache(folder)
        self._installed(folder)

    def _bound(self, folder: _Folder) -> Check:
        """Look for the file that ties a runtime to a cloud; one without a credential is left behind by untying it."""
        try:
            said = state.binding(
                procfs.read_in_root(folder.owner.thread, folder.inside(state.CONNECTION), _CREDENTIALS)
            )
        except _ABSENT:
            return folder.check("cloud-bound", "passed", "is not there", state.CONNECTION)
        except OSError as error:
            if error.errno == errno.EFBIG:
                return folder.check(
                    "cloud-bound", "failed", "is there, and far too big for what it is", state.CONNECTION
                )
            self._fail(folder.inside(state.CONNECTION), error)
            return folder.check("cloud-bound", "unknown", _words(error), state.CONNECTION)
        detail = "is there, but malformed"
        if said:
            what = "binds the runtime to" if said.credential else "was left behind by a binding, now undone, to"
            detail = f"{what} {said.place or 'a cloud that it does not name'}"
        return folder.check("cloud-bound", "failed", detail, state.CONNECTION)

    def _credentials(self, folder: _Folder, name: str) -> Check:
        try:
            said = state.binding(procfs.read_in_root(folder.owner.thread, folder.inside(name), _CREDENTIALS))
        except _ABSENT:
            return folder.check("cloud-credentials", "passed", "is not there", name)
        except OSError as error:
            self._fail(folder.inside(name), error)
            return folder.check("cloud-credentials", "unknown", _words(error), name)
        detail = (
            "is there, but malformed" if said is None else f"is for {said.place or 'a place that it does not name'}"
        )
        return folder.check("cloud-credentials", "failed", detail, name)

    def _cache(self, folder: _Folder) -> None:
        """Compare each cached artifact with the digest in its name, which is the one that was pinned."""
        pinned = state.pin(folder.owner.settings.get("OS_ARTIFACT_URL", ""))
        compared = 0
        for name in self._names(folder, state.CACHE):
            promised = state.pinned_digest(name)
            if promised is None or self._is_over(folder.inside(state.CACHE, name)):
                continue
            compared += 1
            path = folder.inside(state.CACHE, name)
            try:
                digest = self._digest(folder.owner.thread, path)
            except OSError as error:
                self._fail(path, error)
                self.records.append(folder.check("artifact-cache", "unknown", _words(error), state.CACHE, name))
                continue
            if digest != promised:
                pin = ", which OS_ARTIFACT_URL pins" if promised == pinned else ""
                detail = f"has the digest sha256:{digest}, not the one in its name{pin}"
                self.records.append(folder.check("artifact-cache", "failed", detail, state.CACHE, name))
        self.cached += compared
        detail = f"{compared} cached artifacts with a digest in their names were compared with it"
        self.records.append(folder.check("artifact-cache", "passed", detail, state.CACHE))

    def _installed(self, folder: _Folder) -> None:
        count = 0
        for name in self._names(folder, state.PACKAGES):
            path = folder.inside(state.PACKAGES, name)
            if not name.endswith(".json") or self._is_over(path):
                continue
            count += 1
            read = installed_package.read(folder.owner, path, name, self._deadline)
            self.records += read.records
            self.reasons += [f"{printable(path)}: {read.reason}"] if read.reason else []
        self.packages += count
        self.records.append(folder.check("package-malformed", "passed", f"{count} packages were read", state.PACKAGES))

    def _names(self, folder: _Folder, name: str) -> Iterator[str]:
        try:
            yield from procfs.names_in_root(folder.owner.thread, folder.inside(name), _FILES)
        except _ABSENT:
            return
        except OSError as error:
            self._fail(folder.inside(name), error)

    def _is_over(self, path: str) -> bool:
        if self._deadline is None or time.monotonic() <= self._deadline:
            return False
        self.reasons.append(f"stopped at the time limit before {printable(path)}")
        return True

    def _digest(self, thread: int, path: str) -> str:
        descriptor = procfs.open_in_root(thread, path)
        digest = hashlib.sha256()
        try:
            while part := os.read(descriptor, _CHUNK):
                digest.update(part)
                if self._deadline is not None and time.monotonic() > self._deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "the time limit came before it was read")
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def _fail(self, path: str, error: OSError) -> None:
        self.reasons.append(f"could not read {printable(path)}: {_words(error)}")


def _paths(installation: Installation) -> Iterator[str]:
    """Yield where a runtime may keep state, each once; raises OSError where its home folder cannot be told."""
    home = installation.home or home_folder(installation.thread)
    found = [f"{folder.rstrip('/')}/.objectstack" for folder in (installation.directory, home) if folder]
    stated = business_database.state_home(installation.directory, home, installation.settings, lambda _: False)
    yield from dict.fromkeys([*found, *([stated] if stated else [])])


def _words(error: OSError) -> str:
    return printable(error.strerror or "it cannot be read")
