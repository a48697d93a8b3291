"""The page that maps the deployment guide to rules names rules that exist."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from airgap_check import rulebook

PAGE = Path(__file__).parents[2] / "docs" / "deployment-guide.md"


def test_every_rule_that_the_page_names_exists() -> None:
    ids = rulebook.load().ids
    named = re.findall(r"`([a-z]+\.[a-z*-]+)`", PAGE.read_text())
    assert named
    assert [name for name in named if not fnmatch.filter(ids, name)] == []
