"""Directives, quoting and environment files as systemd reads them."""

from __future__ import annotations

import pytest

from airgap_check.objectos import unit_file


def test_directives_know_their_section_and_first_line() -> None:
    text = "[Unit]\nDescription=x\n[Service]\r\n# c\nEnvironment = A=1 \\\n; c\n  B=2\n\nEnvironmentFile=-/etc/x\n"
    assert list(unit_file.directives(text)) == [
        ("Unit", "Description", "x", 2),
        ("Service", "Environment", "A=1    B=2", 5),
        ("Service", "EnvironmentFile", "-/etc/x", 9),
    ]


def test_an_escaped_backslash_does_not_continue_a_line() -> None:
    assert [found.value for found in unit_file.directives("A=1\\\\\nB=2")] == ["1\\\\", "2"]


def test_a_line_that_goes_on_at_the_end_of_the_file_ends() -> None:
    assert [found.value for found in unit_file.directives("A=1\\")] == ["1"]


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ('"VAR1=word1 word2" VAR2=word3 "VAR3=$word 5 6"', ["VAR1=word1 word2", "VAR2=word3", "VAR3=$word 5 6"]),
        ("A=\\x41\\102\\u0043\\n", ["A=ABC\n"]),
        ("A=a\\sb", ["A=a b"]),
        ('\'a"b\' ""', ['a"b', ""]),
        ('q\\"z \\\\ \\q', ['q"z', "\\", "\\q"]),
        ("'unclosed a", ["unclosed a"]),
        ("\\U00110000", ["\\U00110000"]),
        ("%i-%n", ["%i-%n"]),
        ("", []),
    ],
)
def test_a_value_is_split_by_the_quoting_rules(value: str, items: list[str]) -> None:
    assert unit_file.words(value) == items


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1 2  ", "1 2"),
        (" A = 1", "1"),
        ("A='x\ny'", "x\ny"),
        ('A="a\\"b\\$c\\n\\\nd"', 'a"b$c\\nd'),
        ("A=a\\ b\\\nc", "a bc"),
        ("A='a'\"b\"c", "abc"),
        ('A=x"y"', 'x"y"'),
        ("A=off # not a comment", "off # not a comment"),
        ('A="unclosed', "unclosed"),
        ("A=\r\nB=1", ""),
    ],
)
def test_an_environment_file_has_values(text: str, value: str) -> None:
    first = unit_file.environment_file(text)[0]
    assert (first.name, first.value) == ("A", value)


def test_comments_and_lines_without_a_value_are_skipped_and_lines_are_counted() -> None:
    text = "# A=1\n;B=1\nnothing\nC='1\n2'\n\nD=4"
    assert [(found.name, found.line) for found in unit_file.environment_file(text)] == [("C", 4), ("D", 7)]


@pytest.mark.parametrize(
    ("path", "unit", "result"),
    [
        ("/etc/%p/%i", "a@b.service", ("/etc/a/b", False)),
        ("/etc/%p/%i", "a@.service", ("/etc/a/*", True)),
        ("/etc/%N-%n-%H", "a.service", ("/etc/a-a.service-*", True)),
        ("%t/%%x%", "a.service", ("/run/%x%", False)),
        ("/x/%I", "a@b-c.service", ("/x/*", True)),
        ("/x/%n", "service", ("/x/*", True)),
    ],
)
def test_specifiers_are_replaced_and_those_of_an_instance_become_any_text(
    path: str, unit: str, result: tuple[str, bool]
) -> None:
    assert unit_file.expanded(path, unit) == result


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("/usr/bin/env A=1 node B=2", ["A=1"]),
        ("-@env -i -u X -C /srv A=1 'B=2 3' node", ["A=1", "B=2 3"]),
        ("env -S 'A=1 node'", ["A=1"]),
        ("/usr/bin/node A=1", []),
        ("", []),
        ("env", []),
    ],
)
def test_what_env_assigns_is_read(command: str, result: list[str]) -> None:
    assert unit_file.env_arguments(command) == result
