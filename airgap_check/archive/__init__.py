"""Evidence that stands up later: everything that a run rests on in one file, hashed, chained and, if wanted, signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airgap_check.archive import form, judgement, opening
from airgap_check.archive.chained import append as append
from airgap_check.archive.form import BadArchiveError
from airgap_check.archive.form import check as check
from airgap_check.archive.form import is_archive as is_archive
from airgap_check.archive.form import of as form_of
from airgap_check.archive.judgement import Grounds as Grounds
from airgap_check.archive.manifest import Link as Link
from airgap_check.archive.writing import Case as Case
from airgap_check.archive.writing import write as write
from airgap_check.errors import InvalidFileError
from airgap_check.finding import Report

if TYPE_CHECKING:
    from airgap_check.evidence import Evidence
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.policy import Policy

__all__ = [
    "Case",
    "Grounds",
    "Link",
    "append",
    "check",
    "evidence",
    "form_of",
    "is_archive",
    "policy",
    "read_report",
    "write",
]


def evidence(path: str) -> Inspection:
    """Return the evidence of an archive. Raises `UsageError` for one that cannot be read, or is not whole."""
    with form.opened(path) as file:
        archive, _, listed = opening.checked(path, file)
        try:
            return archive.evidence(listed)
        except BadArchiveError as error:
            raise InvalidFileError([f"{path}: {error}"]) from error


def read_report(path: str) -> Report:
    """Return the report of an archive. Raises `UsageError` for one that cannot be read, or is not whole."""
    with form.opened(path) as file:
        _, held, _ = opening.checked(path, file)
    try:
        return msgspec.json.decode(held.contents[form.REPORT], type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).replace("`", "")
        raise InvalidFileError([f"{path}:{form.REPORT}: no report that this version can read: {reason}"]) from error


def policy(path: str) -> tuple[Policy, tuple[Evidence, ...]]:
    """Return the policy that an archive was judged by, and what was found out of it as a file. Raises `UsageError`."""
    with form.opened(path) as file:
        _, held, _ = opening.checked(path, file)
    try:
        stated = judgement.parse(held.contents[form.JUDGEMENT])
        rules = judgement.rules_of(stated, held.contents)
        return judgement.policy_of(stated, held.contents[form.POLICY], rules), stated.trust
    except BadArchiveError as error:
        raise InvalidFileError([f"{path}: {error}"]) from error
