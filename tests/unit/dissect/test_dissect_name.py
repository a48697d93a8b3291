from __future__ import annotations

import pytest

from airgap_check.dissect.name import dotted, host


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"WWW.Example.", "www.example"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"_srv.a-b.example", "_srv.a-b.example"),
        (b"", ""),
        (b"a b", r"a\032b"),
        (b"back\\slash", r"back\092slash"),
        (b"\0\n\x7f\xff", r"\000\010\127\255"),
        (b"x" * 300, "x" * 255),
    ],
)
def test_a_host_is_shown_in_one_way(raw: bytes, text: str) -> None:
    assert host(raw) == text
    assert host(raw).isprintable()


def test_a_dot_inside_a_label_is_told_apart() -> None:
    assert dotted([b"A", b"b"]) == "a.b"
    assert dotted([b"a.b", b"c"]) == r"a\046b.c"
    assert dotted([b"a", b"\x1b"]) == r"a.\027"
