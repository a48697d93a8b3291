"""What counts as an operations checklist and as a database guide, in the ways in which people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.release import checklist, document, guidance

WHOLE = """\
Operations
==========

## 1. Upgrading
Load the new image first.

## 2. Rolling back
Start the previous image again.

### Backup and diagnostics
Dump the database every night.
"""


def test_headings_of_every_kind_are_read_with_what_stands_below() -> None:
    found = document.sections("Title\n=====\none\n\n== Two ==\ntwo\n```\n# no heading\n```\n\n# Three #\nthree\n")
    assert [(one.title, one.line) for one in found] == [("Title", 1), ("Two", 5), ("Three", 11)]
    assert "no heading" in found[1].body
    assert document.sections("no heading at all\n- a list\n---\n") == []


def test_all_topics_by_headings() -> None:
    assert checklist.missing({"ops.md": WHOLE}) == []
    assert checklist.is_checklist("NOTES.md", WHOLE)
    assert not checklist.is_checklist("NOTES.json", WHOLE)


@pytest.mark.parametrize("topic", ["Upgrading", "Rolling back"])
def test_a_topic_without_its_heading_is_missing_even_where_the_word_stands(topic: str) -> None:
    text = WHOLE.replace(topic, "More").replace("Dump", "Before the upgrade, and before a rollback, dump")
    assert checklist.missing({"ops.md": text}) == [{"Upgrading": "upgrade", "Rolling back": "rollback"}[topic]]


@pytest.mark.parametrize("body", ["", "TODO: write this down later", "tbd", "..."])
def test_a_heading_with_nothing_below_covers_nothing(body: str) -> None:
    assert checklist.missing({"ops.md": WHOLE.replace("Load the new image first.", body)}) == ["upgrade"]


def test_a_plain_list_counts_by_its_lines() -> None:
    text = "# Checklist\n- [ ] upgrade the image first\n- [ ] roll back with the old one\n- [ ] back up the database\n"
    assert checklist.missing({"ops.md": text}) == ["diagnostics"]
    assert checklist.missing({"ops.md": text, "more.md": "- run the diagnostics script\n"}) == []
    assert checklist.missing({}) == ["upgrade", "rollback", "backup", "diagnostics"]


def test_a_document_that_is_called_after_a_topic_covers_it() -> None:
    said = "# How to\nStop the service first, then do what follows.\n"
    assert checklist.missing({"docs/ROLLBACK.md": said, "05_troubleshooting.txt": said}) == ["upgrade", "backup"]
    assert checklist.missing({"upgrade.md": "TODO"}) == ["upgrade", "rollback", "backup", "diagnostics"]


@pytest.mark.parametrize(
    "name",
    [
        "CHECKLIST.md",
        "docs/operations.txt",
        "ops-runbook.adoc",
        "OPERATIONS_CHECKLIST",
        "Backup_Restore.md",
        "upgrade.md",
    ],
)
def test_names_of_checklists(name: str) -> None:
    assert checklist.is_named(name)


@pytest.mark.parametrize("name", ["checklist.json", "README.md", "crops.md", "checklist.pdf", "developers.md"])
def test_other_names(name: str) -> None:
    assert not checklist.is_named(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DATABASE.md", "Create the database with the owner objectos.\n"),
        ("docs/postgresql-setup.txt", "Create the role in PostgreSQL before the start.\n"),
        ("migrations/001.sql", "CREATE TABLE x (id int);\n"),
        ("README.md", "# Release\nhello\n## 3. Database\nCreate it with the owner objectos first.\n"),
        ("INSTALL", "# Preparing the database\nCreate it with the owner objectos first.\n"),
    ],
)
def test_guides(name: str, text: str) -> None:
    assert guidance.is_database_guide(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DATABASE.md", ""), ("DATABASE.md", "# Database\n"), ("database.json", "the database is made by hand first"),
        ("CHECKLIST.md", "## Backup\nDump the database every night and keep it.\n"), ("empty.sql", "-- nothing\n"),
        ("CHECKLIST.md", "## Backup of the database\nDump it every night and keep the copy.\n"),
    ],
)  # fmt: skip
def test_what_is_no_guide(name: str, text: str) -> None:
    assert not guidance.is_database_guide(name, text)


@given(st.text(alphabet="#=- \n`ab*backupgrade", max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    lines = text.splitlines()
    for one in document.sections(text):
        assert one.title in lines[one.line - 1]
    checklist.missing({"ops.md": text})
    guidance.is_database_guide("DATABASE.md", text)
