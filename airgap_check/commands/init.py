"""``airgap-check init``: print a policy derived from this host's ObjectOS configuration, for a person to approve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

HELP = "print a policy derived from this host's ObjectOS configuration"
EXIT_CODES = options.WITHOUT_VERDICT


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments: there are none."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Print the policy; nothing is asked of any name server."""
    del arguments
    from airgap_check.audit import propose
    from airgap_check.commands.delivery import show
    from airgap_check.proposal import to_yaml

    show(to_yaml(propose()))
    return 0
