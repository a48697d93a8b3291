"""Hands a finished report to whoever asked for it: standard output, report files, an evidence file, an exit code."""

from __future__ import annotations

import locale
import os
import sys
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import output, reporters, service
from airgap_check.commands import evidence, options, voice
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from airgap_check.audit import Done
    from airgap_check.finding import Report

_PART = 1 << 20  # characters
# The options of the judging commands that name files to read.
_READ = ("policy", "baseline", "alerts", "sign", "pseudonymize", "key", "seal", "evidence", "files", "deployment")
# Exit codes of verdicts, the worst last: a violation wins over a doubt, and a doubt over peace.
_ORDER, _NAGIOS_ORDER = (0, 4, 1), (0, 1, 3, 2)


class Ending(NamedTuple):
    """How a run ends for whoever started it: its exit code, and the line that a monitoring system reads with it."""

    code: int
    line: str = ""


def check(arguments: argparse.Namespace) -> None:
    """Refuse, before any work, destinations that could not be written. Raises `UsageError`."""
    voice.check(arguments)
    evidence.check(arguments)
    paths = [path for _, path in options.reports(arguments)]
    if suggested := getattr(arguments, "suggest_policy", None):
        paths.append(suggested)
    for path in paths:
        output.check(path)
    _keep_apart(arguments, [*paths, arguments.record] if arguments.record else paths)
    if sys.stdout is None and (not arguments.quiet or arguments.format == "nagios"):
        raise UsageError("standard output is closed: use --quiet with --report NAME=FILE")
    if arguments.plain and arguments.format != "console":
        raise UsageError(f"--plain is for the console report, not for --format {arguments.format}")
    if arguments.format == "nagios" and getattr(arguments, "dry_run", False):
        raise UsageError("--dry-run ends without a verdict, which --format nagios needs")


def _keep_apart(arguments: argparse.Namespace, written: list[str]) -> None:
    """Refuse a file that would be written twice, or over one that this run reads. Raises `UsageError`."""
    from airgap_check.audit import DEFAULT_POLICY

    given = (getattr(arguments, name, None) or () for name in _READ)
    read = {os.path.realpath(path) for paths in given for path in ((paths,) if isinstance(paths, str) else paths)}
    read.add(os.path.realpath(DEFAULT_POLICY))
    taken: set[str] = set()
    for path in written:
        place = os.path.realpath(path)
        if place in taken:
            raise UsageError(f"{path}: two reports go to the same file")
        if place in read and not os.path.isdir(place):
            raise UsageError(f"{path}: this run reads that file, and would write over it")
        taken.add(place)


def deliver(arguments: argparse.Namespace, done: Done, earlier: Ending | None = None) -> int:
    """Write everything that was asked for, show the report, and return the exit code of the verdict.

    The code, with the line that a monitoring system reads, is that of an ``earlier`` report where that was worse.
    Raises `UsageError` for what could not be written, unless there is a violation: that is what must not get lost.
    """
    report, faults = write(arguments, done)
    ending = worse(arguments, ending_of(arguments, report), earlier)
    violates = ending.code == _order(arguments)[-1]
    # A monitoring system reads one line: where that has to be the fault, it must not be the verdict.
    if not faults or violates or arguments.format != "nagios":
        try:
            show(ending.line or _text(arguments, report), for_people=arguments.format == "console")
        except UsageError as error:
            faults.append(str(error))
    if faults and not violates:
        raise UsageError("\n".join(faults))
    for fault in faults:
        voice.Voice(arguments).tell(f"airgap-check: {fault}")
    return ending.code


def write(arguments: argparse.Namespace, done: Done) -> tuple[Report, list[str]]:
    """Write evidence and reports to files; return the report as it may be shown, and what could not be written."""
    if done.trouble:
        voice.Voice(arguments).tell(f"airgap-check: this run is not remembered: {done.trouble}")
    done = _disguised(arguments, done)
    return done.report, list(_write(arguments, done))


def ending_of(arguments: argparse.Namespace, report: Report) -> Ending:
    """Return how a run with this report ends; a monitoring system has codes of its own."""
    if arguments.format != "nagios":
        return Ending(report.exit_code)
    from airgap_check.reporters import nagios_report

    return Ending(int(nagios_report.status(report)), nagios_report.render(report))


def worse(arguments: argparse.Namespace, one: Ending, other: Ending | None) -> Ending:
    """Return the worse of two endings, the first where they are equally bad."""
    order = _order(arguments)
    return other if other and order.index(other.code) > order.index(one.code) else one


def _order(arguments: argparse.Namespace) -> tuple[int, ...]:
    return _NAGIOS_ORDER if arguments.format == "nagios" else _ORDER


def _disguised(arguments: argparse.Namespace, done: Done) -> Done:
    """Hide in all that is written, if that is wanted, what tells of the site."""
    if arguments.pseudonymize is None:
        return done
    from airgap_check import pseudonyms

    key = voice.key(arguments.pseudonymize)
    inspection = pseudonyms.pseudonymize_inspection(done.inspection, key) if arguments.record else done.inspection
    return done._replace(inspection=inspection, report=pseudonyms.pseudonymize(done.report, key))


def _write(arguments: argparse.Namespace, done: Done) -> Iterator[str]:
    """Write the evidence and the reports, one after the other, and say what could not be."""
    wanted: list[Callable[[], None]] = [partial(evidence.write, arguments, done)] if arguments.record else []
    wanted += [partial(_write_report, arguments, name, path, done.report) for name, path in options.reports(arguments)]
    for write in wanted:
        try:
            write()
        except UsageError as error:
            yield str(error)


def _write_report(arguments: argparse.Namespace, name: str, path: str, report: Report) -> None:
    # Metrics, which name nobody, are for a collector that runs as somebody else.
    output.write(path, _rendered(arguments, name, report), shared=name == "prometheus")


def _rendered(arguments: argparse.Namespace, name: str, report: Report) -> Iterator[bytes]:
    if name == "console" and arguments.plain:
        from airgap_check.reporters import console_report

        yield console_report.render(report, plain=True, verbose=arguments.verbose).encode()
    else:
        yield from (part.encode() for part in _parts(reporters.render(name, report)))


def _parts(text: str) -> Iterator[str]:
    """Cut a text, which may be of hundreds of megabytes, so that its bytes are never there all at once."""
    return (text[begin : begin + _PART] for begin in range(0, len(text), _PART))


def _text(arguments: argparse.Namespace, report: Report) -> str:
    if arguments.format != "console":
        return reporters.render(arguments.format, report)
    if arguments.quiet and report.exit_code == 0:
        return ""
    if not arguments.plain and service.reads_priorities(os.environ, sys.stdout):
        from airgap_check.reporters import journal_report

        return journal_report.render(report)
    from airgap_check.reporters import console_report

    colour, width = terminal(arguments)
    return console_report.render(report, colour=colour, width=width, verbose=arguments.verbose, plain=arguments.plain)


def terminal(arguments: argparse.Namespace) -> tuple[bool, int | None]:
    """Say how standard output wants to be written to: with colour or not, and how many columns wide."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False, None
    colour = not arguments.no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return colour, os.get_terminal_size(sys.stdout.fileno()).columns


def show(text: str, *, for_people: bool = True) -> None:
    """Print text on standard output; a closed pipe is the reader's choice. Raises `UsageError` for other failures.

    People get it in the encoding of their locale, with escapes for what that cannot say; machines always get UTF-8.
    """
    if not text or sys.stdout is None:
        return
    if isinstance(sys.stdout, TextIOWrapper):
        # Not the encoding that Python would take: in the locale C it writes UTF-8 to terminals that cannot read it.
        sys.stdout.reconfigure(encoding=locale.getencoding() if for_people else "utf-8", errors="backslashreplace")
    try:
        for part in _parts(text):
            sys.stdout.write(part)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; Python would complain once more when it closes the file at exit.
        sys.stdout = None
    except OSError as error:
        sys.stdout = None
        raise UsageError(f"cannot write to standard output: {error.strerror}") from error
