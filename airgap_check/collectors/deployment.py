"""Collects what deployment files would start: settings, images, what network policies let pass, and their faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.deployment import read
from airgap_check.errors import UsageError
from airgap_check.evidence import Evidence
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 5


def collect(paths: Sequence[str], deadline: float | None) -> Evidence:
    """Read the files and folders that were given; ``deadline`` is of the monotonic clock.

    Raises `UsageError` for a path that does not exist, or in which nothing is a deployment file.
    """
    reading = read(paths, deadline)
    reasons = list(reading.failures)
    for path in reading.unknown:
        reason = f"{printable(path)}: no compose file, Kubernetes manifest, unit or Dockerfile is there"
        if not reading.failures:
            raise UsageError(reason)
        reasons.append(reason)
    more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return Evidence(
        kind="deployment",
        status="partial" if reasons else "complete",
        records=(*reading.settings, *reading.images, *reading.openings, *reading.checks),
        reason="; ".join(reasons[:_SHOWN]) + more,
        scope=", ".join(map(printable, paths))[:500],
        counts={
            "files": reading.files,
            "services": len(reading.services),
            "settings": len(reading.settings),
            "images": len(reading.images),
            "openings": len(reading.openings),
        },
        blind=(
            "the shell that compose is started from, and what an image sets by itself",
            "what the cluster holds beside these manifests (admission, defaults, other policies)",
        ),
    )
