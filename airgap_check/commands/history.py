"""``airgap-check history``: the runs that are remembered, and what stands since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from airgap_check.history.account import Account, Remembered, Run

HELP = "list the runs that are remembered, and the findings that stand"
_SHOWN = 200  # findings
_WORDS = {"compliant": "COMPLIANT", "not_compliant": "NOT COMPLIANT", "inconclusive": "INCONCLUSIVE"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("fingerprint", metavar="FINGERPRINT", nargs="?", help="show one finding; its first digits do")
    parser.add_argument(
        "--state", metavar="DIR", help="the folder that remembers earlier runs (default: /var/lib/airgap-check)"
    )
    parser.add_argument("--limit", metavar="N", type=_number, default=30, help="so many runs at most (default: 30)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plain", action="store_true", help="print in ASCII alone")


def _number(text: str) -> int:
    import argparse

    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"not a number from 1 to 1000000: {text}")
    return int(text[:9])


def run(arguments: argparse.Namespace) -> int:
    """Print it; 0 whatever it is. Raises `UsageError` where nothing is remembered, or no finding begins like that."""
    from airgap_check.commands.delivery import show
    from airgap_check.errors import UsageError
    from airgap_check.history import account, folder

    with account.reading(arguments.state or folder.DEFAULT) as memory:
        if arguments.fingerprint is None:
            text = _as_json(memory, arguments.limit) if arguments.json else _table(memory, arguments)
        else:
            found = memory.findings(arguments.fingerprint)
            if not found:
                raise UsageError(f"no finding that is remembered begins with {arguments.fingerprint}")
            text = _encoded(found) if arguments.json else "\n".join(map(_whole, found))
    show(text)
    return 0


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


def _table(memory: Account, arguments: argparse.Namespace) -> str:
    from airgap_check.commands import sparkline
    from airgap_check.redact import printable

    runs, standing = memory.runs(arguments.limit), memory.standing()
    if not runs:
        return "no run is remembered yet\n"
    lines = [_row("run", "began (UTC)", "how", "verdict", "findings", "new", "resolved", "gap before")]
    lines += [_line(run) for run in runs]
    drawn = sparkline.draw([run.violations for run in runs], plain=arguments.plain or not _speaks_unicode())
    lines += ["", f"findings a run: {drawn}", ""]
    count = memory.standing_count()
    lines.append(f"{count} finding{'s' if count != 1 else ''} stand{'' if count != 1 else 's'}")
    lines += [
        printable(f"  {one.severity:8}  since {_minute(one.first)}  {one.fingerprint[:12]}  {one.rule}: {one.message}")
        for one in standing[:_SHOWN]
    ]
    if count > _SHOWN:
        lines.append(f"  and {count - _SHOWN} more")
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    widths = (6, 19, 9, 13, 8, 5, 8, 0)
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _line(run: Run) -> str:
    from airgap_check.redact import printable

    verdict = _WORDS[run.verdict] if run.verdict else "at work" if run.alive else "killed"
    if run.verdict and run.finished is None:
        verdict = f"{verdict} ({'goes on' if run.alive else 'killed'})"
    counts = ("-" if count is None else str(count) for count in (run.violations, run.appeared, run.resolved))
    how = printable(run.lane or "-").partition(" ")[0]
    return _row(str(run.id), f"{run.started:%Y-%m-%d %H:%M:%S}", how, verdict, *counts, _gap(run.gap))


def _gap(seconds: int | None) -> str:
    """Write a number of seconds in its two greatest units."""
    if seconds is None:
        return "-"
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds % 60}s" if minutes else f"{seconds}s"


def _whole(one: Remembered) -> str:
    from airgap_check.redact import printable

    state = f"resolved {_minute(one.resolved)}" if one.resolved else "waived" if one.waived else "stands"
    return (
        f"{printable(one.rule)}  ({one.severity})  {state}\n"
        f"  {printable(one.subject)}\n  {printable(one.message)}\n"
        f"  first seen {_minute(one.first)}, last seen {_minute(one.last)}, in {one.times} run"
        f"{'s' if one.times != 1 else ''}, came back {one.reopened} time{'s' if one.reopened != 1 else ''}\n"
        f"  fingerprint {printable(one.fingerprint)}\n"
    )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _speaks_unicode() -> bool:
    import sys

    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return encoding in {"utf8", "utf16", "utf32", "gb18030"}
