"""Tells those whom ``--alerts`` names what a run has changed: kept before it is remembered, sent when it reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airgap_check.audit import Done
    from airgap_check.history.change import Change
    from airgap_check.plan import Plan


class Alarm:
    """Those who want to be told, which may be nobody."""

    def __init__(self, arguments: argparse.Namespace, plan: Plan, tell: Callable[[str], None]) -> None:
        """Read whom to tell, and refuse, before any work, whoever is not approved. Raises `UsageError`."""
        self._tell, self._clock = tell, arguments.clock
        self._file = None
        if not arguments.alerts:
            return
        from airgap_check import alerts, audit
        from airgap_check.history import folder

        if plan.state == "" or (plan.state is None and os.geteuid() != 0):
            raise UsageError("--alerts needs to know what earlier runs saw: add --state DIR")
        self._folder = plan.state or folder.DEFAULT
        self._file = alerts.load(arguments.alerts)
        _, policy = audit.load(plan)
        alerts.check(self._file, policy, arguments.clock().date())

    def post(self, change: Change) -> None:
        """Keep what is to be told; it is called before the change is remembered, so that none gets lost."""
        if self._file is not None:
            from airgap_check import alerts

            for line in alerts.post(self._file, change, self._folder):
                self._tell(line)

    def ring(self, done: Done) -> None:
        """Send what waits, of this run and of earlier ones, for a few seconds at most."""
        if self._file is not None:
            from airgap_check import alerts
            from airgap_check.evidence import Answer

            answers = done.inspection.records(Answer)
            for line in alerts.pump(self._file, self._folder, done.policy, answers, self._clock()):
                self._tell(line)
