"""Finds the product's runtimes among processes: which product and version, what they were told, and what nobody did."""

from __future__ import annotations

import os
import posixpath
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.assigned_files import FromFile, Given, Reader, named_below, working_directory
from airgap_check.kernel import foreign_path, procfs
from airgap_check.objectos import behaviour, product
from airgap_check.objectos.settings import posture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from airgap_check.collectors.process_environment import Seen
    from airgap_check.evidence import Posture

_PACKAGE_LIMIT = 1 << 16
_DELETED = " (deleted)"


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
    _drop_runners(subjects)
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


def _drop_runners(subjects: dict[int, Subject]) -> None:
    """Drop those that only started what is recognised: what `npm exec os start` was told, `os start` was told too."""
    recognised = (pid for pid, subject in subjects.items() if subject.seen.called)
    started_one = {above for pid in recognised for above in ancestors(pid) - {pid}}
    for pid in started_one & subjects.keys():
        if not subjects[pid].seen.called and product.is_runner(subjects[pid].seen.argv):
            del subjects[pid]


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
    if not seen.called and (not product.is_told(names) or product.is_bystander(_program(seen.thread))):
        return None
    try:
        directory = working_directory(seen.thread)
    except OSError:
        directory = None
    configured = _is_configured(seen.thread, directory)
    named, version = _identity(seen, directory, configured=configured)
    called = seen.called.product if seen.called else product.UNKNOWN
    if named is None or (called == product.OBJECTOS and named != called):
        named, version = called, None
    return Subject(seen, named, version, directory, configured=configured)


def _program(thread: int) -> str:
    """Return the executable of a process, which it cannot choose as freely as its title; empty where nobody tells."""
    try:
        return os.readlink(f"/proc/{thread}/exe").removesuffix(_DELETED)
    except OSError:
        return ""


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


def _identity(seen: Seen, directory: str | None, *, configured: bool) -> tuple[str | None, str | None]:
    """Return the product and version of a process, as far as we may read it.

    ObjectOS is an application of the open runtime: what runs is `os`, with the configuration of the folder that it runs
    in, which says ObjectOS. Without a configuration the folder's name changes nothing of what `os` does: `npm init` in
    a folder of that name writes it as well.
    """
    if directory is None:
        return None, None
    wrapper = _package(seen.thread, [posixpath.join(directory, "package.json")])
    if wrapper[0] == product.OBJECTOS and (configured or not seen.called or seen.called.product == product.OBJECTOS):
        return wrapper
    script = seen.called.script if seen.called else product.script(seen.argv)
    if script is None:
        return None, None
    real = _resolved(seen.thread, posixpath.join(directory, script))
    paths = [*(product.package_files(real, directory) if real else ()), *product.package_files(script, directory)]
    return _package(seen.thread, dict.fromkeys(paths))


def _resolved(thread: int, path: str) -> str | None:
    """Return where a script is that links lead to, as its process would name it; None where that cannot be told."""
    try:
        located = foreign_path.locate(thread, path)
    except OSError:
        return None
    try:
        return named_below(os.readlink(f"/proc/{thread}/root"), os.readlink(f"/proc/self/fd/{located}"))
    except OSError:
        return None
    finally:
        os.close(located)


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
