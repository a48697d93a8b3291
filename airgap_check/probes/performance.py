"""Does the errands: reaches each endpoint once, in its own protocol, several at a time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.probes import canary, conversation, dial, statement
from airgap_check.probes.account import Target
from airgap_check.probes.statement import Done

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airgap_check.address import Address, Network
    from airgap_check.evidence import AnyRecord
    from airgap_check.probes.errand import Errand

THREADS = 16
_TOTAL_SECONDS = 5.0  # of one errand, the connection included
_MOST = 512  # errands of a run: each has a socket that is open from the start


class Attempt(NamedTuple):
    """A connection that we tried: from which network namespace, where to."""

    netns: int
    address: Address
    port: int


class Outcome(NamedTuple):
    """What the errands have shown: records, what became of each connection, and why that is not everything."""

    records: tuple[AnyRecord, ...] = ()
    attempts: Mapping[Attempt, dial.Fate] = {}
    gaps: tuple[str, ...] = ()


def perform(
    errands: Sequence[Errand], at: datetime, stop: threading.Event, internal: Sequence[Network] = ()
) -> Outcome:
    """Do the errands until somebody says stop; ``at`` is when the run began. No place is tried twice.

    ``internal`` are the networks that the policy calls the site's own, public ones included.
    """
    gaps: dict[str, None] = {}
    records: list[AnyRecord] = []
    due: dict[Attempt, Errand] = {}
    same: list[tuple[Errand, Attempt]] = []
    for errand in sorted(errands, key=_eloquence):
        if errand.address is None or errand.verdict:
            records.append(statement.unreached(errand))
            continue
        attempt = Attempt(errand.point.inode, errand.address, errand.need.port)
        if attempt in due:
            same.append((errand, attempt))
        elif len(due) >= _MOST:
            gaps[f"no more than {_MOST} endpoints are tried in one run"] = None
            records.append(statement.unreached(errand._replace(verdict="skipped", note="there were too many")))
        else:
            due[attempt] = errand
    ends = _open(due, records, gaps)
    attempts = tuple(ends)

    def one(attempt: Attempt) -> Done | None:
        with ends[attempt] as end:
            return None if stop.is_set() else _try(due[attempt], end, at, internal)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        done = dict(zip(attempts, pool.map(one, attempts), strict=True))
    for attempt, result in done.items():
        if result is None:
            gaps["the run was ended before every endpoint was tried"] = None
            records.append(
                statement.unreached(due[attempt]._replace(verdict="skipped", note="the run was ended before"))
            )
        else:
            records += statement.records(result)
            gaps.update(dict.fromkeys(statement.unjudged(result)))
    records += [statement.shared(errand, due[attempt], done.get(attempt)) for errand, attempt in same]
    fates = {attempt: result.dialled.fate for attempt, result in done.items() if result is not None}
    return Outcome(tuple(statement.settled(records)), fates, tuple(gaps))


def _eloquence(errand: Errand) -> tuple[bool, bool]:
    """Order errands so that, of several to one place, the one that finds out most is done."""
    return errand.need.protocol == "tcp", errand.need.tls != "required"


def _open(due: dict[Attempt, Errand], records: list[AnyRecord], gaps: dict[str, None]) -> dict[Attempt, socket.socket]:
    """Create the sockets, namespace by namespace; what cannot be tried is skipped, and a gap."""
    by_place: dict[int, list[Attempt]] = {}
    for attempt in due:
        by_place.setdefault(attempt.netns, []).append(attempt)
    ends: dict[Attempt, socket.socket] = {}
    for attempts in by_place.values():
        point = due[attempts[0]].point
        try:
            made = dial.sockets(point.namespace, [attempt.address for attempt in attempts])
        except OSError as error:
            note = f"no sockets could be made in {point}: {error.strerror or type(error).__name__}"
            gaps[note] = None
            records += [
                statement.unreached(due[attempt]._replace(verdict="skipped", note=note)) for attempt in attempts
            ]
        else:
            ends.update(zip(attempts, made, strict=True))
    return ends


def _try(errand: Errand, end: socket.socket, at: datetime, internal: Sequence[Network]) -> Done:
    """Connect and, where the errand is more than a canary, talk."""
    need, address = errand.need, errand.address
    assert address is not None
    began = time.monotonic()
    outside = need.purpose == "canary"
    dialled = dial.reach(end, address, need.port, until=began + dial.CONNECT_SECONDS, reset=outside)
    if outside and dialled.by and canary.is_outside(dialled.by, errand.point, internal):
        dialled = dialled._replace(fate="refused", detail=f"{dialled.detail}, which is beyond the gap")
    if dialled.fate != "connected" or outside:
        return Done(errand, dialled)
    target = Target(need.protocol, need.host, need.port, need.tls, need.detail, at)
    told = conversation.converse(end, target, began + _TOTAL_SECONDS)
    return Done(errand, dialled, told, round((time.monotonic() - began) * 1000, 3))
