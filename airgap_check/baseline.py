"""Reads an earlier report, whose findings are known and need not fail this run."""

from __future__ import annotations

import os
from hashlib import sha256

import msgspec

from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.finding import Report
from airgap_check.history import standing
from airgap_check.input import read_bytes, written_by_others
from airgap_check.policy.acceptance import Baseline, known
from airgap_check.redact import printable

_SIZE_LIMIT = 1 << 29  # bytes; a report of 100,000 findings has about 200 million


def read_report(path: str) -> tuple[Report, str]:
    """Return a report that was written with ``--report json=FILE``, and the SHA-256 of its bytes.

    Raises `UsageError` for what cannot be read, `InvalidFileError` for what is no such report.
    """
    content = read_bytes(path, _SIZE_LIMIT)
    try:
        report = msgspec.json.decode(content, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).replace("`", "")
        raise InvalidFileError([f"{path}:1:1: not a JSON report of airgap-check: {reason}"]) from error
    return report, sha256(content).hexdigest()


def load(path: str) -> Baseline:
    """Read a baseline. Raises `UsageError`, as root also for a file that others could have written: it excuses."""
    if os.geteuid() == 0:
        try:
            reason = written_by_others(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
        if reason:
            raise UsageError(f"{path}: {reason}; a baseline excuses findings: keep it where only root can write")
    report, digest = read_report(path)
    if any(one.id == "pseudonyms" for one in report.limitations):
        raise UsageError(
            f"{path}: a report with pseudonyms is no baseline; reveal takes them back, not the fingerprints"
        )
    return Baseline(
        path=printable(path),
        sha256=digest,
        hostname=report.subject.hostname,
        machine_id_hash=report.subject.machine_id_hash,
        finished=report.finished,
        findings=tuple(known(report)),
        scope=standing.scope_of(report),
    )
