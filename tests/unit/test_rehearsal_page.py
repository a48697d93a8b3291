"""The page about rehearsals names rules, options and worlds that exist."""

from __future__ import annotations

import argparse
import fnmatch
import re
from pathlib import Path

from airgap_check import rulebook
from airgap_check.commands import rehearse

PAGE = (Path(__file__).parents[2] / "docs" / "rehearsal.md").read_text()


def _options() -> set[str]:
    parser = argparse.ArgumentParser()
    rehearse.add(parser)
    return set(re.findall(r"--[a-z][a-z-]*", parser.format_help()))


def test_every_rule_that_the_page_names_exists() -> None:
    ids = rulebook.load().ids
    named = re.findall(r"`((?:connection|rehearse)\.[a-z*-]+)`", PAGE)
    assert named
    assert [name for name in named if not fnmatch.filter(ids, name)] == []


def test_every_rule_about_rehearsals_is_named_by_the_page() -> None:
    ids = {name for name in rulebook.load().ids if name.startswith("rehearse.")}
    assert ids
    assert ids <= set(re.findall(r"`(rehearse\.[a-z-]+)`", PAGE))


def test_every_option_that_the_page_names_exists() -> None:
    named = set(re.findall(r"--[a-z][a-z-]*", PAGE))
    assert named
    assert named - _options() == set()


def test_every_world_has_a_line() -> None:
    assert set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE)) == set(rehearse.WORLDS)
