"""The command line: the one reader of argv, the one wall clock, the one exit."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from importlib import import_module

from airgap_check import __version__
from airgap_check.errors import AirgapError, UsageError

COMMANDS = ("audit", "preflight", "watch", "inspect", "replay", "bundle", "init", "explain", "rules")
_EXIT_CODES = """\
exit codes: 0 compliant, 1 not compliant, 2 bad usage or an invalid file, 3 internal error, 4 inconclusive
"""


def build() -> argparse.ArgumentParser:
    """Build the parser with one sub-parser a command; each command's own module describes its arguments."""
    parser = argparse.ArgumentParser(
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
        sub = commands.add_parser(
            name, help=module.HELP, description=module.HELP[0].upper() + module.HELP[1:] + ".", epilog=_EXIT_CODES,
            allow_abbrev=False,
        )  # fmt: skip
        module.add(sub)
        sub.add_argument("--no-color", action="store_true", help="print without colour (NO_COLOR does the same)")
        sub.add_argument("-v", "--verbose", action="store_true", help="show more, and tracebacks of internal errors")
        sub.set_defaults(run=module.run)
    return parser


def main(argv: list[str]) -> int:
    """Run one command and return its exit code; every failure is one line a fault on standard error."""
    arguments = build().parse_args(argv, argparse.Namespace(argv=argv, clock=_now))
    try:
        code: int = arguments.run(arguments)
    except AirgapError as error:
        _complain(str(error))
        return 2 if isinstance(error, UsageError) else 3
    except KeyboardInterrupt:
        _complain("interrupted: no verdict")
        return 130
    except Exception as error:  # noqa: BLE001  # the one place: a fault of ours must not look like a verdict
        if arguments.verbose:
            import traceback

            traceback.print_exc()
        _complain(f"internal error: {type(error).__name__}: {error} (-v shows the traceback)")
        return 3
    return code


def _now() -> datetime:
    return datetime.now(UTC)


def _complain(text: str) -> None:
    """Print lines on standard error with nothing in them that a terminal would obey."""
    if sys.stderr is None:
        return
    lines = ("".join(char if char.isprintable() else "?" for char in line) for line in text.splitlines())
    sys.stderr.write("".join(f"airgap-check: {line}\n" for line in lines))


def start() -> None:
    """Run with this process's arguments and exit with the verdict's code."""
    sys.exit(main(sys.argv[1:]))
