"""Plays the requests of a file to the rehearsed command, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.drivers.http import Visitor
from airgap_check.drivers.where import Driven, Where, await_server

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from airgap_check.drivers.diary import Diary
    from airgap_check.drivers.requests_file import Request


def play(requests: Sequence[Request], where: Where, diary: Diary, stop: threading.Event) -> Driven:
    """Play the requests in their order; where nobody serves, each of them is skipped."""
    port = await_server(where, stop) if any(request.port is None for request in requests) else where.port
    visitors: dict[int, Visitor] = {}
    for request in requests:
        goal = request.port or port
        if goal is None or stop.is_set():
            diary.skip(request.label, "time was up" if stop.is_set() else "nobody served")
            continue
        visitor = visitors.setdefault(goal, Visitor(goal))
        with diary.visiting(request.label) as remark:
            answer = visitor.ask(request.method, request.target, request.body, headers=request.headers)
            remark.say("done" if answer.status else "failed", answer.detail)
            stop.wait(request.linger)
    cookies = visitors[port].cookies if port in visitors else {}
    return Driven(port, cookies)
