"""Deployment files written in one line, and what was read of them."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

from airgap_check.deployment import Reading, Service, read

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence.asset import Check

DIGEST = "sha256:" + "a" * 64


def reading(folder: Path, **files: str) -> Reading:
    """Write files, ``__`` for a dot and ``___`` for a slash in their names, and read the folder that they are in."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return read([str(folder)])


def service(found: Reading, name: str) -> Service:
    """Return the one service of a name."""
    (one,) = [service for service in found.services if service.name == name]
    return one


def variables(found: Reading, name: str) -> dict[str, str | None]:
    """Return what a service is given."""
    return {one.name: one.text for one in service(found, name).variables}


def checks(found: Reading, aspect: str, outcome: str = "failed") -> list[Check]:
    """Return what was said of an aspect."""
    return [one for one in found.checks if one.aspect == aspect and one.outcome == outcome]


def places(found: list[Check]) -> list[tuple[str, int | None]]:
    """Return file and line of each."""
    return [((one.path or "").rpartition("/")[2], one.line) for one in found]
