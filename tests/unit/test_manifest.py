"""Manifests are read with their lines, whatever YAML offers, and no file makes reading one expensive."""

from __future__ import annotations

import pytest

from airgap_check.manifest import Manifest, Node, parse


def read(text: str) -> Node:
    manifest = parse("f.yaml", text.encode())
    assert manifest.faults == ()
    (document,) = manifest.documents
    return document


def fault_of(content: str | bytes) -> tuple[int, int, str]:
    manifest = parse("f.yaml", content if isinstance(content, bytes) else content.encode())
    (fault,) = manifest.faults
    return fault


def plain(node: Node) -> object:
    if node.fields is not None:
        return {key: plain(value) for key, value in node.fields.items()}
    return [plain(item) for item in node.items] if node.items is not None else node.text


def test_every_node_knows_where_it_stands() -> None:
    tree = read("a: 1\nb:\n  - x\n  - c: deep\n")
    found = tree.each("b")[1].get("c")
    assert found is not None
    assert (found.text, found.line, found.column, found.path) == ("deep", 4, 8, "f.yaml")


def test_a_mapping_or_list_stands_where_its_key_does_and_an_alias_where_its_anchor_is() -> None:
    tree = read("a: &x\n  b:\n    - 1\nc:\n  *x\n")
    places = {key: (tree.get(*key) or tree).line for key in [("a",), ("a", "b"), ("c",)]}
    assert places == {("a",): 1, ("a", "b"): 2, ("c",): 1}


def test_several_documents_are_read_and_the_first_fault_ends_them() -> None:
    manifest = parse("f.yaml", b"a: 1\n---\nb: 2\n---\nc: [\n")
    assert [plain(document) for document in manifest.documents] == [{"a": "1"}, {"b": "2"}]
    assert manifest.faults[0].line >= 5


def test_json_is_read_with_characters_beyond_the_basic_plane() -> None:
    assert plain(read('{"a": ["\\ud83d\\ude00", 1, null, "\\/"], "b": {}}')) == {
        "a": ["\U0001f600", "1", "null", "/"],
        "b": {},
    }


def test_an_alias_shares_its_node_and_a_merge_key_yields_to_what_stands_beside_it() -> None:
    tree = read("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nmine: {<<: [*b, *o], x: 9}\nsame: *b\n")
    assert plain(tree.fields["mine"]) == {"x": "9", "y": "2", "z": "4"}  # type: ignore[index]
    assert tree.get("same") is tree.get("base")


def test_an_anchor_may_be_used_again_and_means_the_last_one() -> None:
    assert plain(read("- &a one\n- &a two\n- *a\n")) == ["one", "two", "two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [*x]", "an alias inside of what it stands for"),
        ("a: &x {b: {c: *x}}", "an alias inside of what it stands for"),
        ("a: *nobody", "undefined alias|does not stand before"),
        ("a: &x 1\n---\nb: *x", "undefined alias|does not stand before"),
        ("[1]: 2", "a key must be a word"),
        ("a: {<<: 1}", "a merge key wants a mapping"),
        ("[" * 100, "nested deeper than 64 levels"),
        ("{a: " * 100, "nested deeper than 64 levels"),
        ("a: b: c", "mapping values are not allowed"),
        ("\tx: 1", "token"),
        ("a: 1\na: 2", "duplicate key a"),
    ],
)
def test_what_is_no_manifest_is_a_fault_with_its_place(text: str, message: str) -> None:
    line, column, said = fault_of(text)
    assert any(part in said for part in message.split("|")), said
    assert line >= 1
    assert column >= 1


def test_of_two_equal_keys_the_last_counts_and_both_lines_are_known() -> None:
    manifest = parse("f.yaml", b"image: a\nname: x\nimage: b\n")
    assert plain(manifest.documents[0]) == {"image": "b", "name": "x"}
    assert manifest.faults == ((3, 1, "duplicate key image"),)


def test_a_billion_laughs_are_refused_before_they_are_laughed() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    manifest = parse("f.yaml", "\n".join(lines).encode())
    assert not manifest.documents
    assert "with every alias written out" in manifest.faults[0].message
    assert manifest.faults[0].line < 8


def test_merge_keys_cannot_grow_a_bomb_either() -> None:
    lines = ["a0: &a0 {k0: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"]
    lines += [f"a{i}: &a{i} {{<<: *a{i - 1}, x{i}: *a{i - 1}, y{i}: *a{i - 1}}}" for i in range(1, 40)]
    assert "written out" in parse("f.yaml", "\n".join(lines).encode()).faults[0].message


def test_tags_are_kept_and_never_executed() -> None:
    tree = read("a: !!python/object/apply:os.system ['exit 1']\nb: !reset 5\nc: !!str off\nd: !own {x: 1}")
    assert plain(tree) == {"a": ["exit 1"], "b": "5", "c": "off", "d": {"x": "1"}}
    assert tree.get("b") is None
    assert tree.fields is not None
    assert tree.fields["c"].is_text()


@pytest.mark.parametrize(
    "written", ["off", "no", "y", "true", "5432", "1.5", "0x1f", "0b1", "null", "~", "", "1e3", ".inf"]
)
def test_what_the_cluster_would_not_take_for_text(written: str) -> None:
    tree = read(f"a: {written}\nb: '{written}'\n")
    assert tree.fields is not None
    assert not tree.fields["a"].is_text()
    assert tree.fields["b"].is_text()


@pytest.mark.parametrize("written", ["offline", "postgres://db:5432/x", "1.2.3", "10.0.0.0/8", "yes-please", "1h"])
def test_what_the_cluster_takes_for_text(written: str) -> None:
    node = read(f"a: {written}").get("a")
    assert node is not None
    assert node.is_text()


def test_bytes_that_are_no_text_are_a_fault_at_their_line() -> None:
    assert fault_of(b"a: 1\nb: \xff\n") == (2, 1, "not UTF-8 text")
    assert parse("f.yaml", b"\xef\xbb\xbfa: 1") != Manifest((), ())


def test_an_empty_file_has_no_document() -> None:
    assert parse("f.yaml", b"") == Manifest((), ())
    assert parse("f.yaml", b"# nothing\n") == Manifest((), ())


def test_looking_for_what_is_not_there_finds_nothing() -> None:
    tree = read("a: {b: [1, 2]}\nc: text\nd: null\n")
    assert tree.get("a", "x", "y") is None
    assert tree.get("c", "x") is None
    assert tree.get("d") is None
    assert tree.word("a", "b") is None
    assert tree.each("c") == []
    assert tree.pairs("c") == {}
    assert not tree.is_true("c")
