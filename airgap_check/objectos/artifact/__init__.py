"""Reads a compiled application, `objectstack.json`: where it leads, who would dial that, and what it gives away."""

from __future__ import annotations

from airgap_check.objectos.artifact import module
from airgap_check.objectos.artifact.found import Flaw, Found, Scan
from airgap_check.objectos.artifact.scanning import scan
from airgap_check.objectos.artifact.walking import walk, walk_item

__all__ = ["Flaw", "Found", "Scan", "module", "scan", "walk", "walk_item"]
