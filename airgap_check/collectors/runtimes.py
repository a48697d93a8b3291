"""Finds the product's runtimes among processes: which product and version, what they were told, and what nobody did."""

from __future__ import annotations

import os
import posixpath
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.assigned_files import FromFile, Given, Reader, working_directory
from airgap_check.kernel import foreign_path, procfs
from airgap_check.objectos import behaviour, product
from airgap_check.objectos.settings import posture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from airgap_check.collectors.process_environment import Seen
    from airgap_check.evidence import Posture

_PACKAGE_LIMIT = 1 << 16


class Subject(NamedTuple):
    """A process that is a runtime: which product and version it runs, where, and with which settings in force.

    ``cloud_url`` is the posture of its `OS_CLOUD_URL`, None where that could not be found out; ``settings`` are None
    until its files were read. ``directory`` is its working directory, None where that cannot be told; ``configured``
    says that a program of the application's own lies there, which may read any variable.
    """

    seen: Seen
    product: str
    version: str | None
    directory: str | None = None
    settings: Mapping[str, str] | None = None
    cloud_url: Posture | None = None
    configured: bool = False


class Unset(NamedTuple):
    """A variable, and its aliases, that a runtime was not given; ``seen`` is the process that lacks it."""

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
    reader = Reader()
    subjects = {
        subject.seen.pid: subject
        for one in seen
        if one.pid not in excluded and (subject := _subject(one, reader)) is not None
    }
    unset: list[Unset] = []
    parents = {pid: procfs.parent(pid) for pid in subjects}
    for tree in _trees([subject.seen for subject in subjects.values()], parents):
        if deadline is not None and time.monotonic() > deadline:
            reader.failures.append("the .env files of every runtime before the time limit")
            break
        given = {one.pid: reader.given(one) for one in tree}
        is_told = all(one.complete for one in given.values()) and all(one.environ is not None for one in tree)
        for one in tree:
            subjects[one.pid] = subjects[one.pid]._replace(
                settings=given[one.pid].settings,
                cloud_url=_cloud_url(one, given, parents, is_told=is_told),
            )
        if is_told:
            unset += _unset([subjects[one.pid] for one in tree], parents)
    return Findings(list(subjects.values()), reader.from_files, unset, reader.files, reader.failures)


def _cloud_url(seen: Seen, given: Mapping[int, Given], parents: Mapping[int, int], *, is_told: bool) -> Posture | None:
    """Say what the control plane of a process amounts to; of one that was not told, what it told those it started.

    Where they differ, the most open of them. ``is_told`` says that everything they were given is known.
    """
    settings, complete = given[seen.pid]
    if behaviour.OF_EACH in settings and (complete or behaviour.OF_EACH in (seen.environ or ())):
        return posture(behaviour.OF_EACH, settings[behaviour.OF_EACH])
    if not is_told:
        return None
    told = [
        posture(behaviour.OF_EACH, one.settings[behaviour.OF_EACH])
        for pid, one in given.items()
        if behaviour.OF_EACH in one.settings and _descends(pid, seen.pid, parents)
    ]
    openness: tuple[Posture, ...] = ("blank", "url", "other", "lookalike", "disabled")
    return min(told, key=openness.index, default="unset")


def _descends(pid: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    for _ in parents:
        pid = parents.get(pid, 0)
        if pid == ancestor:
            return True
    return False


def _unset(tree: Sequence[Subject], parents: Mapping[int, int]) -> Iterator[Unset]:
    """Say what a runtime lacks, every process of it being known.

    `os start` need not know what it has read from a file and hands to `os serve`, so of most variables it is enough
    that somebody has them. But a server without `OS_CLOUD_URL` talks to the public one, whatever its parent was told:
    who has it not is excused only by a child that has.
    """
    told = {one.seen.pid: set(one.settings or ()) for one in tree}
    everything = set().union(*told.values())
    for name, role, aliases in behaviour.expected(tree[0].product, tree[0].version):
        if name != behaviour.OF_EACH:
            if aliases.isdisjoint(everything):
                yield Unset(tree[0].seen, name, role)
            continue
        excused: set[int] = set()
        for pid, names in told.items():
            while names & aliases and pid in told and pid not in excused:
                excused.add(pid)
                pid = parents[pid]  # noqa: PLW2901  (from a process that has it up to whoever started it)
        yield from (Unset(one.seen, name, role) for one in tree if one.seen.pid not in excused)


def _subject(seen: Seen, reader: Reader) -> Subject | None:
    names = set(seen.environ or ()) | reader.named_by_options(seen).keys()
    told = product.is_told(names) and not product.carries(seen.argv)
    if not seen.called and not told:
        return None
    try:
        directory = working_directory(seen.thread)
    except OSError:
        directory = None
    script = seen.called.script if seen.called else product.script(seen.argv)
    named, version = _identity(seen.thread, script, directory)
    called = seen.called.product if seen.called else product.UNKNOWN
    if named is None or (called == product.OBJECTOS and named != called):
        named, version = called, None
    return Subject(seen, named, version, directory, configured=_is_configured(seen.thread, directory))


def _is_configured(thread: int, directory: str | None) -> bool:
    for name in product.CONFIGURATIONS if directory else ():
        try:
            os.close(foreign_path.locate(thread, posixpath.join(directory or "/", name)))
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        except OSError:
            pass  # something of that name is there
        return True
    return False


def _identity(thread: int, script: str | None, directory: str | None) -> tuple[str | None, str | None]:
    """Return the product and version of a process, as far as we may read it.

    ObjectOS is an application of the open runtime: what runs is `os`, and the folder that it runs in says ObjectOS.
    """
    if directory is None:
        return None, None
    wrapper = _package(thread, [posixpath.join(directory, "package.json")])
    if wrapper[0] == product.OBJECTOS:
        return wrapper
    return _package(thread, product.package_files(script, directory)) if script else (None, None)


def _package(thread: int, paths: Iterable[str]) -> tuple[str | None, str | None]:
    for path in paths:
        try:
            found = product.package(procfs.read_in_root(thread, path, _PACKAGE_LIMIT))
        except OSError:
            continue
        if found:
            return found[0], found[1] or None
    return None, None


def _trees(seen: Iterable[Seen], parents: dict[int, int]) -> list[list[Seen]]:
    """Group processes with the ones that they started: `os start` passes on to `os serve` what it has read."""
    by_pid = {one.pid: one for one in seen}
    trees: dict[int, list[Seen]] = {}
    for pid, one in by_pid.items():
        top, steps = pid, 0
        while parents[top] in by_pid and steps < len(by_pid):
            top, steps = parents[top], steps + 1
        trees.setdefault(top, []).append(one)
    return [sorted(tree, key=lambda one: one.pid != top) for top, tree in trees.items()]
