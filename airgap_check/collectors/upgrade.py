"""Collects whether a deployment is immutable and can go back: what it runs, what was configured, what ran before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airgap_check.asset import Artifact, Check, Image
from airgap_check.collectors import immutability, succession
from airgap_check.collectors.succession import Running
from airgap_check.errors import UsageError
from airgap_check.evidence import Evidence, Runtime, Setting
from airgap_check.kernel import stored_file
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airgap_check.collectors.installations import Installation
    from airgap_check.history.clearance import Clearance
    from airgap_check.history.memory import Memory
    from airgap_check.history.store import Preflight


def collect(
    installations: Sequence[Installation],
    seen: Sequence[Evidence],
    memory: Memory,
    cleared: Clearance,
    *,
    now: datetime,
    deadline: float | None,
) -> Evidence:
    """Compare each runtime with its files, its configuration and its past; ``seen`` is what others have collected.

    ``cleared`` is what the last green preflight ought to have been for.
    """
    settings = [record for evidence in seen for record in evidence.of(Setting)]
    images = [record for evidence in seen for record in evidence.of(Image)]
    found = list(_running(installations, seen))
    checks: list[Check] = []
    reasons: list[str] = []
    for index, running in enumerate(found):
        if deadline is not None and time.monotonic() > deadline:
            reasons.append(f"stopped at the time limit with {len(found) - index} runtimes left")
            break
        checks += _standing(running)
        checks.append(succession.restart(running, settings, images))
        checks += succession.configured(running, settings, images)
        if memory.store:
            checks += succession.changes(running, memory.store)
            checks.append(succession.way_back(running, memory.store, now))
        elif memory.wanted:
            checks += _unremembered(running, memory.reason)
    if memory.store and (preflight := memory.store.preflight()):
        checks.append(_cleared(preflight, cleared, now))
    reasons += _remembered(found, memory, now)
    return Evidence(
        kind="upgrade",
        status="partial" if reasons else "complete",
        records=tuple(dict.fromkeys(checks)),
        reason="; ".join(reasons),
        scope="artifacts, images and files of the runtimes found",
        counts={"runtimes": len(found), "checks": len(checks)},
        blind=(f"what ran here before is not known: {memory.reason}",) if memory.store is None else (),
    )


def _running(installations: Sequence[Installation], seen: Sequence[Evidence]) -> Iterator[Running]:
    runtimes = {record.process.pid: record for evidence in seen for record in evidence.of(Runtime)}
    artifacts = [record for evidence in seen if evidence.kind == "artifact" for record in evidence.of(Artifact)]
    for installation in installations:
        pid = installation.process.pid
        own = [one for one in artifacts if one.process and one.process.pid == pid]
        kept = tuple(immutability.look(one, installation) for one in own)
        if runtime := runtimes.get(pid):
            yield Running(installation, runtime, kept, stored_file.started(installation.thread))


def _standing(running: Running) -> Iterator[Check]:
    for kept in running.kept:
        yield from immutability.checks(kept)
    yield from immutability.pins(running.installation, running.runtime)
    yield from immutability.databases(running.installation)


def _cleared(preflight: Preflight, cleared: Clearance, now: datetime) -> Check:
    """Say whether the last green preflight still holds."""
    changed = cleared.changed_since(preflight.binding)
    if now > preflight.until:
        changed.append(f"it held until {preflight.until:%Y-%m-%d %H:%M}Z only")
    return Check(
        aspect="clearance",
        subject=f"the preflight of {preflight.made:%Y-%m-%d %H:%M}Z",
        outcome="failed" if changed else "passed",
        detail=", ".join(changed) or "it was for what runs now",
        seen="upgrade",
    )


def _unremembered(running: Running, reason: str) -> Iterator[Check]:
    for aspect in ("artifact-changed", "rollback"):
        yield immutability.stated(running.installation, aspect, printable(running.owner), "unknown", reason)


def _remembered(found: Sequence[Running], memory: Memory, now: datetime) -> Iterator[str]:
    """Remember what was seen, and say what stands in the way."""
    if memory.store is None:
        if memory.wanted:
            yield memory.reason
        return
    if memory.store.mishap:
        yield printable(memory.store.mishap)
    try:
        memory.store.keep([one for running in found for one in succession.sightings(running, now)])
    except UsageError as error:
        yield str(error)
