"""``airgap-check preflight``: an audit that also reaches what is needed, and tries whether the gap is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.commands.audit import give_way, keep_silent

if TYPE_CHECKING:
    import argparse

HELP = "audit plus active probes: what is needed is reached, and nothing else is"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    options.add_judging(parser)
    options.add_collecting(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be sent, from where, and send nothing (exit code 4)"
    )
    parser.add_argument(
        "--observe", metavar="DURATION", type=options.duration,
        help="watch every attempt for so long (default: as long as the probes take, and 2s)",
    )  # fmt: skip
    options.add_observing(parser)


def run(arguments: argparse.Namespace) -> int:
    """Probe, observe and judge this host; return the verdict's exit code."""
    import threading

    from airgap_check import preflight
    from airgap_check.commands import delivery, progress, stopping
    from airgap_check.commands.alarm import Alarm
    from airgap_check.commands.voice import Voice
    from airgap_check.finding import ExitCode
    from airgap_check.plan import Watcher

    delivery.check(arguments)
    give_way()
    plan = options.plan(arguments, watches=True)
    tell = Voice(arguments).tell
    told = Alarm(arguments, plan, tell)
    plan = told.plan
    ready = keep_silent if arguments.quiet else tell
    with progress.shown(quiet=arguments.quiet) as stage:
        if arguments.dry_run:
            watcher = Watcher(arguments.clock, stage, keep_silent, keep_silent, threading.Event())
            delivery.show("".join(f"{line}\n" for line in preflight.list_probes(plan, watcher)))
            if arguments.report or arguments.record:
                ready("no report and no evidence is written: nothing was looked at but what would be sent")
            return ExitCode.INCONCLUSIVE
        with stopping.on_signals() as stop:
            watcher = Watcher(arguments.clock, stage, ready, keep_silent, stop, told.post)
            gate = preflight.run(plan, watcher, arguments.observe)
    try:
        code = delivery.deliver(arguments, gate.done)
    finally:
        told.ring(gate.done)
    if gate.bound is not None and not arguments.quiet:
        tell(gate.bound.line())
    return code
