"""Lines of .env files mean what dotenv makes of them."""

from __future__ import annotations

import pytest

from airgap_check.objectos import dotenv


def test_later_files_override_and_a_test_reads_no_local_file() -> None:
    assert dotenv.file_names("production") == [
        ".env.defaults",
        ".env",
        ".env.local",
        ".env.production",
        ".env.production.local",
    ]
    assert dotenv.file_names("test") == [".env.defaults", ".env", ".env.test", ".env.test.local"]


@pytest.mark.parametrize("mode", ["../../etc/x", "a\0b", ""])
def test_a_mode_cannot_lead_out_of_the_folder(mode: str) -> None:
    assert dotenv.file_names(mode) == [".env.defaults", ".env", ".env.local"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1 2  # x", "1 2"),
        ("  export A = 1", "1"),
        ("A: off", "off"),
        ("A=", ""),
        ("A=\r\nB=1", ""),
        ("A='x\ny' # c", "x\ny"),
        ('A="a\\nb"', "a\nb"),
        ("A='a\\nb'", "a\\nb"),
        ("A=`x`", "x"),
        ('A="a#b"', "a#b"),
        ("A=https://h/#sha", "https://h/"),
        ('A="unclosed', '"unclosed'),
        ("A='it''s'", "it''s"),
        ('A=\n"next line"', "next line"),
        ("\ufeffA=1", "1"),
        ("A\n \n=1", "1"),
        ("export\nA=1", "1"),
        ("A:\n1", "1"),
        ("# c\u2028A=1", "1"),
        ("B C\u2029A=1", "1"),
        ("A=1\u2028B=2", "1\u2028B=2"),
        ("A=\ufeff1\ufeff", "1"),
        ("A='x\\'#y", "x\\"),
        ('A="a\\nb" c', '"a\nb" c'),
    ],
)
def test_a_line_has_a_value(text: str, value: str) -> None:
    first = dotenv.parse(text)[0]
    assert (first.name, first.value) == ("A", value)


@pytest.mark.parametrize("text", ["", "# A=1", "A", "=1", "A B=1", "A:1", "export", '"A"=1'])
def test_what_dotenv_does_not_understand_is_skipped(text: str) -> None:
    assert not dotenv.parse(text)


def test_every_assignment_knows_its_line() -> None:
    text = "# c\n\nA=1\nB='x\ny\nz'\nnoise\nC=3\n"
    assert [(found.name, found.line) for found in dotenv.parse(text)] == [("A", 3), ("B", 4), ("C", 8)]
