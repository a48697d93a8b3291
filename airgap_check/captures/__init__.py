"""Captures and logs that others made, one module a format; all are read as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airgap_check.evidence import Evidence


def read(paths: Sequence[str], *, progress: Callable[[str], None], deadline: float | None = None) -> Evidence:
    """Read captures and logs as one body of evidence, in the order given; packets of one flow may span files.

    ``deadline`` is in seconds of the monotonic clock. Raises `UsageError` for a file that cannot be read or is of no
    known format; one that is cut short or damaged is read as far as it goes, which makes the evidence partial.
    """
    from airgap_check.captures.reading import Reading

    return Reading(progress, deadline).evidence(paths)
