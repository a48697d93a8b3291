"""``airgap-check audit``: inspect this host, at one moment or for a while, judge, report."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse

_NICE = 10
HELP = "inspect this host, judge, report"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    options.add_judging(parser)
    options.add_collecting(parser)
    parser.add_argument(
        "--observe", metavar="DURATION", type=options.duration,
        help="watch every attempt for so long (30s, 10m, 2h) besides the snapshot",
    )  # fmt: skip
    options.add_observing(parser)


def run(arguments: argparse.Namespace) -> int:
    """Audit this host and return the verdict's exit code."""
    if arguments.observe is None and (wants := options.observing_only(arguments)):
        raise UsageError(f"{wants} is for an observation: add --observe DURATION")
    return look(arguments, watches=arguments.observe is not None, seconds=arguments.observe)


def look(arguments: argparse.Namespace, *, watches: bool, seconds: float | None, live: bool = False) -> int:
    """Look at this host, once or for a while; ``live`` tells each new finding on standard error as it comes."""
    import threading
    from contextlib import nullcontext

    from airgap_check import audit
    from airgap_check.commands import delivery, progress, stopping
    from airgap_check.commands.alarm import Alarm
    from airgap_check.commands.voice import Voice
    from airgap_check.plan import Watcher

    delivery.check(arguments)
    give_way()
    plan = options.plan(arguments, watches=watches, seconds=seconds)
    say = Voice(arguments).tell
    told = Alarm(arguments, plan, say)
    plan = told.plan
    signals = stopping.on_signals() if watches else nullcontext(threading.Event())
    with signals as stop, progress.shown(quiet=arguments.quiet) as stage:
        tell = say if live else keep_silent
        ready = keep_silent if arguments.quiet else say
        done = audit.run(plan, Watcher(arguments.clock, stage, ready, tell, stop, told.post))
    try:
        return delivery.deliver(arguments, done)
    finally:
        told.ring(done)


def keep_silent(_line: str) -> None:
    """Say nothing: the report at the end says it all."""


def give_way() -> None:
    """Lower our priority: an audit is a guest on a production host."""
    if (missing := _NICE - os.getpriority(os.PRIO_PROCESS, 0)) > 0:
        os.nice(missing)
