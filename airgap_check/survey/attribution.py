"""Compares what the kernel counted with what was seen to be attempted: packets that nobody seems to have sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.evidence import Counter, EntryUse
from airgap_check.view import CounterView

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from airgap_check.inspection import Inspection
    from airgap_check.view import ConnectionView


def attributed(inspection: Inspection, connections: Sequence[ConnectionView]) -> Iterator[CounterView]:
    """Yield each counter that grew, with the attempts in its network namespace that can account for it.

    Of what an entry approved we know only how often, not where, so that those attempts leave it open as long as they
    are enough; so do attempts in other namespaces, whose packets may be routed and filtered in this one.
    """
    attempts: dict[int, int] = {}
    for view in connections:
        if view.record.seen == "attempts":
            attempts[view.record.netns] = attempts.get(view.record.netns, 0) + view.record.count
    total = sum(attempts.values())
    approved = sum(use.count for use in inspection.records(EntryUse))
    seen_all = inspection.of("attempts").status == "complete"
    for counter in inspection.records(Counter):
        here = attempts.get(counter.netns, 0)
        explained: Literal["yes", "no", "unknown"] = "no"
        if here:
            explained = "yes"
        elif not seen_all or total or approved >= counter.increase:
            explained = "unknown"
        yield CounterView(record=counter, attributed=here, explained=explained)
