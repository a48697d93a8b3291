"""Whatever a manifest holds, reading it ends, in a tree or in faults with a place."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from airgap_check.manifest import Node, parse

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=12),
    st.sampled_from(["off", "<<", "${A:-x}", "10.0.0.0/8", "\x00", "\ufffd", "5432:5432"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=5)),
    max_leaves=25,
)


def check(content: bytes) -> None:
    manifest = parse("a/b.yaml", content)
    for line, column, message in manifest.faults:
        assert line >= 1
        assert column >= 1
        assert message
    for document in manifest.documents:
        assert nodes(document) == document.size


def nodes(node: Node) -> int:
    inner = node.items if node.items is not None else list((node.fields or {}).values())
    assert node.line >= 1
    assert sum(part is not None for part in (node.text, node.items, node.fields)) == 1
    return 1 + sum(map(nodes, inner))


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")
@example(b"%TAG ! tag:x,2000:\n--- !y\na: 1")
@example(b"? ? ? a")
@example(b"&a [*a]")
@example(b"{" * 2000)
@example(b"<<: *x")
@example(b"&a {<<: *a}")
@example(b"--- |9\n x")
def test_bytes(content: bytes) -> None:
    check(content)


@given(st.text(st.sampled_from("ab01:-?[]{}!&*|>%@`'\"#,~ \t\n\\.$/<"), max_size=120))
def test_text_that_looks_like_yaml(text: str) -> None:
    check(text.encode())


@given(st.lists(TREES, max_size=3))
def test_what_pyyaml_writes_is_read(trees: list[Any]) -> None:
    content = yaml.safe_dump_all(trees, allow_unicode=True).encode("utf-8", "replace")
    check(content)
    if all(isinstance(tree, dict) and all(isinstance(value, str) for value in tree.values()) for tree in trees):
        read = [
            {key: node.text for key, node in document.pairs().items()} for document in parse("f", content).documents
        ]
        assert read == trees
