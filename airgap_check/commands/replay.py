"""``airgap-check replay``: judge recorded evidence again, under this policy and these rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse

HELP = "judge recorded evidence again, under this policy and these rules"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("evidence", metavar="EVIDENCE", help="a file or an archive that --record wrote")
    options.add_judging(parser)
    parser.add_argument(
        "--archived-policy", action="store_true",
        help="judge by the policy that lies in the archive instead of this host's",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Judge the file and return the verdict's exit code."""
    from airgap_check import audit
    from airgap_check.commands import delivery

    if arguments.policy and arguments.archived_policy:
        raise UsageError("--policy and --archived-policy are two policies: choose one")
    delivery.check(arguments)
    plan = options.plan(arguments)
    return delivery.deliver(
        arguments, audit.replay(plan, arguments.evidence, archived_policy=arguments.archived_policy)
    )
