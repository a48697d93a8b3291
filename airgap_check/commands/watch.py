"""``airgap-check watch``: observe until stopped; tell what is new as it comes, and judge it all at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import audit, options

if TYPE_CHECKING:
    import argparse

HELP = "observe until stopped; report what is new"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    options.add_judging(parser)
    options.add_collecting(parser)
    options.add_observing(parser)


def run(arguments: argparse.Namespace) -> int:
    """Watch until SIGINT or SIGTERM, and return the verdict's exit code."""
    return audit.look(arguments, watches=True, seconds=None, live=True)
