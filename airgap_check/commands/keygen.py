"""``airgap-check keygen``: make a key to sign evidence with, or one for pseudonyms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

HELP = "make a key to sign evidence and bundles with (Ed25519), or for --pseudonymize"
EXIT_CODES = options.WITHOUT_VERDICT
_DEFAULT = "airgap-check.key"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--out", metavar="KEY", default=_DEFAULT,
        help=f"write the private key to KEY, for its owner alone, and the public one to KEY.pub (default: {_DEFAULT})",
    )  # fmt: skip
    where.add_argument(
        "--pseudonyms",
        metavar="KEYFILE",
        help="write a secret for --pseudonymize to KEYFILE instead, for its owner alone",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files, none over another one, and say what to compare a public key by."""
    from airgap_check.commands.delivery import show

    if arguments.pseudonyms:
        from airgap_check.pseudonyms.key import generate

        _write({arguments.pseudonyms: (generate(), 0o600)})
        show(f"{arguments.pseudonyms}\n")
        return 0
    from airgap_check.release import seal

    path = arguments.out
    private, public, fingerprint = seal.generate()
    _write({path: (private, 0o600), f"{path}.pub": (public, 0o644)})
    show(f"{path}\n{path}.pub\n{fingerprint}\n")
    return 0


def _write(files: dict[str, tuple[bytes, int]]) -> None:
    """Write contents with these modes. Raises `UsageError`, before any of it where one of the files is there."""
    import os

    from airgap_check import output
    from airgap_check.errors import UsageError

    for path in files:
        output.check(path)
        if os.path.lexists(path):
            raise UsageError(f"{path}: is there already, and a key is never overwritten")
    for path, (content, mode) in files.items():
        output.create(path, content, mode)
