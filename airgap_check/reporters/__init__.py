"""Report formats: a pure ``render(report) -> str`` each; a new format costs one module and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap_check.finding import Report

FORMATS = (
    "console",
    "json",
    "junit",
    "tap",
    "nagios",
    "prometheus",
    "cef",
    "csv",
    "markdown",
    "html",
    "sarif",
    "ocsf",
    "oscal",
)


def render(name: str, report: Report) -> str:
    """Render a report in one of `FORMATS`; the module is imported only when its format is asked for."""
    module = import_module(f"airgap_check.reporters.{name}_report")
    text: str = module.render(report)
    return text
