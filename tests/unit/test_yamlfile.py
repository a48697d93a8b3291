from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec
import pytest

from airgap_check.errors import InvalidFileError
from airgap_check.yamlfile import decode, parse, suggest


class Part(msgspec.Struct, frozen=True, kw_only=True, rename={"for_": "for"}):
    name: str
    for_: str | None = None
    ports: tuple[int | str, ...] = ()
    until: date | None = None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    version: Literal[1]
    parts: tuple[Part, ...] = ()
    mood: Literal["cheerful", "grim"] = "grim"
    names: str | tuple[str, ...] = ()
    loud: bool = False


def value_of(text: str) -> object:
    return parse("f.yaml", text.encode()).value


def faults_of(content: str | bytes) -> list[str]:
    raw = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(InvalidFileError) as caught:
        parse("f.yaml", raw).refuse()
    return caught.value.faults


def decoded(text: str) -> Whole:
    document = parse("f.yaml", text.encode())
    whole = decode(document, Whole)
    document.refuse()
    return whole


def decoding_faults(text: str) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        decoded(text)
    return caught.value.faults


# --- what a scalar is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("True", "True"), ("NULL", "NULL"),
        ("true", True), ("false", False), ("null", None), ("~", None),
        ("0", 0), ("443", 443), ("-1", -1), ("007", "007"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("+1", "+1"),
        ("1.5", "1.5"), ("1e3", "1e3"), (".inf", ".inf"), ("12:30:45", "12:30:45"), ("2027-03-01", "2027-03-01"),
        ("'443'", "443"), ('"true"', "true"), ("'~'", "~"), ("\u0663", "\u0663"), ("-", [None]), ("--", "--"),
        ("9" * 18, int("9" * 18)), ("9" * 19, "9" * 19), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_plain_words_mean_themselves_and_numbers_are_decimal(text: str, value: object) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert value_of("1: a\ntrue: b\n~: c\n2027-01-01: d\n") == {"1": "a", "true": "b", "~": "c", "2027-01-01": "d"}


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse("f.yaml", b"\xef\xbb\xbfa: 1\n").value == {"a": 1}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_an_empty_file_has_no_value(text: str) -> None:
    assert value_of(text) is None


def test_values_and_keys_know_their_places() -> None:
    document = parse("f.yaml", b"a:\n  - b: 1\n    c: [x, y]\n")
    assert document.places["a", 0, "c", 1] == (3, 12)
    assert document.keys["a", 0, "c"] == (3, 5)
    assert document.places["a",] == (2, 3)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_duplicate_keys_are_all_named_at_the_second() -> None:
    assert faults_of("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n") == [
        "f.yaml:2:17: duplicate key c",
        "f.yaml:3:1: duplicate key a",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: &x [1]\nb: *x\n", "f.yaml:1:4: anchors and aliases are not accepted"),
        ("a: *x\n", "f.yaml:1:4: anchors and aliases are not accepted"),
        ("&x a: 1\n", "f.yaml:1:1: anchors and aliases are not accepted"),
        ("*x : 1\n", "f.yaml:1:1: a key must be a word"),
        ("a: 1\n<<: *x\n", "f.yaml:2:5: anchors and aliases are not accepted"),
        ("a: !!str 1\n", "f.yaml:1:4: tags are not accepted"),
        ("a: !!python/object/apply:os.system ['true']\n", "f.yaml:1:4: tags are not accepted"),
        ("!!str a: 1\n", "f.yaml:1:1: tags are not accepted"),
        ("--- !!map\na: 1\n", "f.yaml:1:5: tags are not accepted"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document in one file"),
        ("? [a, b]\n: 1\n", "f.yaml:1:3: a key must be a word"),
        ("? {a: 1}\n: 1\n", "f.yaml:1:3: a key must be a word"),
    ],
)
def test_marks_second_documents_and_composite_keys_are_refused(text: str, fault: str) -> None:
    assert faults_of(text) == [fault]


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    lines = ['a0: &a0 ["lol", "lol"]'] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert faults_of("\n".join(lines)) == ["f.yaml:1:5: anchors and aliases are not accepted"]


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 100_000, "- " * 200_000, "? " * 100_000])
def test_deep_nesting_is_refused_before_it_costs_anything(text: str) -> None:
    (fault,) = faults_of(text)
    assert fault.endswith(("nested deeper than 32 levels", "a key must be a word"))


def test_nesting_of_32_levels_is_fine() -> None:
    value = value_of("[" * 32 + "]" * 32)
    for _ in range(31):
        assert isinstance(value, list)
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a: 1\nb: \xff\xfe\n", "f.yaml:2:1: not UTF-8 text"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "f.yaml:1:1: control characters are not allowed"),
        (b"\x89PNG\r\n\x1a\n", "f.yaml:1:1: not UTF-8 text"),
        ("a: 1".encode("utf-16"), "f.yaml:1:1: not UTF-8 text"),
    ],
)
def test_binary_content_is_refused_in_one_line(content: bytes, fault: str) -> None:
    assert faults_of(content) == [fault]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\nb: 3\n", "2:2"),
        ("a: b: c\n", "1:5"),
        ("\ta: 1\n", "1:1"),
        ('a: "b\n', "2:1"),
        ("%YAML 9.9\n---\n", "1:1"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_place(text: str, place: str) -> None:
    (fault,) = faults_of(text)
    assert fault.startswith(f"f.yaml:{place}: ")


def test_a_fault_is_one_printable_line_whatever_the_file_says() -> None:
    (fault,) = decoding_faults('version: 1\n"a\\nb\\e[31m\\u202e": 1\n')
    assert fault == r"f.yaml:2:1: unknown key a\nb\x1b[31m\u202e"


def test_a_fault_quotes_a_huge_value_in_part_only() -> None:
    (fault,) = decoding_faults(f"version: 1\nmood: {'x' * 100_000}\n")
    assert len(fault) < 600


# --- structs ---------------------------------------------------------------------------------------------------------


def test_a_document_becomes_a_struct() -> None:
    text = "version: 1\nmood: cheerful\nnames: a\nparts:\n  - {name: x, for: y, ports: [1, '2-3'], until: 2027-03-01}\n"
    assert decoded(text) == Whole(
        version=1,
        mood="cheerful",
        names="a",
        parts=(Part(name="x", for_="y", ports=(1, "2-3"), until=date(2027, 3, 1)),),
    )


def test_every_fault_is_found_in_one_go_in_the_order_of_the_file() -> None:
    text = """\
version: 2
mood: cheerfull
nmes: [a]
names: [a, 1, true]
loud: yes
parts:
  - nme: x
    ports: [1, [2]]
  - just text
  - {name: z, until: tomorrow, for: }
"""
    assert decoding_faults(text) == [
        "f.yaml:1:10: unknown value 2; one of: 1",
        "f.yaml:2:7: unknown value cheerfull (did you mean cheerful?); one of: cheerful, grim",
        "f.yaml:3:1: unknown key nmes (did you mean names?)",
        "f.yaml:4:12: Expected str, got int",
        "f.yaml:4:15: Expected str, got bool",
        "f.yaml:5:7: Expected bool, got str",
        "f.yaml:7:5: missing key name",
        "f.yaml:7:5: unknown key nme (did you mean name?)",
        "f.yaml:8:16: Expected int | str, got list",
        "f.yaml:9:5: expected a mapping, got text",
        "f.yaml:10:22: expected a date such as 2027-03-01, got tomorrow",
        "f.yaml:10:37: has no value: give it one, or leave the key out",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "nothing"), ("- 1", "a list"), ("5", "a number"), ("x", "text"), ("true", "true or false")],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, kind: str) -> None:
    assert decoding_faults(text) == [f"f.yaml:1:1: expected a mapping, got {kind}"]


def test_a_missing_key_of_the_whole_file_is_placed_at_its_start() -> None:
    assert decoding_faults("mood: grim\n") == ["f.yaml:1:1: missing key version"]


def test_a_suggestion_is_made_only_for_a_near_word() -> None:
    assert suggest("databse", ["database", "dns"]) == " (did you mean database?)"
    assert suggest("zzz", ["database", "dns"]) == ""
    assert suggest(None, ["database"]) == ""
