"""``airgap-check audit``: inspect this host, judge, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

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
    with progress.shown(quiet=arguments.quiet) as stage:
        inspection, report = audit.run(options.plan(arguments), arguments.clock, stage)
    return delivery.deliver(arguments, inspection, report)
