"""States what was found of settings as records, each fact once however many processes share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Setting
from airgap_check.evidence.fact import Place
from airgap_check.kernel import cgroup, procfs
from airgap_check.objectos import behaviour, product, settings
from airgap_check.objectos.statement import setting
from airgap_check.redact import REDACTED, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airgap_check.collectors.client_files import FromClientFile
    from airgap_check.collectors.process_environment import Seen
    from airgap_check.collectors.runtimes import Findings, Subject
    from airgap_check.collectors.units import Reading
    from airgap_check.evidence.fact import Process, Workload
    from airgap_check.objectos.behaviour import Read


class Owner(NamedTuple):
    """Who has a setting: a process, and who runs it."""

    process: Process | None = None
    workload: Workload | None = None


class Facts:
    """Who a process is and who runs it, looked up once, and only for those with something to say."""

    def __init__(self, subjects: Sequence[Subject] = ()) -> None:
        """Start with the processes that are known to be runtimes."""
        self._owners: dict[int, Owner] = {}
        self._workloads: dict[int, Workload | None] = {}
        self.subjects = {subject.seen.pid: subject for subject in subjects}

    def owner(self, pid: int) -> Owner:
        """Describe a process."""
        if pid not in self._owners:
            self._owners[pid] = Owner(procfs.describe(pid), self.workload(pid))
        return self._owners[pid]

    def workload(self, pid: int) -> Workload | None:
        """Return who runs a process."""
        if pid not in self._workloads:
            self._workloads[pid] = cgroup.of_process(pid)
        return self._workloads[pid]


def interesting(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that say something on their own."""
    return ((name, text) for name, text in environ.items() if settings.variable(name))


def of_processes(seen: Sequence[Seen], facts: Facts) -> Iterator[Setting]:
    """State each setting once per kind of process: two hundred children of one shell are one fact."""
    stated: set[tuple[object, ...]] = set()
    for one in seen:
        for name, text in interesting(one.environ or {}):
            key = (name, text, one.name, facts.workload(one.pid))
            if key not in stated:
                stated.add(key)
                yield _given(name, text, Place(kind="process", pid=one.pid), one, facts, beside=one.environ or {})
        for flag, name, text in product.flags(one.called.arguments if one.called else ()):
            yield _given(name, text, Place(kind="command-line", pid=one.pid), one, facts, beside={}, shown=flag)


def of_files(found: Findings, facts: Facts) -> Iterator[Setting]:
    """State what runtimes read from `.env*` files."""
    for one in found.from_files:
        place = Place(kind="file", pid=one.seen.pid, path=printable(one.path), line=one.line)
        yield _given(one.name, one.value, place, one.seen, facts, beside=one.siblings)


def of_client_files(given: Sequence[FromClientFile], facts: Facts) -> Iterator[Setting]:
    """State where package managers and container engines are told to go."""
    for subject, path, named in given:
        place = Place(kind="file", pid=subject.seen.pid if subject else None, path=printable(path), line=named.line)
        owner = facts.owner(subject.seen.pid) if subject else Owner()
        yield setting(
            named.variable, named.value, place, {}, shown=named.key, process=owner.process, workload=owner.workload
        )


def of_units(given: Reading) -> Iterator[Setting]:
    """State what systemd's units hand to what they start."""
    by_unit: dict[str, dict[str, str]] = {}
    for one in given.given:
        by_unit.setdefault(one.unit, {})[one.name] = one.value
    for one in given.given:
        if settings.variable(one.name):
            place = Place(kind="unit", unit=printable(one.unit), path=printable(one.path), line=one.line)
            yield setting(one.name, one.value, place, by_unit[one.unit])


def of_own(environ: Mapping[str, str]) -> list[Setting]:
    """State our own environment."""
    return [setting(name, text, Place(kind="own"), environ) for name, text in interesting(environ)]


def _given(
    name: str, text: str, place: Place, seen: Seen, facts: Facts, *, beside: Mapping[str, str], shown: str | None = None
) -> Setting:
    """State a setting of a process; what is beside it of a runtime is all that it has, from wherever it came."""
    owner, subject = facts.owner(seen.pid), facts.subjects.get(seen.pid)
    return setting(
        name,
        text,
        place,
        {**(subject.settings or {}), **beside} if subject else beside,
        shown=shown,
        process=owner.process,
        workload=owner.workload,
        product=subject.product if subject else None,
        version=subject.version if subject else None,
        read=_read(name, subject) if subject else None,
    )


def _read(name: str, subject: Subject) -> Read | None:
    """Tell whether a runtime reads a variable; an application of its own, beside the artifact, may read any."""
    read = behaviour.reads(name, subject.product, subject.version)
    return "unknown" if read == "no" and subject.configured else read


def unset(found: Findings, facts: Facts) -> Iterator[Setting]:
    """State what runtimes were not told."""
    stated: set[tuple[object, ...]] = set()
    for one in found.unset:
        pid = one.seen.pid
        key = (one.name, one.seen.name, facts.workload(pid))
        if key not in stated:
            stated.add(key)
            subject = facts.subjects.get(pid)
            yield Setting(
                name=one.name,
                posture="unset",
                role=one.role,
                place=Place(kind="process", pid=pid),
                process=facts.owner(pid).process,
                workload=facts.workload(pid),
                product=subject.product if subject else None,
                version=subject.version if subject else None,
            )


def exposed(seen: Sequence[Seen], facts: Facts) -> Iterator[Setting]:
    """State the secrets that stand on command lines, without them."""
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
