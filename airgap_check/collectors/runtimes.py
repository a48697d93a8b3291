"""Finds the product's runtimes among processes, what they read from `.env*` files, and what nobody told them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.assigned_files import FromFile, Reader, working_directory
from airgap_check.kernel import procfs
from airgap_check.objectos import product
from airgap_check.objectos.settings import EXPECTED, OF_EACH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from airgap_check.collectors.process_environment import Seen

_PACKAGE_LIMIT = 1 << 16


class Subject(NamedTuple):
    """A process that is a runtime, and which product and version it runs."""

    seen: Seen
    product: str
    version: str | None


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
    subjects = [subject for one in seen if one.pid not in excluded and (subject := _subject(one, reader))]
    unset: list[Unset] = []
    parents = {one.seen.pid: procfs.parent(one.seen.pid) for one in subjects}
    for tree in _trees([subject.seen for subject in subjects], parents):
        if deadline is not None and time.monotonic() > deadline:
            reader.failures.append("the .env files of every runtime before the time limit")
            break
        given = {one.pid: reader.names(one) for one in tree}
        told = {pid: names for pid, names in given.items() if names is not None}
        if len(told) == len(tree) and all(one.environ is not None for one in tree):
            unset += _unset(tree, told, parents)
    return Findings(subjects, reader.from_files, unset, reader.files, reader.failures)


def _unset(tree: Sequence[Seen], told: dict[int, set[str]], parents: dict[int, int]) -> Iterator[Unset]:
    """Say what a runtime lacks, ``told`` being what each of its processes was given.

    `os start` need not know what it has read from a file and hands to `os serve`, so of most variables it is enough
    that somebody has them. But a server without `OS_CLOUD_URL` talks to the public one, whatever its parent was told:
    who has it not is excused only by a child that has.
    """
    everything = set().union(*told.values())
    for name, role, aliases in EXPECTED:
        if name != OF_EACH:
            if aliases.isdisjoint(everything):
                yield Unset(tree[0], name, role)
            continue
        excused: set[int] = set()
        for pid, names in told.items():
            while names & aliases and pid in told and pid not in excused:
                excused.add(pid)
                pid = parents[pid]  # noqa: PLW2901  (from a process that has it up to whoever started it)
        yield from (Unset(one, name, role) for one in tree if one.pid not in excused)


def _subject(seen: Seen, reader: Reader) -> Subject | None:
    names = set(seen.environ or ()) | reader.named_by_options(seen).keys()
    told = product.is_told(names) and not product.carries(seen.argv)
    if not seen.called and not told:
        return None
    script = seen.called.script if seen.called else product.script(seen.argv)
    named, version = _package(seen.thread, script) if script else (None, None)
    return Subject(seen, seen.called.product if seen.called else named or product.UNKNOWN, version)


def _package(pid: int, script: str) -> tuple[str | None, str | None]:
    """Return the product and version of the package that a script belongs to, as far as we may read it."""
    try:
        directory = working_directory(pid)
    except OSError:
        return None, None
    for path in product.package_files(script, directory) if directory else ():
        try:
            found = product.package(procfs.read_in_root(pid, path, _PACKAGE_LIMIT))
        except OSError:
            continue
        if found:
            return found
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
