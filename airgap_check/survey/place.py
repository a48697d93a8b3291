"""Says where something stands, and where it leads, as people write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.domain import normal

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Endpoint, Place

_OWNERS = {"unit": "unit", "compose": "service", "kubernetes": "", "dockerfile": "stage", "image": "image"}


def where_of(place: Place) -> str:
    """Say where a setting stands."""
    line = where_in_file(place.path, place.line)
    if place.kind == "own":
        return "our own environment"
    if place.kind in {"process", "command-line"}:
        return f"{'the environment' if place.kind == 'process' else 'the command line'} of process {place.pid or '?'}"
    owner = f"{_OWNERS.get(place.kind, 'unit')} {place.unit}".strip() if place.unit else None
    return " of ".join(text for text in (line, owner) if text) or "?"


def where_in_file(path: str | None, line: int | None, column: int | None = None) -> str:
    """Write ``path:line:column``, as far as it is known."""
    return ":".join(str(part) for part in (path, line, column if line else None) if part)


def target_of(end: Endpoint) -> str:
    """Write an endpoint as host and port."""
    host = end.name or end.address or "?"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{end.port}" if end.port else host


def shown(end: Endpoint) -> str | None:
    """Write a host without a port, by its name where that is certain: the address was then made up for it."""
    return normal(end.name) if end.name else end.address
