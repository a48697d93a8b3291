"""Collects what an offline release bundle holds: one folder, examined as it lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.evidence import Evidence
from airgap_check.release import bundle

if TYPE_CHECKING:
    from airgap_check.release.seal import PublicKey

_MOST_REASONS = 3


def collect(path: str, key: PublicKey | None = None, deadline: float | None = None) -> Evidence:
    """Examine a bundle; ``key`` verifies its signature. Raises `UsageError` where there is no folder."""
    examined = bundle.examine(path, key, deadline)
    reasons = examined.reasons
    more = [f"and {len(reasons) - _MOST_REASONS} more"] if len(reasons) > _MOST_REASONS else []
    return Evidence(
        kind="bundle",
        status="partial" if reasons else "complete",
        records=tuple(examined.records),
        reason="; ".join([*reasons[:_MOST_REASONS], *more]),
        scope="the files of one folder, and the images and documents in them",
        counts=examined.counts,
    )
