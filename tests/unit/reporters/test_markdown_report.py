"""Markdown that a real renderer reads: nothing from the host becomes a link, an image, markup or HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from airgap_check.redact import printable
from airgap_check.reporters import markdown_report, render, sign_off
from tests import reports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

READER = MarkdownIt("gfm-like")  # tables, struck text, HTML, and whatever looks like an address is a link
HOSTILE = (
    "![x](http://evil.com/pixel.png)", "<img src=http://evil.com>", "[a](javascript:alert(1))",
    "www.evil.com", "https://evil.com", "root@evil.com", "`code`", "``", "a|b", "\\|", "# title", "***b***",
    "<!-- x -->", "&lt;b&gt;", "- item", "1. one", "~~~", "```", "|---|", "[^1]", "https\\://evil.com", " ` ",
)  # fmt: skip
WORDS = st.one_of(
    st.text(),
    st.lists(st.sampled_from(HOSTILE), max_size=4).map(" ".join),
    st.text("`|\\<>[]()!*_~# \n&;:/.@w1-", max_size=20),
)


def tokens(text: str) -> Iterator[Token]:
    for token in READER.parse(text):
        yield token
        yield from token.children or ()


def kinds(text: str) -> set[str]:
    return {token.type for token in tokens(text)}


@pytest.mark.parametrize("name", ["sample", "compliant", "inconclusive"])
def test_a_report_has_no_link_no_image_and_no_html(name: str) -> None:
    text = render("markdown", getattr(reports, name)())
    assert not kinds(text) & {"link_open", "image", "html_inline", "html_block", "s_open", "em_open"}


def test_the_reader_would_have_found_them() -> None:
    assert {"link_open", "image", "html_inline"} <= kinds(" ".join(HOSTILE[:4]))


def test_the_structure_is_what_the_report_says_and_nothing_of_the_host() -> None:
    report = reports.sample()
    parsed = READER.parse(render("markdown", report))
    titles = [
        parsed[at + 1].content for at, token in enumerate(parsed) if token.type == "heading_open" and token.tag == "h2"
    ]
    assert titles == [
        "What was seen, and what was not", "Who talked to where", "Findings", "Since the baseline", "Undecided rules",
        "Proof of sight: attempts of our own, and who saw them", "Sign-off",
    ]  # fmt: skip
    rules = sum(1 for token in parsed if token.type == "heading_open" and token.tag == "h3")
    assert rules == sum(1 for result in report.results if result.findings)


@given(WORDS)
def test_a_code_span_is_exactly_the_text(text: str) -> None:
    written = markdown_report.code(text)
    (paragraph,) = [token for token in READER.parse(f"x {written} y") if token.type == "inline"]
    if not printable(text).strip():
        assert written == "-"
        return
    assert paragraph.children
    before, span, after = paragraph.children
    assert (before.content, span.type, after.content) == ("x ", "code_inline", " y")
    assert span.content == printable(text)


@given(WORDS)
def test_a_cell_stays_one_cell(text: str) -> None:
    table = f"| a | b |\n| --- | --- |\n| {markdown_report.cell(text)} | end |"
    cells = [token for token in READER.parse(table) if token.type == "td_open"]
    assert len(cells) == 2
    assert not kinds(table) & {"link_open", "image", "html_inline"}


@given(WORDS)
def test_prose_is_words_and_code_and_nothing_else(text: str) -> None:
    written = markdown_report.prose(text)
    assert "\n" not in written
    assert kinds(written) <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special", "code_inline"}


def test_punctuation_beside_a_command_is_no_part_of_it() -> None:
    said = 'the unit (`systemctl edit UNIT`), or "`make`".'
    assert markdown_report.prose(said) == said


def test_it_ends_in_the_lines_to_sign() -> None:
    text = render("markdown", reports.compliant())
    assert [line.split("|")[1].strip() for line in text.splitlines()[-len(sign_off.LINES) :]] == list(sign_off.LINES)
    assert "self-asserted by the host it is about" in text


def test_a_large_report_stays_short_and_counts_everything() -> None:
    text = render("markdown", reports.of_size(3000))
    assert len(text) < 100_000
    assert "and 1,475 more; the JSON report has each of them" in text
    assert "1,500 findings" in text
