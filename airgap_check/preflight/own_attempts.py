"""Takes what was seen of our own probes out of what the observers saw, by number, place and time.

The observer of attempts knows our process and leaves it out by itself. Packets and the counters of the kernel have no
process: of the connections that were seen to begin in a network namespace towards an address and port, as many are left
out as we made there, and never one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.address import parse
from airgap_check.evidence import Connection, Counter, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from airgap_check.evidence import AnyRecord
    from airgap_check.probes.dial import Fate
    from airgap_check.probes.performance import Attempt

# Packets that one attempt may have been counted with: the first one is sent again after a second, and after three.
_COUNTED = {"unreachable": 1, "timeout": 3, "refused": 1}


def without(
    evidence: Evidence, attempts: Mapping[Attempt, Fate], own: int, window: tuple[datetime, datetime]
) -> Evidence:
    """Return what others did. ``own`` is our network namespace, through which those of containers may be routed.

    ``window`` is from before the first of our attempts until after the last.
    """
    if not attempts or evidence.kind not in {"traffic", "counters"}:
        return evidence
    left = [rest for record in evidence.records if (rest := _others(record, attempts, own, window)) is not None]
    ours = len(evidence.records) - len(left)
    return replace(evidence, records=tuple(left), counts={**evidence.counts, "own_probes": ours})


def _others(
    record: AnyRecord, attempts: Mapping[Attempt, Fate], own: int, window: tuple[datetime, datetime]
) -> AnyRecord | None:
    """Return what remains of a record without ours, None when nothing does."""
    if isinstance(record, Counter):
        ours = sum(_COUNTED.get(fate, 0) for attempt, fate in attempts.items() if attempt.netns == record.netns)
        return (
            record if not ours else replace(record, increase=record.increase - ours) if record.increase > ours else None
        )
    if not isinstance(record, Connection) or record.protocol != "tcp" or record.direction == "inbound":
        return record
    if not (record.first and record.last and record.first <= window[1] and record.last >= window[0]):
        return record
    ours = sum(1 for _ in _same(record, attempts, own))
    return record if not ours else replace(record, count=record.count - ours) if record.count > ours else None


def _same(record: Connection, attempts: Mapping[Attempt, Fate], own: int) -> Iterator[Attempt]:
    """Yield our attempts that a record of packets may be about: from there, or from where these are routed through us.

    No place was tried twice from one namespace.
    """
    address = parse(record.remote.address or "")
    for attempt in attempts:
        if record.netns in {attempt.netns, own} and (attempt.address, attempt.port) == (address, record.remote.port):
            yield attempt
