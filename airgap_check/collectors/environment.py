"""Collects the settings that name, imply or fail to name a destination, and the runtimes of the product.

Looked at: our own environment, every process's initial one, `.env*` files of runtimes, systemd's unit files, command
lines, and the files that tell package managers and container engines where to go. Whatever is secret is redacted here,
before it becomes a record.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors import client_files, process_environment, running, runtimes, stating, units
from airgap_check.evidence import Evidence, Setting
from airgap_check.kernel import procfs
from airgap_check.objectos import settings
from airgap_check.objectos.statement import ENDPOINTS
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.collectors.installations import Installation
    from airgap_check.collectors.process_environment import Sweep

_INITIAL = "what a process changed in its environment after it started (setenv) is invisible"


class Examined(NamedTuple):
    """What was seen, and the running products for other collectors to follow, one for each Runtime record."""

    evidence: Evidence
    installations: list[Installation]


def collect(deadline: float | None, *, pids: Sequence[int] | None = None, units_root: str = "") -> Evidence:
    """Read every place where a setting may stand; ``pids`` and ``units_root`` narrow that for a test."""
    return examine(deadline, pids=pids, units_root=units_root).evidence


def examine(deadline: float | None, *, pids: Sequence[int] | None = None, units_root: str = "") -> Examined:
    """Read every place where a setting may stand, and keep what is known of each running product."""
    own = stating.of_own(os.environ)
    try:
        procfs.check()
        listed = procfs.pids() if pids is None else pids
    except OSError as error:
        reason = f"other processes' environments cannot be read here: {error.strerror}"
        return Examined(Evidence(kind="environment", status="unavailable", records=tuple(own), reason=reason), [])
    sweep = process_environment.sweep((pid for pid in listed if pid != os.getpid()), deadline)
    found = runtimes.find(sweep.seen, runtimes.ancestors(os.getpid()), deadline)
    given = units.read(units_root)
    clients = client_files.read(found.subjects, units_root, deadline)
    facts = stating.Facts(found.subjects)
    stated = [*own, *stating.of_processes(sweep.seen, facts), *stating.of_files(found, facts)]
    stated += [*stating.of_units(given), *stating.of_client_files(clients.given, facts)]
    stated += [*stating.unset(found, facts), *stating.exposed(sweep.seen, facts)]
    subjects = list(running.runtimes(found.subjects, facts, units_root))
    reasons = _reasons(sweep, [*found.failures, *given.failures, *clients.failures], stated)
    evidence = Evidence(
        kind="environment",
        status="partial" if reasons else "complete",
        records=(*stated, *(runtime for runtime, _ in subjects)),
        reason="; ".join(reasons),
        scope="own environment, all processes that /proc lists, systemd's system units, files of package managers",
        counts={
            "processes": sweep.processes,
            "unreadable": len(sweep.unreadable),
            "settings": len(stated),
            "runtimes": len(subjects),
            "unit_files": given.files,
            "env_files": found.files,
            "client_files": clients.files,
        },
        blind=(_INITIAL, *_not_understood(stated), *_retitled(sweep), *given.blind),
    )
    return Examined(evidence, [installation for _, installation in subjects])


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
    reasons += [f"{one.name} names more than {ENDPOINTS} places" for one in stated if len(one.endpoints) == ENDPOINTS]
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
