"""States what was found of a bundle as checks: printable, bounded, and with the name of the member it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.evidence.asset import Check
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Outcome

_SUBJECT, _DETAIL = 256, 500  # characters


def check(
    aspect: str,
    subject: str,
    outcome: Outcome,
    detail: str = "",
    *,
    path: str | None = None,
    line: int | None = None,
    pointer: str | None = None,
) -> Check:
    """State one thing; ``path`` is relative to the bundle."""
    return Check(
        aspect=aspect,
        subject=printable(subject)[:_SUBJECT],
        outcome=outcome,
        detail=printable(detail)[:_DETAIL],
        path=printable(path)[:_SUBJECT] if path is not None else None,
        line=line,
        pointer=printable(pointer)[:_SUBJECT] if pointer is not None else None,
        seen="bundle",
    )


def either(holds: object) -> Outcome:
    """Say *passed* or *failed*."""
    return "passed" if holds else "failed"
