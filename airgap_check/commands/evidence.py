"""Writes the evidence of a run: as JSON Lines, or as an archive that is hashed, chained and, if wanted, signed."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from airgap_check import output, recording
from airgap_check.commands import progress
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from airgap_check.audit import Done


def check(arguments: argparse.Namespace) -> None:
    """Refuse, before any work, evidence that could not be written or signed. Raises `UsageError`."""
    path = arguments.record
    if arguments.sign and not (path and _is_archive(path)):
        found = f"; {path} is no folder that is there" if path else ""
        raise UsageError(f"--sign signs an archive: add --record FILE.zip, FILE.tar.zst or a folder{found}")
    if arguments.pseudonymize and path and _is_archive(path):
        raise UsageError("--pseudonymize cannot hide the policy inside an archive: use --record FILE.jsonl")
    if not path:
        return
    output.check(_place(path, arguments.clock()))
    if _is_archive(path):
        from airgap_check import archive
        from airgap_check.release import seal

        archive.check(_place(path, arguments.clock()))
        if arguments.sign:
            seal.private_key(arguments.sign)


def write(arguments: argparse.Namespace, done: Done) -> None:
    """Write what ``--record`` asked for. Raises `UsageError`."""
    path = _place(arguments.record, done.report.finished)
    if not _is_archive(arguments.record):
        output.write(path, recording.write(done.inspection))
        return
    from airgap_check import archive, host
    from airgap_check.history.memory import recalled
    from airgap_check.release import seal

    plan = done.plan
    case = archive.Case(done.inspection, done.report, archive.Grounds(done.policy, done.rules, plan.terms), host.tool())
    key = seal.private_key(arguments.sign) if arguments.sign else None
    # Only runs that look at this host are links of its chain.
    state = plan.state if hasattr(arguments, "state") else ""
    written = archive.append(path, case, key, partial(recalled, state))
    if written.outside:
        progress.tell(f"airgap-check: {path} belongs to no chain: {written.outside}")


def _is_archive(path: str) -> bool:
    from airgap_check import archive

    return os.path.isdir(path) or archive.form_of(path) is not None


def _place(path: str, when: datetime) -> str:
    """Name the file: runs that repeat are given a folder, and each one leaves an archive there."""
    return os.path.join(path, f"airgap-{when:%Y%m%dT%H%M%S.%fZ}.zip") if os.path.isdir(path) else path
