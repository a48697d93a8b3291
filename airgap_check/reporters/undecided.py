"""What a rule left open: all of it where it is unknown, some of it where it failed and could not decide the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap_check.finding import RuleResult

_SOME = "could not decide "  # as result.result_of


def open_question(result: RuleResult) -> str | None:
    """Return why a rule, or a part of what it judges, is undecided; None where nothing is."""
    if result.outcome == "unknown":
        return result.reason or "unknown"
    return result.reason if result.outcome == "fail" and result.reason.startswith(_SOME) else None
