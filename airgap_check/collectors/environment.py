"""Collects the settings that name, imply or fail to name a destination, and the runtimes of the product.

Looked at: our own environment, every process's initial one, `.env*` files of runtimes, systemd's unit files, command
lines. Whatever is secret is redacted here, before it becomes a record.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors import process_environment, runtimes, units
from airgap_check.evidence import Evidence, Runtime, Setting
from airgap_check.fact import Place
from airgap_check.kernel import cgroup, procfs
from airgap_check.objectos import product, settings
from airgap_check.redact import REDACTED, printable, value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airgap_check.collectors.process_environment import Seen, Sweep
    from airgap_check.fact import Process, Workload

_LENGTH = 512
_ENDPOINTS = 256  # of one setting; more is no configuration, but an attempt to drown the audit
_INITIAL = "what a process changed in its environment after it started (setenv) is invisible"


def collect(deadline: float | None, *, pids: Sequence[int] | None = None, units_root: str = "") -> Evidence:
    """Read every place where a setting may stand; ``pids`` and ``units_root`` narrow that for a test."""
    own = [_setting(name, text, Place(kind="own"), os.environ) for name, text in _interesting(os.environ)]
    try:
        procfs.check()
        listed = procfs.pids() if pids is None else pids
    except OSError as error:
        reason = f"other processes' environments cannot be read here: {error.strerror}"
        return Evidence(kind="environment", status="unavailable", records=tuple(own), reason=reason)
    sweep = process_environment.sweep((pid for pid in listed if pid != os.getpid()), deadline)
    found = runtimes.find(sweep.seen, runtimes.ancestors(os.getpid()), deadline)
    given = units.read(units_root)
    facts = _Facts()
    stated = [*own, *_of_processes(sweep.seen, facts), *_of_files(found, facts), *_of_units(given)]
    stated += [*_unset(found, facts), *_exposed(sweep.seen, facts)]
    subjects = list(_runtimes(found.subjects, facts))
    reasons = _reasons(sweep, [*found.failures, *given.failures], stated)
    return Evidence(
        kind="environment",
        status="partial" if reasons else "complete",
        records=(*stated, *subjects),
        reason="; ".join(reasons),
        scope="own environment, all processes that /proc lists, systemd's system units",
        counts={
            "processes": sweep.processes,
            "unreadable": len(sweep.unreadable),
            "settings": len(stated),
            "runtimes": len(subjects),
            "unit_files": given.files,
            "env_files": found.files,
        },
        blind=(_INITIAL, *_not_understood(stated), *_retitled(sweep), *given.blind),
    )


class _Owner(NamedTuple):
    """Who has a setting: a process, and who runs it."""

    process: Process | None = None
    workload: Workload | None = None


_NOBODY = _Owner()


class _Facts:
    """Who a process is and who runs it, looked up once, and only for those with something to say."""

    def __init__(self) -> None:
        self._owners: dict[int, _Owner] = {}
        self._workloads: dict[int, Workload | None] = {}

    def owner(self, pid: int) -> _Owner:
        if pid not in self._owners:
            self._owners[pid] = _Owner(procfs.describe(pid), self.workload(pid))
        return self._owners[pid]

    def workload(self, pid: int) -> Workload | None:
        if pid not in self._workloads:
            self._workloads[pid] = cgroup.of_process(pid)
        return self._workloads[pid]


def _interesting(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in environ.items() if settings.variable(name))


def _setting(
    name: str,
    text: str,
    place: Place,
    siblings: Mapping[str, str],
    owner: _Owner = _NOBODY,
    *,
    shown: str | None = None,
) -> Setting:
    """State one variable (``shown``: under another name), without its secret; endpoints come from the real value."""
    known = settings.variable(name)
    return Setting(
        name=printable(shown or name)[:_LENGTH],
        value=value(name, text)[:_LENGTH],
        posture=settings.posture(name, text),
        role=known.role if known else None,
        endpoints=settings.endpoints(name, text, siblings)[:_ENDPOINTS],
        place=place,
        process=owner.process,
        workload=owner.workload,
    )


def _of_processes(seen: Sequence[Seen], facts: _Facts) -> Iterator[Setting]:
    """State each setting once per kind of process: two hundred children of one shell are one fact."""
    stated: set[tuple[object, ...]] = set()
    for one in seen:
        for name, text in _interesting(one.environ or {}):
            key = (name, text, one.name, facts.workload(one.pid))
            if key not in stated:
                stated.add(key)
                place = Place(kind="process", pid=one.pid)
                yield _setting(name, text, place, one.environ or {}, facts.owner(one.pid))
        for flag, name, text in product.flags(one.called.arguments if one.called else ()):
            place = Place(kind="command-line", pid=one.pid)
            yield _setting(name, text, place, {}, facts.owner(one.pid), shown=flag)


def _of_files(found: runtimes.Findings, facts: _Facts) -> Iterator[Setting]:
    for one in found.from_files:
        pid = one.seen.pid
        place = Place(kind="file", pid=pid, path=printable(one.path), line=one.line)
        yield _setting(one.name, one.value, place, one.siblings, facts.owner(pid))


def _of_units(given: units.Reading) -> Iterator[Setting]:
    by_unit: dict[str, dict[str, str]] = {}
    for one in given.given:
        by_unit.setdefault(one.unit, {})[one.name] = one.value
    for one in given.given:
        if settings.variable(one.name):
            place = Place(kind="unit", unit=printable(one.unit), path=printable(one.path), line=one.line)
            yield _setting(one.name, one.value, place, by_unit[one.unit])


def _unset(found: runtimes.Findings, facts: _Facts) -> Iterator[Setting]:
    stated: set[tuple[object, ...]] = set()
    for one in found.unset:
        pid = one.seen.pid
        key = (one.name, one.seen.name, facts.workload(pid))
        if key not in stated:
            stated.add(key)
            yield Setting(
                name=one.name,
                posture="unset",
                role=one.role,
                place=Place(kind="process", pid=pid),
                process=facts.owner(pid).process,
                workload=facts.workload(pid),
            )


def _exposed(seen: Sequence[Seen], facts: _Facts) -> Iterator[Setting]:
    stated: set[tuple[object, ...]] = set()
    for one in seen:
        for name in one.exposed:
            key = (name, one.name, facts.workload(one.pid))
            if key not in stated:
                stated.add(key)
                yield Setting(
                    name=printable(name),
                    value=REDACTED,
                    posture="other",
                    role="command-line-secret",
                    place=Place(kind="command-line", pid=one.pid),
                    process=facts.owner(one.pid).process,
                    workload=facts.workload(one.pid),
                )


def _runtimes(subjects: Sequence[runtimes.Subject], facts: _Facts) -> Iterator[Runtime]:
    stated: set[tuple[object, ...]] = set()
    for subject in subjects:
        pid = subject.seen.pid
        namespace = _namespace(subject.seen.thread)
        key = (subject.product, subject.version, subject.seen.name, facts.workload(pid), namespace)
        if key in stated:
            continue
        process = facts.owner(pid).process
        if process:
            stated.add(key)
            yield Runtime(
                product=subject.product,
                version=subject.version,
                netns=namespace,
                process=process,
                workload=facts.workload(pid),
            )


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


def _reasons(sweep: Sweep, failures: Sequence[str], stated: Sequence[Setting]) -> list[str]:
    """Say why this is not everything; empty when it is."""
    reasons = []
    if sweep.unreadable:
        count = len(sweep.unreadable)
        reasons.append(f"may not read the environment of {count} processes, such as {printable(sweep.unreadable[0])}")
    if sweep.unfinished:
        reasons.append(f"stopped at the time limit with {sweep.unfinished} processes left")
    if procfs.hides_processes():
        reasons.append("/proc is mounted with hidepid: other users' processes are not even listed")
    if failures:
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        reasons.append(f"could not read {printable(failures[0])}{more}")
    reasons += [f"{one.name} names more than {_ENDPOINTS} places" for one in stated if len(one.endpoints) == _ENDPOINTS]
    return reasons


def _retitled(sweep: Sweep) -> Iterator[str]:
    if sweep.retitled:
        yield f"{sweep.retitled} processes have written their title over their environment (nginx, sshd, PostgreSQL do)"


def _not_understood(stated: Sequence[Setting]) -> Iterator[str]:
    """Name the settings that should lead somewhere and could not be read: templates, malformed URLs."""
    names = sorted(
        {
            one.name
            for one in stated
            if not one.endpoints and one.posture in {"url", "other"} and settings.is_unreadable(one.name, one.value)
        }
    )
    if names:
        yield f"no destination could be read from {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
