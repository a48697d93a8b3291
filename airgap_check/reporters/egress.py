"""Who talked, or tried to talk, to where, and what the allowlist says of it: connections as a person counts them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Connection
from airgap_check.reporters import wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airgap_check.evidence import Allowed
    from airgap_check.fact import Endpoint
    from airgap_check.finding import JudgedConnection, Report

WORST_FIRST: tuple[Allowed, ...] = ("no", "unknown", "yes")


class Flow(NamedTuple):
    """Connections that share who, where and what is said of them; ``first`` and ``last`` where somebody watched."""

    who: str
    where: str
    allowed: Allowed
    by: str
    connections: int
    first: datetime | None
    last: datetime | None


def flows(report: Report) -> list[Flow]:
    """Return what left, or tried to, worst and most frequent first; callers of this host are not among it."""
    groups: dict[tuple[str, str, Allowed, str], list[Connection]] = {}
    for judged in report.connections:
        record = judged.record
        if isinstance(record, Connection) and record.direction != "inbound":
            key = (_who(record), _where(record), judged.allowed, _by(judged))
            groups.setdefault(key, []).append(record)
    united = [
        Flow(
            *key,
            connections=sum(one.count for one in records),
            first=min((one.first for one in records if one.first), default=None),
            last=max((one.last or one.first for one in records if one.first), default=None),
        )
        for key, records in groups.items()
    ]
    return sorted(united, key=lambda flow: (WORST_FIRST.index(flow.allowed), -flow.connections, flow.who, flow.where))


def totals(flows: Iterable[Flow]) -> dict[Allowed, int]:
    """Count connections by what the allowlist says of them; only what occurs is in it, worst first."""
    counts: Counter[Allowed] = Counter()
    for flow in flows:
        counts[flow.allowed] += flow.connections
    return {allowed: counts[allowed] for allowed in WORST_FIRST if counts[allowed]}


def inbound(report: Report) -> int:
    """Count the connections that others made to this host."""
    records = (judged.record for judged in report.connections)
    return sum(one.count for one in records if isinstance(one, Connection) and one.direction == "inbound")


def rest(flows: Sequence[Flow]) -> str:
    """Say what was left out of a list: how many pairs, how many connections, and what became of them."""
    words = ", ".join(f"{number:,} {wording.ALLOWED[allowed]}" for allowed, number in totals(flows).items())
    return f"{len(flows):,} more pairs of who and where ({words})"


def _by(judged: JudgedConnection) -> str:
    return judged.by or ""


def _who(record: Connection) -> str:
    """Name a process without its number, and what runs it; of a packet, the sender."""
    process = record.process.name if record.process else None
    name = process or (record.local.address if record.seen in {"capture", "traffic"} else None) or "unknown process"
    return f"{name} ({record.workload.kind} {record.workload.name})" if record.workload else name


def _where(record: Connection) -> str:
    remote = record.remote
    target = _host(remote) + (f":{remote.port}" if remote.port else "")
    return f"{target}/{record.protocol}"


def _host(remote: Endpoint) -> str:
    if not remote.address:
        return remote.name or "somewhere"
    address = f"[{remote.address}]" if ":" in remote.address else remote.address
    return f"{address} {remote.name}" if remote.name else address
