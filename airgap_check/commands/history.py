"""``airgap-check history``: the runs that are remembered, and what stands since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from airgap_check.history.account import Account

HELP = "list the runs that are remembered, and the findings that stand"
EXIT_CODES = options.WITHOUT_VERDICT


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("fingerprint", metavar="FINGERPRINT", nargs="?", help="show one finding; its first digits do")
    parser.add_argument(
        "--state", metavar="DIR", help="the folder that remembers earlier runs (default: /var/lib/airgap-check)"
    )
    parser.add_argument("--limit", metavar="N", type=_number, default=30, help="so many runs at most (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--plain", action="store_true", help="print for a screen reader: no table, one statement a line"
    )


def _number(text: str) -> int:
    import argparse

    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"not a number from 1 to 1000000: {text}")
    return int(text[:9])


def run(arguments: argparse.Namespace) -> int:
    """Print it; 0 whatever it is. Raises `UsageError` where nothing is remembered, or no finding begins like that."""
    from airgap_check.commands import logbook
    from airgap_check.commands.delivery import show
    from airgap_check.errors import UsageError
    from airgap_check.history import account, folder
    from airgap_check.redact import printable

    with account.reading(arguments.state or folder.DEFAULT) as memory:
        if arguments.fingerprint is None:
            text = _as_json(memory, arguments.limit) if arguments.json else _lines(_runs(memory, arguments))
        else:
            found = memory.findings(arguments.fingerprint)
            if not found:
                begins = f"no finding that is remembered begins with {printable(arguments.fingerprint)}"
                raise UsageError(f"{begins}; without it, history lists those that stand")
            text = _encoded(found) if arguments.json else _lines(line for one in found for line in logbook.whole(one))
    show(text, for_people=not arguments.json)
    return 0


def _runs(memory: Account, arguments: argparse.Namespace) -> Iterator[str]:
    from airgap_check.commands import logbook

    if arguments.plain:
        return logbook.statements(memory, arguments.limit)
    return logbook.table(memory, arguments.limit, width=_terminal_width(), ascii_alone=not _speaks_unicode())


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _as_json(memory: Account, limit: int) -> str:
    return _encoded({
        "runs": memory.runs(limit), "standing_count": memory.standing_count(), "standing": memory.standing(),
    })  # fmt: skip


def _encoded(value: object) -> str:
    import msgspec

    def named(item: object) -> object:
        if isinstance(item, dict):
            return {name: named(value) for name, value in item.items()}
        if isinstance(item, list):
            return [named(value) for value in item]
        return named(item._asdict()) if hasattr(item, "_asdict") else item

    return msgspec.json.format(msgspec.json.encode(named(value)), indent=2).decode() + "\n"


def _terminal_width() -> int:
    """Return the columns of the terminal; whatever else reads it can have its lines as long as they are."""
    import os
    import sys

    if sys.stdout is None or not sys.stdout.isatty():
        return 1 << 16
    return max(os.get_terminal_size(sys.stdout.fileno()).columns, 40)


def _speaks_unicode() -> bool:
    import locale

    return locale.getencoding().lower().replace("-", "") in {"utf8", "gb18030"}
