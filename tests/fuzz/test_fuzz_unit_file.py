"""No unit file and no environment file breaks its reading; quoted words come back as they went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos import unit_file

_WORD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@given(st.text() | st.text("[Service]\nEnvironment=\\\"' #;Ax1", max_size=120))
def test_any_text_is_survived(text: str) -> None:
    lines = text.count("\n") + 1
    for directive in unit_file.directives(text):
        assert 1 <= directive.line <= lines
        unit_file.words(directive.value)
    for found in unit_file.environment_file(text):
        assert 1 <= found.line <= lines
        assert found.name == found.name.strip()
    assert all(isinstance(word, str) for word in unit_file.words(text))


@given(st.lists(_WORD, max_size=6))
def test_quoted_words_come_back(words: list[str]) -> None:
    quoted = ['"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words]
    assert unit_file.words("  ".join(quoted)) == words


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), _WORD, max_size=6))
def test_double_quoted_values_of_an_environment_file_come_back(values: dict[str, str]) -> None:
    def quote(value: str) -> str:
        for special in '\\"$`':
            value = value.replace(special, f"\\{special}")
        return f'"{value}"'

    text = "\n".join(f"{name}={quote(value)}" for name, value in values.items())
    found = {one.name: one.value for one in unit_file.environment_file(text)}
    assert found == {name: value.replace("\r\n", "\n") for name, value in values.items()}
