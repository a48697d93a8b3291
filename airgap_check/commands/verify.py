"""``airgap-check verify``: whether archives of evidence are what was written, by whom, and all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from airgap_check.archive.chain import Chain
    from airgap_check.archive.verification import Step, Verified

HELP = "verify archives of evidence, and that none of them is missing"
EXIT_CODES = (
    "exit codes: 0 verified, 1 changed, missing or signed by another key, 2 bad usage or not to be read, "
    "3 internal error, 4 whole, but who wrote it, or that the report follows from it, is not shown"
)
_MARKS = {"shown": "ok", "failed": "FAILED", "open": "not shown"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "evidence", metavar="EVIDENCE", nargs="+",
        help="an archive that --record wrote, or a folder of them, which then has to hold the whole chain",
    )  # fmt: skip
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--key", metavar="PUB", help="the Ed25519 public key that has to have signed it (PEM or raw)")
    who.add_argument(
        "--integrity-only", action="store_true",
        help="be content with archives that are whole, though anybody could have written them",
    )  # fmt: skip
    head = parser.add_mutually_exclusive_group()
    head.add_argument(
        "--expect-head",
        metavar="SHA256",
        type=_digest,
        help="the digest of the last archive that there has to be, as verify prints it",
    )
    head.add_argument(
        "--state", metavar="DIR", help="take the head of the chain from the folder in which this host remembers it"
    )
    parser.add_argument(
        "--after", metavar="SHA256", type=_digest,
        help="the manifest that the first archive has to follow, where earlier ones are kept elsewhere",
    )  # fmt: skip


def _digest(text: str) -> str:
    import argparse

    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"not a SHA-256 in hexadecimal digits: {text}")
    return text.lower()


def run(arguments: argparse.Namespace) -> int:
    """Verify everything, tell each step, and return 0, 1 where something does not verify, 4 where not all was shown."""
    from airgap_check.archive import chain, folder, verification
    from airgap_check.commands.delivery import show
    from airgap_check.finding import ExitCode
    from airgap_check.release import seal

    key = seal.public_key(arguments.key) if arguments.key else None
    head = _head(arguments.state) if arguments.state else arguments.expect_head
    found = folder.archives(arguments.evidence)
    verified = [verification.verify(path, key) for path in found.paths]
    several = found.whole or len(verified) > 1
    known = chain.Known(arguments.after, head)
    chains = chain.check(verified, known, whole=several) if several or any(known) else []
    show("".join(_lines(verified, chains, found.others)))
    broken = [one.path for one in verified if one.failed]
    incomplete = [one.host.hostname for one in chains if one.failed]
    if any(known) and not chains:
        incomplete.append("no archive of a chain")
    if broken or incomplete:
        show(f"\nDOES NOT VERIFY: {_listed([*broken, *(f'chain of {name}' for name in incomplete)])}\n")
        return ExitCode.NOT_COMPLIANT
    anchored = {digest for one in chains for digest in one.anchored}
    everybody = arguments.integrity_only
    doubts = [
        f"{one.path}: {doubt}" for one in verified
        if (doubt := _doubt(one, vouched=everybody or one.digest in anchored))
    ]  # fmt: skip
    if doubts:
        show(f"\nNOT SHOWN: {_listed(doubts)}\n")
        return ExitCode.INCONCLUSIVE
    end = _unproved_end(verified, chains) if several or chains else ""
    what = "WHOLE, BUT NOT AUTHENTICATED: anybody could have written this" if arguments.integrity_only else "VERIFIED"
    show(f"\n{what} ({len(verified)} archive{'s' if len(verified) > 1 else ''}{end})\n")
    return ExitCode.COMPLIANT


def _unproved_end(verified: Sequence[Verified], chains: Sequence[Chain]) -> str:
    """Say which archives could be missing although all that are there verify."""
    alone = sum(1 for one in verified if one.manifest and not one.manifest.sequence)
    doubts = ["at the end"] if any(step[:2] == ("end", "open") for one in chains for step in one.steps) else []
    if alone:
        doubts.append(f"beside the {alone} that belong{'s' if alone == 1 else ''} to no chain")
    return f"; that none are missing {' and '.join(doubts)} is not shown" if doubts else ""


def _head(state: str) -> str:
    """Ask the memory of this host for the head of its chain. Raises `UsageError`; nothing is made or changed."""
    from airgap_check.archive import chained
    from airgap_check.errors import UsageError
    from airgap_check.history import account

    with account.reading(state) as memory:
        head = chained.head(memory)
    if head is None:
        raise UsageError(f"{state}: remembers no archive")
    return head.digest


def _doubt(one: Verified, *, vouched: bool) -> str:
    """Say what was not shown of an archive that is whole."""
    if not one.reproduced:
        return "the report could not be reproduced by this version"
    if not one.authentic and not vouched:
        return "who wrote it: give --key, or --integrity-only to do without"
    return ""


def _lines(verified: Sequence[Verified], chains: Sequence[Chain], others: int) -> Iterator[str]:
    from airgap_check.redact import printable

    for one in verified:
        yield f"{printable(one.path)}\n"
        if one.manifest:
            made = one.manifest
            place = f"number {made.sequence} of its chain" if made.sequence else "no part of a chain"
            times = f"{made.started:%Y-%m-%d %H:%M:%S} to {made.finished:%Y-%m-%d %H:%M:%S} UTC"
            yield f"  {printable(made.host.hostname)}, {times}, {made.verdict.replace('_', ' ')}, {place}\n"
        yield from _steps(one.steps)
    for chain in chains:
        yield f"chain of {printable(chain.host.hostname)}\n"
        yield from _steps(chain.steps)
    if others:
        yield f"{others} other {'files or folders were' if others > 1 else 'file or folder was'} not looked at\n"


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    from airgap_check.redact import printable

    for number, step in enumerate(steps, start=1):
        yield f"  {number} {step.name:<9}  {_MARKS[step.status]}: {printable(step.text)}\n"


def _listed(items: Sequence[str]) -> str:
    from airgap_check.redact import printable

    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return "; ".join(printable(item) for item in items[:5]) + more
