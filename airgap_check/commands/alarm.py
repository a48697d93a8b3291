"""Tells those whom ``--alerts`` names what a run has changed: kept before it is remembered, sent when it reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airgap_check.alerts.message import Alert
    from airgap_check.alerts.settings import AlertFile, Destination
    from airgap_check.audit import Done
    from airgap_check.history.change import Change
    from airgap_check.plan import Plan


class Alarm:
    """Those who want to be told, which may be nobody; ``plan`` is that of the run, which knows that they are needed."""

    def __init__(self, arguments: argparse.Namespace, plan: Plan, tell: Callable[[str], None]) -> None:
        """Read whom to tell, and refuse, before any work, whoever is not approved. Raises `UsageError`."""
        self.plan = plan
        self._tell, self._clock = tell, arguments.clock
        self._file: AlertFile | None = None
        self._unkept: list[tuple[Destination, Alert]] = []
        self._heard = False
        if not arguments.alerts:
            return
        from airgap_check import alerts, audit
        from airgap_check.history import folder
        from airgap_check.plan import Need

        if plan.state == "" or (plan.state is None and os.geteuid() != 0):
            raise UsageError("--alerts needs to know what earlier runs saw: add --state DIR")
        self._folder = plan.state or folder.DEFAULT
        self._file = alerts.load(arguments.alerts)
        _, policy = audit.load(plan)
        alerts.check(self._file, policy, arguments.clock().date())
        goals = [one.goal for one in self._file.destinations if one.goal]
        self.plan = replace(plan, needs=tuple(Need(goal.host, goal.port, goal.protocol) for goal in goals))

    def post(self, change: Change) -> None:
        """Keep what is to be told; it is called before the change is remembered, so that none gets lost."""
        self._heard = True
        if self._file is not None:
            from airgap_check import alerts

            posted = alerts.post(self._file, change, self._folder)
            self._unkept = posted.unkept
            for line in posted.lines:
                self._tell(line)

    def ring(self, done: Done) -> None:
        """Send what waits, of this run and of earlier ones, for a few seconds at most.

        While nothing can be remembered every run that is not compliant is news: who fills the disk silences nobody.
        """
        if self._file is not None:
            from airgap_check import alerts
            from airgap_check.evidence import Answer
            from airgap_check.history.change import unremembered

            if done.trouble and not self._heard and done.report.verdict != "compliant":
                self.post(unremembered(done.report, done.trouble))
            self._heard = False
            answers = done.inspection.records(Answer)
            policy, unkept, self._unkept = done.in_force or done.policy, self._unkept, []
            for line in alerts.pump(self._file, self._folder, policy, answers, self._clock(), unkept=unkept):
                self._tell(line)
