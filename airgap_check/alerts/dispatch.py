"""Puts messages into the spool when something changed, and delivers what waits there, as far as time allows."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check.alerts import command, mail, message, syslog, webhook
from airgap_check.alerts.approval import Approval
from airgap_check.alerts.failure import DeliveryError
from airgap_check.alerts.line import Way
from airgap_check.alerts.spool import Spool
from airgap_check.errors import UsageError
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from airgap_check.alerts.message import Alert
    from airgap_check.alerts.settings import AlertFile, Destination
    from airgap_check.evidence import Answer
    from airgap_check.history.change import Change
    from airgap_check.policy import Policy

SECONDS = 10.0
"""How long one run may take to deliver, all destinations together."""
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_LONGEST_REASON = 300  # characters
_LEAST = 0.05  # seconds without which nothing is begun


class Posted(NamedTuple):
    """What became of a change: lines on what went wrong, and the messages that the disk did not take."""

    lines: list[str]
    unkept: list[tuple[Destination, Alert]]


def post(file: AlertFile, change: Change, state_dir: str) -> Posted:
    """Keep a message for every destination that wants to hear of a change.

    Where nothing changed nothing is written. Nothing is sent yet.
    """
    lines: list[str] = []
    unkept: list[tuple[Destination, Alert]] = []
    if not change.worth_telling:
        return Posted(lines, unkept)
    for destination in file.destinations:
        alert = message.of(change, destination)
        if alert is None:
            continue
        try:
            if dropped := Spool(state_dir).put(destination.name, alert):
                lines.append(f"alerts: the spool is full: the oldest {dropped} were given up")
        except UsageError as error:
            lines.append(f'alerts: "{destination.name}" is told at once or never, as this is not kept: {error}')
            unkept.append((destination, alert))
    return Posted([printable(line) for line in lines], unkept)


def pump(
    file: AlertFile,
    state_dir: str,
    policy: Policy,
    answers: Iterable[Answer],
    now: datetime,
    *,
    unkept: Sequence[tuple[Destination, Alert]] = (),
    seconds: float = SECONDS,
) -> list[str]:
    """Deliver what waits, and first what is ``unkept``, as far as the time reaches; return lines on what could not be.

    ``answers`` are those of the run: names are looked up nowhere else. Costs a look into a folder where nothing waits.
    """
    until = time.monotonic() + seconds
    approval = partial(Approval, policy, tuple(answers), now.date())
    at_once = _at_once(unkept, approval(), now, until) if unkept else []
    return at_once + _waiting(file, state_dir, approval, now, until)


def _at_once(unkept: Sequence[tuple[Destination, Alert]], approval: Approval, now: datetime, until: float) -> list[str]:
    """Send, once, what the disk did not take: a full disk is not to silence anybody."""
    lines = []
    for position, (destination, alert) in enumerate(unkept):
        started = time.monotonic()
        try:
            remark = _send(destination, alert, approval, now, started + (until - started) / (len(unkept) - position))
        except DeliveryError as error:
            remark = f"was not told, and will not be: {error}"
        if remark:
            lines.append(printable(f'alerts: "{destination.name}": {remark}'))
    return lines


def _waiting(
    file: AlertFile, state_dir: str, approval: Callable[[], Approval], now: datetime, until: float
) -> list[str]:
    try:
        spool = Spool(state_dir)
        if not spool.is_waiting():
            return []
        with spool.delivering(max(0.0, until - time.monotonic())) as alone:
            if not alone:
                return ["alerts: another run is still delivering; what waits is kept"]
            delivery = _Delivery(spool, approval(), now)
            return [printable(line) for line in delivery.of_all(file.destinations, until)]
    except UsageError as error:
        return [printable(f"alerts: {error}")]


class _Delivery:
    """One attempt to empty a spool."""

    def __init__(self, spool: Spool, approval: Approval, now: datetime) -> None:
        self._spool, self._approval, self._now = spool, approval, now
        self._lines: list[str] = []

    def of_all(self, destinations: Sequence[Destination], until: float) -> list[str]:
        """Give each destination its turn: one message a round, and its share of the time that is left."""
        if dropped := self._spool.expire(self._now):
            self._lines.append(f"alerts: {dropped} were given up: too old, or too many")
        ready = [destination for destination in destinations if self._is_due(destination.name)]
        while ready:
            going_on = []
            for position, destination in enumerate(ready):
                now = time.monotonic()
                if until - now < _LEAST:
                    return self._lines
                if self._next(destination, destinations, now + (until - now) / (len(ready) - position)):
                    going_on.append(destination)
            ready = going_on
        return self._lines

    def _is_due(self, name: str) -> bool:
        again = self._spool.standing(name).again
        # A time far ahead was written before the clock was set back.
        return again is None or again <= self._now or again > self._now + 2 * _LONGEST_PAUSE

    def _next(self, destination: Destination, others: Iterable[Destination], until: float) -> bool:
        """Deliver the oldest message for a destination; False when there is none, or it has to wait."""
        head = self._spool.head(destination.name)
        if head is None:
            return False
        name, waiting = head
        dropped = self._spool.standing(destination.name).dropped
        alert = replace(waiting.alert, dropped=dropped, undelivered=tuple(self._undelivered(others)))
        try:
            remark = _send(destination, alert, self._approval, self._now, until)
        except DeliveryError as error:
            return self._failed(destination, name, error)
        self._spool.remove(name)
        self._spool.settle(destination.name, dropped)
        if remark:
            self._lines.append(f'alerts: "{destination.name}": {remark}')
        return True

    def _failed(self, destination: Destination, name: str, error: DeliveryError) -> bool:
        """Remember a failure and when to try again, or give a message up; tell whether to go on with the next one."""
        if error.final:
            self._spool.give_up(destination.name, name)
            self._lines.append(f'alerts: "{destination.name}" will never take one, which is given up: {error}')
            return True
        before = self._spool.standing(destination.name)
        pause = min(_FIRST_PAUSE * 2 ** min(before.failures, 10), _LONGEST_PAUSE)
        again = self._now + max(pause, timedelta(seconds=error.pause))
        self._spool.keep(
            replace(
                before,
                failures=before.failures + 1,
                since=before.since or self._now,
                again=again,
                error=printable(str(error))[:_LONGEST_REASON],
            )
        )
        waiting = self._spool.count(destination.name)
        fate = f"{waiting} kept, and tried again from {again:%Y-%m-%d %H:%M:%S} on"
        self._lines.append(f'alerts: "{destination.name}" was not told: {error}; {fate}')
        return False

    def _undelivered(self, destinations: Iterable[Destination]) -> Iterator[str]:
        for standing in (self._spool.standing(destination.name) for destination in destinations):
            if standing.failures and standing.since:
                times = f"{standing.failures} attempts since {standing.since:%Y-%m-%d %H:%M:%S}"
                yield printable(f'"{standing.destination}": {times}: {standing.error}')


def _send(destination: Destination, alert: Alert, approval: Approval, now: datetime, until: float) -> str:
    """Deliver one message, and return a remark; "" for none. Raises `DeliveryError`."""
    goal = destination.goal
    if destination.command:
        command.run(destination.command, alert, until)
    if goal is None:
        return ""
    way = Way(goal, approval.addresses(goal), until)
    if destination.webhook:
        webhook.send(destination.webhook, alert, way, now)
    elif destination.syslog:
        syslog.send(destination.syslog, alert, way)
    elif destination.smtp:
        return mail.send(destination.smtp, alert, way)
    return ""
