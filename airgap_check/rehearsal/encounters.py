"""Makes encounters of what three witnesses tell: who called, what the world heard, what the driver was doing."""

from __future__ import annotations

from collections import defaultdict, deque
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from airgap_check.evidence.fact import endpoint
from airgap_check.evidence.rehearsed import Encounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from airgap_check.evidence.fact import Endpoint, Process
    from airgap_check.observers.calls import Call
    from airgap_check.rehearsal.wish import World
    from airgap_check.world.meeting import Met

LIMIT = 20_000  # different encounters that are kept

_BY_REQUEST = frozenset({"http", "http2", "dns"})  # each request is for itself; in a mail session, one is none
_LINES = 8  # of a session that are kept
_LAG_NS = 1_000_000_000  # within which the world has accepted what was dialled
_UNANSWERED = {
    "accept": "ended before the world could answer",
    "nxdomain": "ended before the world could answer",
    "drop": "dropped",
    "reject": "rejected",
}
_PORTLESS = "sent without a port: nobody listens to such packets here"
Key = tuple[Literal["tcp", "udp", "icmp", "raw"], str, int | None]


class Witnesses(NamedTuple):
    """What was told: by whoever watches system calls, by the world, by the driver.

    ``trigger`` names the visit that was under way at a time by CLOCK_MONOTONIC, ``wall`` tells that time; ``known``
    describes an address and port with the name that it stands for.
    """

    calls: Iterable[Call]
    meetings: Iterable[Met]
    world: World
    trigger: Callable[[int], str | None]
    wall: Callable[[int], datetime]
    known: Callable[[Endpoint], Endpoint]


def of(told: Witnesses) -> Iterator[Encounter]:
    """Iterate over what happened: each meeting, or request within one, and each call that met nobody."""
    calls: defaultdict[Key, deque[Call]] = defaultdict(deque)
    for call in told.calls:
        if call.protocol != "packet":  # of which no call says where they go
            calls[call.protocol, call.address, call.port].append(call)
    heard: dict[Key, Process | None] = {}
    for met in sorted(told.meetings, key=lambda met: met.at):
        key: Key = met.protocol, met.address, met.port
        waiting = calls.get(key)
        caller = waiting.popleft() if waiting else None
        process = caller.process if caller else heard.get(key)
        heard.setdefault(key, process)
        yield from _of_meeting(met, caller, process, told)
    connected = {(address, port) for protocol, address, port in calls if protocol == "tcp"}
    for key, left in calls.items():
        protocol, address, port = key
        # Datagrams of one socket are one meeting, and a socket that sends nothing only sorts addresses (RFC 6724).
        if protocol == "udp" and (key in heard or told.world in {"accept", "nxdomain"} or (address, port) in connected):
            continue
        for call in left:
            yield _of_call(call, key, told)


def united(encounters: Iterable[Encounter], limit: int = LIMIT) -> tuple[list[Encounter], int]:
    """Return encounters in the order of time, those that are alike as one, and how many there was no room for."""
    found: dict[Encounter, Encounter] = {}
    unkept = 0
    for encounter in encounters:
        key = replace(encounter, count=1, sent=0, received=0, first=None, last=None)
        known = found.get(key)
        if known is None and len(found) >= limit:
            unkept += 1
        else:
            found[key] = _sum(known, encounter) if known else encounter
    return sorted(found.values(), key=_beginning), unkept


def _beginning(encounter: Encounter) -> datetime:
    assert encounter.first is not None, "every encounter has its time"
    return encounter.first


def _sum(one: Encounter, other: Encounter) -> Encounter:
    times = [time for time in (one.first, one.last, other.first, other.last) if time]
    return replace(
        one,
        count=one.count + other.count,
        sent=one.sent + other.sent,
        received=one.received + other.received,
        first=min(times),
        last=max(times),
    )


def _of_meeting(met: Met, caller: Call | None, process: Process | None, told: Witnesses) -> Iterator[Encounter]:
    # The world may come to hear of it when whoever dialled has gone, and his visit with him.
    dialled = caller.at if caller and met.protocol == "tcp" and 0 <= met.at - caller.at < _LAG_NS else met.at
    whole = Encounter(
        protocol=met.protocol,
        remote=told.known(endpoint(ip_address(met.address), met.port)),
        spoken=met.spoken,
        encrypted=met.encrypted,
        name=met.name,
        opening=met.opening,
        ended=met.ended,
        sent=met.sent,
        received=met.received,
        process=process,
        trigger=told.trigger(dialled),
        first=told.wall(met.at),
        last=told.wall(met.until),
    )
    if met.spoken not in _BY_REQUEST or not met.requests:
        yield replace(whole, request=", ".join(asked.line for asked in met.requests[:_LINES]) or None)
        return
    for number, asked in enumerate(met.requests):
        yield replace(
            whole,
            request=asked.line,
            name=asked.name or met.name,
            opening="" if number else met.opening,
            sent=0 if number else met.sent,
            received=0 if number else met.received,
            trigger=told.trigger(asked.at),
            first=told.wall(asked.at),
        )


def _of_call(call: Call, key: Key, told: Witnesses) -> Encounter:
    protocol, address, port = key
    at = told.wall(call.at)
    return Encounter(
        protocol=protocol,
        remote=told.known(endpoint(ip_address(address), port)),
        ended=_UNANSWERED[told.world] if protocol in {"tcp", "udp"} else _PORTLESS,
        process=call.process,
        trigger=told.trigger(call.at),
        first=at,
        last=at,
    )
