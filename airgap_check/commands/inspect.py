"""``airgap-check inspect``: judge captures and logs that others made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

HELP = "judge captures and logs: FILE..."
DESCRIPTION = "Judge captures and logs."


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+",
        help="pcap, pcapng, a log of Zeek (conn, dns, ssl, http, quic), Suricata's eve.json, or what conntrack prints;"
        " - is standard input",
    )  # fmt: skip
    options.add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge the files as one body of evidence and return the verdict's exit code."""
    from airgap_check import audit
    from airgap_check.commands import delivery, progress

    delivery.check(arguments)
    with progress.shown(quiet=arguments.quiet) as stage:
        done = audit.inspect(options.plan(arguments), arguments.files, arguments.clock, stage)
    return delivery.deliver(arguments, done)
