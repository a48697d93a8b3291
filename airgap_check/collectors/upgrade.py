"""Collects whether a deployment is immutable and can go back: what it runs, what was configured, what ran before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.collectors import immutability, succession
from airgap_check.collectors.succession import Running
from airgap_check.errors import UsageError
from airgap_check.evidence import Evidence, Runtime, Setting
from airgap_check.evidence.asset import Artifact, Check, Image
from airgap_check.kernel import stored_file
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from airgap_check.collectors.immutability import Kept
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
    current = {one.digest for running in found for one in succession.sightings(running, now)}
    checks: list[Check] = []
    reasons: list[str] = []
    for index, running in enumerate(found):
        if deadline is not None and time.monotonic() > deadline:
            reasons.append(f"stopped at the time limit with {len(found) - index} runtimes left")
            break
        made = [
            *_standing(running),
            succession.restart(running, settings, images),
            *succession.configured(running, settings, images),
            *_past(running, memory, current),
        ]
        if stored_file.started(running.installation.thread) is not None:  # what has gone meanwhile leaves no doubts
            checks += made
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


def _past(running: Running, memory: Memory, current: Collection[str]) -> Iterator[Check]:
    """Compare a runtime with what ran before it; ``current`` are the digests of all that run now."""
    if memory.store:
        yield from succession.changes(running, memory.store)
        yield succession.way_back(running, memory.store, current)
    elif memory.wanted:
        yield from _unremembered(running, memory.reason)


def _running(installations: Sequence[Installation], seen: Sequence[Evidence]) -> Iterator[Running]:
    runtimes = {record.process.pid: record for evidence in seen for record in evidence.of(Runtime)}
    artifacts = [record for evidence in seen if evidence.kind == "artifact" for record in evidence.of(Artifact)]
    kept: dict[int, list[Kept]] = {}
    for installation in installations:
        pid = installation.process.pid
        kept[pid] = [
            immutability.look(one, installation) for one in artifacts if one.process and one.process.pid == pid
        ]
    known = {one.file.identity: one.artifact for own in kept.values() for one in own if one.file}
    for installation in installations:
        pid = installation.process.pid
        started = stored_file.started(installation.thread)
        if (runtime := runtimes.get(pid)) and started is not None:  # else it has gone
            own = kept[pid] or list(_shared(installation, known))
            yield Running(installation, runtime, tuple(own), started)


def _shared(installation: Installation, known: Mapping[tuple[int, int], Artifact]) -> Iterator[Kept]:
    """Find the artifact of a runtime that was read for another one already: each may do something else to it."""
    if installation.artifact is None or "://" in installation.artifact:
        return
    artifact = Artifact(path=printable(installation.artifact), process=installation.process)
    found = immutability.look(artifact, installation)
    if found.file and (one := known.get(found.file.identity)):
        yield found._replace(artifact=replace(one, path=artifact.path, process=installation.process))


def _standing(running: Running) -> Iterator[Check]:
    for kept in running.kept:
        yield from immutability.checks(kept)
    yield from immutability.pins(running.installation, running.runtime)
    yield from immutability.databases(running.installation)


def _cleared(preflight: Preflight, cleared: Clearance, now: datetime) -> Check:
    """Say whether the last green preflight still holds."""
    changed = cleared.changed_since(preflight.binding)
    if now < preflight.made:
        changed.append("the clock has been set back since")
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
