"""Compares what the kernel counted with what was seen to be attempted: packets that nobody seems to have sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.evidence import Counter, EntryUse
from airgap_check.policy.allowlist import NEVER_EGRESS
from airgap_check.view import CounterView

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.view import ConnectionView


def attributed(inspection: Inspection, connections: Sequence[ConnectionView]) -> Iterator[CounterView]:
    """Yield each counter that grew, with the attempts in its network namespace that can account for it.

    Of what an entry approved we know only how often, not where, so that those attempts leave it open as long as they
    are enough; so do attempts in other namespaces, whose packets may be routed and filtered in this one. A datagram
    socket that was connected to an approved place before goes on sending when its route has gone, and nobody sees an
    attempt in that.
    """
    attempts: dict[int, int] = {}
    for view in connections:
        if view.record.seen == "attempts":
            attempts[view.record.netns] = attempts.get(view.record.netns, 0) + view.record.count
    connected = {view.record.netns for view in connections if _keeps_sending(view)}
    total = sum(attempts.values())
    approved = sum(use.count for use in inspection.of("attempts").of(EntryUse))
    seen_all = inspection.of("attempts").status == "complete"
    for counter in inspection.records(Counter):
        here = attempts.get(counter.netns, 0)
        explained: Literal["yes", "no", "unknown"] = "no"
        if here or counter.netns in connected:
            explained = "yes"
        elif not seen_all or total or approved >= counter.increase:
            explained = "unknown"
        yield CounterView(record=counter, attributed=here, explained=explained)


def _keeps_sending(view: ConnectionView) -> bool:
    """Tell whether this is a connected datagram socket whose destination, beyond this host, an entry approves."""
    socket = view.record
    is_datagram = socket.seen == "sockets" and socket.protocol == "udp"
    return is_datagram and view.allowed == "yes" and view.remote.scope not in NEVER_EGRESS
