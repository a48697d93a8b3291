"""``airgap-check audit``: inspect this host, judge, report."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

_NICE = 10
HELP = "inspect this host, judge, report"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    options.add_judging(parser)
    options.add_collecting(parser)


def run(arguments: argparse.Namespace) -> int:
    """Audit this host and return the verdict's exit code."""
    from airgap_check import audit
    from airgap_check.commands import delivery, progress

    delivery.check(arguments)
    _give_way()
    with progress.shown(quiet=arguments.quiet) as stage:
        inspection, report = audit.run(options.plan(arguments), arguments.clock, stage)
    return delivery.deliver(arguments, inspection, report)


def _give_way() -> None:
    """Lower our priority: an audit is a guest on a production host."""
    if (missing := _NICE - os.getpriority(os.PRIO_PROCESS, 0)) > 0:
        os.nice(missing)
