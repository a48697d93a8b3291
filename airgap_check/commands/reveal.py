"""``airgap-check reveal``: say what pseudonyms stand for, to whoever holds their key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airgap_check.commands import options
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_LINE = 1 << 26  # characters; a report of 100,000 findings may be one line
HELP = "say what a pseudonym stands for"
EXIT_CODES = options.WITHOUT_VERDICT


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "pseudonym", metavar="TOKEN", help="a pseudonym, or any text with pseudonyms in it; - reads standard input"
    )
    parser.add_argument("--key", metavar="KEYFILE", required=True, help="the key that --pseudonymize was given")


def run(arguments: argparse.Namespace) -> int:
    """Print the text with every pseudonym taken back."""
    from airgap_check import pseudonyms
    from airgap_check.commands import delivery
    from airgap_check.finding import ExitCode
    from airgap_check.pseudonyms.reveal import Revealing
    from airgap_check.redact import printable

    revealing = Revealing(pseudonyms.load(arguments.key))
    for line in _lines(arguments.pseudonym):
        delivery.show(printable(revealing.text(line)) + "\n")
    if revealing.failed and not revealing.opened:
        raise UsageError(f"{arguments.key}: not the key of these pseudonyms")
    return ExitCode.COMPLIANT


def _lines(given: str) -> Iterator[str]:
    """Yield what to reveal. Raises `UsageError` for a standard input that is closed or no text."""
    if given != "-":
        yield given
        return
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    try:
        yield from (line.rstrip("\n") for line in iter(lambda: sys.stdin.readline(_LINE), ""))
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is no text: {error}") from error
