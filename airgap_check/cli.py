"""The command line: the one reader of argv, the one wall clock, the one exit."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NoReturn

from airgap_check import __version__
from airgap_check.errors import AirgapError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsWrite

COMMANDS = (
    "audit",
    "preflight",
    "watch",
    "inspect",
    "replay",
    "bundle",
    "rehearse",
    "init",
    "explain",
    "rules",
    "history",
    "diff",
    "reveal",
    "keygen",
    "verify",
    "schedule",
)
_EXIT_CODES = """\
exit codes: 0 compliant, 1 not compliant, 2 bad usage or an invalid file, 3 internal error, 4 inconclusive
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints go the way of all others."""

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Show the help; argparse would not say that nobody could read it. Raises `UsageError`."""
        from airgap_check.commands.delivery import show

        if file is None:
            show(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """Show the usage and raise `UsageError`."""
        _say("stderr", self.format_usage())
        raise UsageError(message)


def build() -> argparse.ArgumentParser:
    """Build the parser with one sub-parser a command; each command's own module describes its arguments."""
    parser = _Parser(
        prog="airgap-check",
        description="Prove, or disprove, that this host talks only to what its owner approved.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"airgap-check {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"airgap_check.commands.{name}")
        described = getattr(module, "DESCRIPTION", f"{module.HELP[0].upper()}{module.HELP[1:]}.")
        sub = commands.add_parser(
            name, help=module.HELP, description=described, epilog=getattr(module, "EXIT_CODES", _EXIT_CODES),
            allow_abbrev=False,
        )  # fmt: skip
        module.add(sub)
        sub.add_argument("--no-color", action="store_true", help="print without colour (NO_COLOR does the same)")
        sub.add_argument("-v", "--verbose", action="store_true", help="show more, and tracebacks of internal errors")
        sub.set_defaults(run=module.run)
    return parser


def main(argv: list[str]) -> int:
    """Run one command and return its exit code; every failure is one line a fault on standard error."""
    arguments = argparse.Namespace(argv=argv, clock=_now, verbose=False)
    try:
        build().parse_args(argv, arguments)
        code: int = arguments.run(arguments)
    except AirgapError as error:
        return _fail(argv, str(error), 2 if isinstance(error, UsageError) else 3)
    except KeyboardInterrupt:
        return _fail(argv, "interrupted: no verdict", 130)
    except Exception as error:  # noqa: BLE001  # the one place: a fault of ours must not look like a verdict
        if arguments.verbose:
            import traceback

            _say("stderr", _disguised(argv, traceback.format_exc()) + "\n")
        return _fail(argv, f"internal error: {type(error).__name__}: {error} (-v shows the traceback)", 3)
    return code


def _fail(argv: Sequence[str], text: str, code: int) -> int:
    """Say why there is no verdict and return the exit code, both as whoever reads them understands them."""
    text = _disguised(argv, text)
    _complain(text)
    if _chosen(argv, "--format") != "nagios":
        return code
    from airgap_check.reporters import nagios_report

    _say("stdout", nagios_report.unknown(text))
    return int(nagios_report.Status.UNKNOWN)


def _disguised(argv: Sequence[str], text: str) -> str:
    """Hide what a failure says of the site, where all that is said of it is to be hidden."""
    path = _chosen(argv, "--pseudonymize")
    if path is None:
        return text
    from airgap_check.commands import voice

    return voice.disguise(path, text)


def _chosen(argv: Sequence[str], name: str) -> str | None:
    """Return what an option was given last, even where the rest of the command line makes no sense."""
    chosen = None
    for option, after in pairwise([*argv, ""]):
        if option == "--":
            break
        if option == name:
            chosen = after
        elif option.startswith(f"{name}="):
            chosen = option.partition("=")[2]
    return chosen


def _now() -> datetime:
    return datetime.now(UTC)


def _complain(text: str) -> None:
    """Print lines on standard error with nothing in them that a terminal would obey."""
    lines = ("".join(char if char.isprintable() else "?" for char in line) for line in text.splitlines())
    _say("stderr", "".join(f"airgap-check: {line}\n" for line in lines))


def _say(name: Literal["stdout", "stderr"], text: str) -> None:
    """Write on a standard stream what it can take: one that is closed, full or ASCII must not change the exit code.

    On standard output it is for a machine, which gets UTF-8 in every locale.
    """
    stream = getattr(sys, name)
    if stream is None:
        return
    try:
        if isinstance(stream, TextIOWrapper):
            encoding = "utf-8" if name == "stdout" else stream.encoding
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
        stream.write(text)
        stream.flush()
    except OSError:
        setattr(sys, name, None)  # Python would try again at exit, and make a code of its own of that


def start() -> None:
    """Run with this process's arguments and exit with the verdict's code."""
    sys.exit(main(sys.argv[1:]))
