"""``airgap-check keygen``: make a key to sign evidence with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

HELP = "make a key pair to sign evidence and bundles with (Ed25519)"
_DEFAULT = "airgap-check.key"


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--out", metavar="KEY", default=_DEFAULT,
        help=f"write the private key to KEY, for its owner alone, and the public one to KEY.pub (default: {_DEFAULT})",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Write both files, neither over another one, and say what to compare the key by."""
    import os

    from airgap_check import output
    from airgap_check.commands.delivery import show
    from airgap_check.errors import UsageError
    from airgap_check.release import seal

    path = arguments.out
    public_path = f"{path}.pub"
    output.check(path)
    for name in (path, public_path):
        if os.path.lexists(name):
            raise UsageError(f"{name}: is there already, and a key is never overwritten")
    private, public, fingerprint = seal.generate()
    output.create(path, private, 0o600)
    output.create(public_path, public, 0o644)
    show(f"{path}\n{public_path}\n{fingerprint}\n")
    return 0
