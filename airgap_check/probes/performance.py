"""Does the errands: reaches each endpoint once, in its own protocol, several at a time, and states what came of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.asset import Check, Probe, Reference
from airgap_check.fact import Endpoint, endpoint
from airgap_check.probes import conversation, dial
from airgap_check.probes.account import Target, Told
from airgap_check.redact import printable

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from airgap_check.address import Address
    from airgap_check.evidence import AnyRecord
    from airgap_check.probes.errand import Errand

THREADS = 16
_TOTAL_SECONDS = 5.0  # of one errand, the connection included
_MOST = 512  # errands of a run: each has a socket that is open from the start
# What a runtime that does not answer leaves open.
_POSTURE = ("control-plane-mounted", "login-path")


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


class _Done(NamedTuple):
    """What became of one errand; ``milliseconds`` is None where nothing was reached."""

    errand: Errand
    dialled: dial.Dialled
    told: Told | None = None
    milliseconds: float | None = None


def perform(errands: Sequence[Errand], at: datetime, stop: threading.Event) -> Outcome:
    """Do the errands until somebody says stop; ``at`` is when the run began. No place is tried twice."""
    gaps: dict[str, None] = {}
    records: list[AnyRecord] = []
    due: dict[Attempt, Errand] = {}
    for errand in errands:
        if errand.address is None or errand.verdict:
            records.append(_unreached(errand))
            continue
        attempt = Attempt(errand.point.inode, errand.address, errand.need.port)
        first = due.get(attempt)
        if first is not None:
            note = f"{errand.address} is that of {first.need.place} too, which was tried"
            records.append(_unreached(errand._replace(verdict="skipped", note=note)))
        elif len(due) >= _MOST:
            gaps[f"no more than {_MOST} endpoints are tried in one run"] = None
            records.append(_unreached(errand._replace(verdict="skipped", note="there were too many")))
        else:
            due[attempt] = errand
    ends = _open(due, records, gaps)
    attempts = tuple(ends)

    def one(attempt: Attempt) -> _Done | None:
        with ends[attempt] as end:
            return None if stop.is_set() else _try(due[attempt], end, at)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        done = dict(zip(attempts, pool.map(one, attempts), strict=True))
    for attempt, result in done.items():
        if result is None:
            gaps["the run was ended before every endpoint was tried"] = None
            records.append(_unreached(due[attempt]._replace(verdict="skipped", note="the run was ended before")))
        else:
            records += _records(result)
    fates = {attempt: result.dialled.fate for attempt, result in done.items() if result is not None}
    return Outcome(tuple(records), fates, tuple(gaps))


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
            records += [_unreached(due[attempt]._replace(verdict="skipped", note=note)) for attempt in attempts]
        else:
            ends.update(zip(attempts, made, strict=True))
    return ends


def _try(errand: Errand, end: socket.socket, at: datetime) -> _Done:
    """Connect and, where the errand is more than a canary, talk."""
    need, address = errand.need, errand.address
    assert address is not None
    began = time.monotonic()
    canary = need.purpose == "canary"
    dialled = dial.reach(end, address, need.port, until=began + dial.CONNECT_SECONDS, reset=canary)
    if dialled.fate != "connected" or canary:
        return _Done(errand, dialled)
    target = Target(need.protocol, need.host, need.port, need.tls, need.detail, at)
    told = conversation.converse(end, target, began + _TOTAL_SECONDS)
    return _Done(errand, dialled, told, round((time.monotonic() - began) * 1000, 3))


def _unreached(errand: Errand) -> Probe:
    """State an errand that was not done."""
    unresolved = errand.verdict == "unresolved"
    return _probe(errand, outcome="unresolved" if unresolved else "skipped", stage="name", detail=errand.note)


def _records(done: _Done) -> Iterator[AnyRecord]:
    errand, told = done.errand, done.told
    if told is None:
        if done.dialled.fate == "connected":
            yield _probe(errand, outcome="reached", stage="connect", detail="the connection was accepted")
        else:
            yield _probe(errand, outcome=done.dialled.fate, stage="connect", detail=_said(errand, done.dialled.detail))
    else:
        yield _probe(
            errand, outcome=told.outcome, stage=told.stage, detail=_said(errand, told.detail), tls=told.tls,
            expires=told.expires, latency_ms=done.milliseconds if told.outcome == "reached" else None,
        )  # fmt: skip
        yield from _named(errand, told)
    yield from _checks(errand, told)


def _named(errand: Errand, told: Told) -> Iterator[AnyRecord]:
    for named in told.named:
        yield Reference(
            path=errand.need.place, pointer=named.pointer, text=named.text, role=named.role, dialer=named.dialer,
            endpoint=named.endpoint, seen="probes", **_who(errand),
        )  # fmt: skip


def _checks(errand: Errand, told: Told | None) -> Iterator[AnyRecord]:
    for check in told.checks if told else ():
        yield Check(
            aspect=check.aspect, subject=errand.need.place, outcome=check.outcome, detail=check.detail,
            pointer=check.pointer, seen="probes", **_who(errand),
        )  # fmt: skip
    if errand.need.purpose == "posture" and (told is None or told.outcome != "reached"):
        for aspect in _POSTURE:
            yield Check(
                aspect=aspect, subject=errand.need.place, outcome="unknown", detail="the runtime did not answer",
                seen="probes", **_who(errand),
            )  # fmt: skip


def _said(errand: Errand, detail: str) -> str:
    return "; ".join(filter(None, (errand.note, detail)))


def _who(errand: Errand) -> dict[str, Any]:
    owner = errand.owner
    return {"process": owner.process, "workload": owner.workload} if owner else {}


def _probe(errand: Errand, **facts: Any) -> Probe:
    need = errand.need
    return Probe(
        purpose=need.purpose, protocol=need.protocol, role=need.role, entry=need.entry, remote=_remote(errand),
        netns=errand.point.inode, **_who(errand), **facts,
    )  # fmt: skip


def _remote(errand: Errand) -> Endpoint:
    need = errand.need
    name = None if errand.address is not None and str(errand.address) == need.host else printable(need.host)
    if errand.address is None:
        return Endpoint(name=printable(need.host), port=need.port)
    return endpoint(errand.address, need.port, name=name)
