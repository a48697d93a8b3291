"""A reference is split as the engines split it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.deployment.image_reference import parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest", "floating"),
    [
        ("postgres", "postgres", None, None, True),
        ("postgres:16", "postgres", "16", None, False),
        ("x:1", "x", "1", None, False),
        ("r.bank.example:5000/a/b", "r.bank.example:5000/a/b", None, None, True),
        ("r.bank.example:5000/a/b:4.2.0-rc.1", "r.bank.example:5000/a/b", "4.2.0-rc.1", None, False),
        ("a:latest", "a", "latest", None, True),
        ("a:Stable", "a", "Stable", None, True),
        (f"a@{DIGEST}", "a", None, DIGEST, False),
        (f"a:latest@{DIGEST}", "a", "latest", DIGEST, False),
        (f"docker://r/a@{DIGEST}", "r/a", None, DIGEST, False),
    ],
)
def test_the_parts(text: str, name: str, tag: str | None, digest: str | None, *, floating: bool) -> None:
    found = parse(text)
    assert found is not None
    assert (found.name, found.tag, found.digest, found.is_floating()) == (name, tag, digest, floating)


@pytest.mark.parametrize("text", ["", "a:", ":1", "a b", "${IMAGE}", "a@sha256:", "a@sha256:12", "{{ .Values.image }}"])
def test_what_is_no_reference(text: str) -> None:
    assert parse(text) is None


@given(st.text(st.sampled_from("abz09:/@.-_ {}$"), max_size=40))
def test_any_text(text: str) -> None:
    found = parse(text)
    if found:
        assert found.name + (f":{found.tag}" if found.tag else "") + (f"@{found.digest}" if found.digest else "")
        assert found.name in text
