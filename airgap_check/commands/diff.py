"""``airgap-check diff``: what two reports have to say of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from airgap_check.comparison import Comparison
    from airgap_check.finding import Known, Report

HELP = "compare two reports: what appeared, what is resolved, what is seen no more"
EXIT_CODES = (
    "exit codes: 0 nothing new that fails, 1 a new finding that fails, 2 bad usage or not a report, 3 internal error, "
    "4 less was seen than before, or the later one is inconclusive"
)
_SHOWN = 200  # findings of a list


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("old", metavar="OLD", help="a report that --report json=FILE wrote, or an archive of --record")
    parser.add_argument("new", metavar="NEW", help="a later one")
    parser.add_argument(
        "--fail-on", metavar="SEVERITY", choices=options.SEVERITIES, default="high",
        help="the least severity of a new finding that fails: low, medium, high (default), critical",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare; 1 for new findings, 4 where NEW saw less than OLD or is inconclusive, else 0."""
    import msgspec

    from airgap_check import comparison
    from airgap_check.commands.delivery import show

    compared = comparison.compare(_report(arguments.old), _report(arguments.new))
    code = compared.exit_code(arguments.fail_on)
    if arguments.json:
        built = {**msgspec.to_builtins(compared), "exit_code": int(code)}
        show(msgspec.json.format(msgspec.json.encode(built), indent=2).decode() + "\n", for_people=False)
    else:
        show("".join(f"{line}\n" for line in _lines(compared)))
    return code


def _report(path: str) -> Report:
    from airgap_check import archive, baseline

    return archive.read_report(path) if archive.is_archive(path) else baseline.read_report(path)[0]


def _lines(compared: Comparison) -> Iterator[str]:
    from airgap_check.redact import printable
    from airgap_check.reporters.wording import VERDICTS

    changed = "" if compared.before == compared.verdict else f" (was {VERDICTS[compared.before]})"
    yield f"{VERDICTS[compared.verdict]}{changed}"
    yield from (f"  {printable(line)}" for line in compared.others)
    yield from _list("new", "+", compared.appeared)
    yield from _list("resolved", "-", compared.resolved)
    yield from _list("not found again, but not decided either", "?", compared.unknown)
    yield f"unchanged: {compared.still} finding{'s' if compared.still != 1 else ''}"
    for title, seen in (("saw less than before", compared.blinded), ("saw more than before", compared.sighted)):
        if seen:
            yield f"{title}:"
            yield from (f"  {printable(line)}" for line in seen)


def _list(title: str, sign: str, findings: Sequence[Known]) -> Iterator[str]:
    from airgap_check.redact import printable

    if findings:
        yield f"{len(findings)} {title}:"
    for one in findings[:_SHOWN]:
        yield printable(f"{sign} {one.severity:8}  {one.fingerprint[:12]}  {one.rule}: {one.message}")
    if len(findings) > _SHOWN:
        yield f"  and {len(findings) - _SHOWN} more"
