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
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.finding import JudgedConnection, Report

WORST_FIRST: tuple[Allowed, ...] = ("no", "unknown", "yes")
_LOOKERS = frozenset({"sockets", "attempts", "sockdiag", "traffic", "capture"})  # the collectors of connections


class Flow(NamedTuple):
    """Connections that share who, where and what is said of them.

    ``public`` is where somebody else's network begins; ``times`` are the first and the last moment of each that was
    watched, in order.
    """

    who: str
    where: str
    allowed: Allowed
    by: str
    connections: int
    public: bool
    times: tuple[tuple[datetime, datetime], ...]


def is_covered(report: Report) -> bool:
    """Tell whether anybody looked for connections at all, be it in part."""
    return any(item.collector in _LOOKERS and item.status != "unavailable" for item in report.coverage)


def flows(report: Report) -> list[Flow]:
    """Return what left, or tried to; callers of this host are not among it.

    What is refused comes first, and of that what is public: it must not hide behind a thousand internal addresses.
    """
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
            public=any(one.remote.scope in {"public", "metadata"} for one in records),
            times=tuple(sorted((one.first, one.last or one.first) for one in records if one.first)),
        )
        for key, records in groups.items()
    ]
    return sorted(united, key=_urgency)


def _urgency(flow: Flow) -> tuple[int, bool, int, str, str]:
    return WORST_FIRST.index(flow.allowed), not flow.public, -flow.connections, flow.who, flow.where


def reason(flow: Flow) -> str:
    """Name the entry that allows it, or say why none does."""
    return flow.by or ("public address" if flow.public else "")


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


def nothing(report: Report) -> str:
    """Say what it means that there are no flows: that nothing was seen is worth something only if somebody looked."""
    if not is_covered(report):
        return "Nobody looked for connections in this run."
    return "Nothing left this host, or tried to, as far as it was seen."


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
