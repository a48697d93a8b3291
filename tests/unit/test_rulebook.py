from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airgap_check import rulebook
from airgap_check.errors import InvalidFileError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

RULE = """\
id: mine.odd
title: An odd port
severity: low
evidence: connection
when: {remote.port: 4444}
message: odd
rationale: Odd ports are odd.
remediation: Use an even one.
controls: {}
"""


def test_a_folder_adds_its_rules_to_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "odd.yaml").write_text(RULE)
    (tmp_path / "mine" / "README.md").write_text("not a rule")
    (tmp_path / "notes.yaml").write_text("not in a group")
    assert rulebook.load([str(tmp_path)]).ids - rulebook.load().ids == {"mine.odd"}


def test_a_folder_that_repeats_a_shipped_id_is_refused() -> None:
    with pytest.raises(InvalidFileError, match="exists already"):
        rulebook.load([rulebook.shipped()])


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none: No such file or directory\Z"):
        rulebook.load([str(tmp_path / "none")])


def test_a_folder_without_rules_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no rule files \(looked for GROUP/NAME.yaml\)"):
        rulebook.load([str(tmp_path)])


def test_an_installed_package_finds_its_rules_inside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulebook, "_PACKAGE", str(tmp_path / "airgap_check"))
    assert rulebook.shipped() == str(tmp_path / "rules")
    (tmp_path / "airgap_check" / "rules").mkdir(parents=True)
    assert rulebook.shipped() == str(tmp_path / "airgap_check" / "rules")
