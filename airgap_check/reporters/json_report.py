"""The report as JSON, field by field as the contract names them (schema ``airgap-check/report/1``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from airgap_check.finding import Report


def render(report: Report) -> str:
    """Render the report as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
