"""``airgap-check watch``: observe until stopped; tell what is new as it comes, report every so often."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.commands.audit import give_way, keep_silent
from airgap_check.errors import UsageError
from airgap_check.news import Notice

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airgap_check.audit import Done
    from airgap_check.finding import Severity

HELP = "observe until stopped; report what is new"
# Of what the journal calls err, warning, notice and info (syslog(3)).
_PRIORITIES = {"critical": 3, "high": 4, "medium": 5, "low": 6, None: 6}
_WORSE = (0, 4, 1)  # exit codes of verdicts: a violation wins over a doubt, and a doubt over peace
_REASONS = 3


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    options.add_judging(parser)
    options.add_collecting(parser)
    options.add_observing(parser)


def run(arguments: argparse.Namespace) -> int:
    """Watch until SIGINT or SIGTERM; SIGHUP reads policy and rules again. Return the worst verdict's exit code.

    With ``--every`` there is a report every so often: it goes to files and to whoever is alerted, and standard output
    shows the last one.
    """
    import threading

    from airgap_check import rounds, service
    from airgap_check.commands import delivery, progress, stopping
    from airgap_check.commands.alarm import Alarm
    from airgap_check.plan import Watcher

    if arguments.alerts and arguments.every is None:
        raise UsageError("alerts tell what a report has changed: add --every DURATION, for instance 1h")
    delivery.check(arguments)
    give_way()
    plan = options.plan(arguments, watches=True)
    reread, manager, codes = threading.Event(), service.from_environment(), []
    tell = _teller(progress.tell)
    told = Alarm(arguments, plan, lambda line: tell(Notice("high", line)))
    ready = keep_silent if arguments.quiet or manager.listens else progress.tell
    with stopping.on_signals(reread) as stop, progress.shown(quiet=arguments.quiet) as stage:

        def reach(name: str) -> None:
            """Say which stage is reached; that is a sign of life, too."""
            stage(name)
            manager.alive()

        watcher = Watcher(arguments.clock, reach, ready, keep_silent, stop, told.post)
        for done, final in rounds.run(plan, watcher, rounds.Audience(reread, tell, manager)):
            if final:
                break
            codes.append(_hand_over(arguments, done, tell))
            told.ring(done)
            manager.alive()
    try:
        codes.append(delivery.deliver(arguments, done))
    finally:
        told.ring(done)
    return max(codes, key=_WORSE.index)


def _hand_over(arguments: argparse.Namespace, done: Done, tell: Callable[[Notice], None]) -> int:
    """Write a report that is not the last one; what cannot be written is no reason to look away. Return its code."""
    from airgap_check.commands import delivery

    report = done.report
    said = "; ".join(report.reasons[:_REASONS])
    severity: Severity | None = None if report.exit_code == 0 else "high"
    tell(Notice(severity, f"report: {report.verdict.replace('_', ' ')} since {report.started:%H:%M:%S} UTC: {said}"))
    try:
        delivery.deliver(arguments, done, shown=False)
    except UsageError as error:
        for fault in str(error).splitlines():
            tell(Notice("high", f"report: {fault}"))
    return report.exit_code


def _teller(write: Callable[[str], None]) -> Callable[[Notice], None]:
    """Return what says a line, with its priority where the journal reads it."""
    from airgap_check import service

    reads = sys.stderr is not None and service.reads_priorities(os.environ, sys.stderr.fileno())
    return lambda notice: write(f"<{_PRIORITIES[notice.severity]}>{notice.text}" if reads else notice.text)
