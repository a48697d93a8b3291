"""Says who asked for a name: packets tell what was asked, the world by which sockets, calls whose those are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.evidence import Question
from airgap_check.world.ground import RESOLVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from airgap_check.evidence import AnyRecord, Evidence
    from airgap_check.evidence.fact import Process
    from airgap_check.world.meeting import Inquiry


def attributed(
    observed: Iterable[Evidence], inquiries: Iterable[Inquiry], asker: Callable[[int], Process | None],
    wall: Callable[[int], datetime],
) -> list[Evidence]:  # fmt: skip
    """Return evidence in which each question to the resolver is its asker's: one that several asked becomes several.

    ``asker`` knows the process by a socket's cookie, ``wall`` the time by CLOCK_MONOTONIC.
    """
    heard: defaultdict[tuple[str, str], defaultdict[Process | None, list[int]]]
    heard = defaultdict(lambda: defaultdict(list))
    for inquiry in inquiries:
        process = asker(inquiry.cookie) if inquiry.cookie else None
        heard[inquiry.type, inquiry.name][process].append(inquiry.at)

    def split(record: AnyRecord) -> Iterator[AnyRecord]:
        if not isinstance(record, Question) or record.process or record.server.address != RESOLVER:
            yield record
            return
        times = heard[record.type, record.name]
        if len(times) == 1:
            yield replace(record, process=next(iter(times)))
            return
        left = record.count
        for process, asked in times.items():
            if process is not None and left:
                count = min(left, len(asked))
                left -= count
                first, last = wall(min(asked)), wall(max(asked))
                yield replace(record, process=process, count=count, first=first, last=last)
        if left:
            yield replace(record, count=left)

    return [replace(one, records=tuple(each for record in one.records for each in split(record))) for one in observed]
