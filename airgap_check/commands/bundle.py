"""``airgap-check bundle``: verify, or seal, an offline release bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

HELP = "verify (or --seal) an offline release bundle: DIR"
DESCRIPTION = "Verify an offline release bundle, or seal it and verify it."


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "folder", metavar="DIR",
        help="the bundle: container image, objectstack.json, database guide, environment template, checklist",
    )  # fmt: skip
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--key", metavar="PUB", help="verify the signature with this Ed25519 public key (PEM or raw)")
    keys.add_argument(
        "--seal", metavar="KEY",
        help="first write SHA256SUMS and SHA256SUMS.sig into DIR, signed with this Ed25519 private key",
    )  # fmt: skip
    options.add_judging(parser)
    parser.add_argument(
        "--max-time", metavar="DURATION", type=options.duration, default=600.0,
        help="stop examining after this (default: 10m)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Seal the bundle if asked to, judge it, and return the verdict's exit code."""
    from airgap_check import bundling
    from airgap_check.commands import delivery, progress
    from airgap_check.commands.voice import Voice
    from airgap_check.release import seal

    delivery.check(arguments)
    with progress.shown(quiet=arguments.quiet) as stage:
        key = seal.public_key(arguments.key) if arguments.key else None
        if arguments.seal:
            sealed = bundling.seal_folder(arguments.folder, arguments.seal, stage)
            key = sealed.key
        done = bundling.run(options.plan(arguments), arguments.folder, key, arguments.clock, stage)
    if arguments.seal:
        text = f"sealed {sealed.files} files with the key {seal.fingerprint(sealed.key)}"
        Voice(arguments).tell(f"airgap-check: {text}")
    return delivery.deliver(arguments, done)
