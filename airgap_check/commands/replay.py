"""``airgap-check replay``: judge recorded evidence again, under this policy and these rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

HELP = "judge recorded evidence again, under this policy and these rules"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("evidence", metavar="EVIDENCE", help="a file that audit --record wrote")
    options.add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge the file and return the verdict's exit code."""
    from airgap_check import audit
    from airgap_check.commands import delivery

    delivery.check(arguments)
    inspection, report = audit.replay(options.plan(arguments), arguments.evidence)
    return delivery.deliver(arguments, inspection, report)
