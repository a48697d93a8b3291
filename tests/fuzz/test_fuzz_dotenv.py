"""No .env file breaks its reading; plain assignments are read as written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos import dotenv

_NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,10}", fullmatch=True)
_VALUE = st.text(st.characters(exclude_characters="\n\r#'\"`\\", exclude_categories=["C", "Z"]), max_size=20)


@given(st.text() | st.text("A=:'\"`\\# \nexport", max_size=80))
def test_any_text_gives_assignments_within_its_lines(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    found = dotenv.parse(text)
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert all(1 <= one.line <= lines for one in found)


@given(
    st.lists(st.tuples(_NAME.filter(lambda name: name != "export"), _VALUE), max_size=8),
    st.sampled_from(["", "'", '"', "`"]),
)
def test_assignments_are_read_as_written(pairs: list[tuple[str, str]], quote: str) -> None:
    text = "\n\n".join(f"{name}={quote}{value}{quote} # comment" for name, value in pairs)
    assert dotenv.parse(text) == [(name, value, 2 * index + 1) for index, (name, value) in enumerate(pairs)]


@given(st.text())
def test_no_mode_leads_out_of_the_folder(mode: str) -> None:
    assert all("/" not in name and "\0" not in name for name in dotenv.file_names(mode))
