"""Hands a finished report to whoever asked for it: standard output, report files, an evidence file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airgap_check import output, recording, reporters
from airgap_check.commands import options, progress
from airgap_check.errors import UsageError
from airgap_check.finding import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from airgap_check.finding import Report
    from airgap_check.inspection import Inspection


def check(arguments: argparse.Namespace) -> None:
    """Refuse, before any work, destinations that could not be written. Raises `UsageError`."""
    paths = [path for _, path in options.reports(arguments)] + ([arguments.record] if arguments.record else [])
    for path in paths:
        output.check(path)
    if len(set(paths)) < len(paths):
        raise UsageError("two reports go to the same file")
    if sys.stdout is None and not arguments.quiet:
        raise UsageError("standard output is closed: use --quiet with --report NAME=FILE")


def deliver(arguments: argparse.Namespace, inspection: Inspection, report: Report) -> int:
    """Show the report, write everything that was asked for, and return the exit code of the verdict.

    Raises `UsageError` for what could not be written, unless there is a violation: that is what must not get lost.
    """
    faults = list(_hand_over(arguments, inspection, report))
    if faults and report.exit_code != ExitCode.NOT_COMPLIANT:
        raise UsageError("\n".join(faults))
    for fault in faults:
        progress.tell(f"airgap-check: {fault}")
    return report.exit_code


def _hand_over(arguments: argparse.Namespace, inspection: Inspection, report: Report) -> Iterator[str]:
    """Show the report, write the evidence and the reports, and say what could not be."""
    try:
        show(_text(arguments, report))
    except UsageError as error:
        yield str(error)
    wanted: list[tuple[str, Iterable[bytes]]] = [
        (path, (reporters.render(name, report).encode(),)) for name, path in options.reports(arguments)
    ]
    if arguments.record:
        wanted.insert(0, (arguments.record, recording.write(inspection)))
    for path, content in wanted:
        try:
            output.write(path, content)
        except UsageError as error:
            yield str(error)


def _text(arguments: argparse.Namespace, report: Report) -> str:
    if arguments.format != "console":
        return reporters.render(arguments.format, report)
    if arguments.quiet and report.exit_code == 0:
        return ""
    from airgap_check.reporters import console_report

    colour, width = terminal(arguments)
    return console_report.render(report, colour=colour, width=width, verbose=arguments.verbose)


def terminal(arguments: argparse.Namespace) -> tuple[bool, int | None]:
    """Say how standard output wants to be written to: with colour or not, and how many columns wide."""
    import os

    if sys.stdout is None or not sys.stdout.isatty():
        return False, None
    colour = not arguments.no_color and not os.environ.get("NO_COLOR")
    return colour, os.get_terminal_size(sys.stdout.fileno()).columns


def show(text: str) -> None:
    """Print text on standard output; a closed pipe is the reader's choice. Raises `UsageError` for other failures."""
    if not text or sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; Python would complain once more when it closes the file at exit.
        sys.stdout = None
    except OSError as error:
        sys.stdout = None
        raise UsageError(f"cannot write to standard output: {error.strerror}") from error
