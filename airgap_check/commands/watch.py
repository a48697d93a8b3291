"""``airgap-check watch``: observe until stopped; tell what is new as it comes, report every so often."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.commands.audit import give_way, keep_silent
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airgap_check.audit import Done
    from airgap_check.commands.delivery import Ending
    from airgap_check.finding import Finding, Severity
    from airgap_check.watching.news import Notice

HELP = "observe until stopped; report what is new"
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

    from airgap_check import service
    from airgap_check.commands import delivery, progress, stopping
    from airgap_check.commands.alarm import Alarm
    from airgap_check.commands.voice import Voice
    from airgap_check.plan import Watcher
    from airgap_check.watching import rounds
    from airgap_check.watching.news import Notice

    if arguments.alerts and arguments.every is None:
        raise UsageError("alerts tell what a report has changed: add --every DURATION, for instance 1h")
    delivery.check(arguments)
    give_way()
    plan = options.plan(arguments, watches=True)
    reread, manager = threading.Event(), service.from_environment()
    worst: Ending | None = None
    say = Voice(arguments).tell
    tell = _teller(say)
    told = Alarm(arguments, plan, lambda line: tell(Notice("high", line)))
    ready = keep_silent if arguments.quiet or manager.listens else say
    with stopping.on_signals(reread) as stop:  # to the very end: a reload must not cost the last report
        with progress.shown(quiet=arguments.quiet) as stage:

            def reach(name: str) -> None:
                """Say which stage is reached; that is a sign of life, too."""
                stage(name)
                manager.alive()

            watcher = Watcher(arguments.clock, reach, ready, keep_silent, stop, told.post)
            for done, final in rounds.run(told.plan, watcher, rounds.Audience(reread, tell, manager)):
                if final:
                    break
                ending = _hand_over(arguments, done, tell)
                worst = delivery.worse(arguments, ending, worst)
                told.ring(done)
                manager.alive()
        try:
            return delivery.deliver(arguments, done, worst)
        finally:
            with suppress(KeyboardInterrupt):  # the verdict is there, and what is not sent is kept for the next run
                told.ring(done)


def _hand_over(arguments: argparse.Namespace, done: Done, tell: Callable[[Notice], None]) -> Ending:
    """Write a report that is not the last one; what cannot be written is no reason to look away. Return its ending."""
    from airgap_check.commands import delivery
    from airgap_check.watching.news import Notice

    report = done.report
    said = "; ".join(report.reasons[:_REASONS])
    severity: Severity | None = None if report.exit_code == 0 else "high"
    tell(Notice(severity, f"report: {report.verdict.replace('_', ' ')} since {report.started:%H:%M:%S} UTC: {said}"))
    try:
        report, faults = delivery.write(arguments, done)
    except UsageError as error:
        faults = str(error).splitlines()
    for fault in faults:
        tell(Notice("high", f"report: {fault}"))
    return delivery.ending_of(arguments, report)


def _teller(write: Callable[[str, Finding | None], None]) -> Callable[[Notice], None]:
    """Return what says a line, with its priority where the journal reads it."""
    from airgap_check import service

    if not service.reads_priorities(os.environ, sys.stderr):
        return lambda notice: write(notice.text, notice.about)
    from airgap_check.reporters import journal_report

    return lambda notice: write(journal_report.line(notice.severity, notice.text), notice.about)
