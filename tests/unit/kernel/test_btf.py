from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel import btf
from airgap_check.kernel.btf import FUNCTION, STRUCT, TYPEDEF, UNION, Types

if TYPE_CHECKING:
    from pathlib import Path

INTEGER, POINTER, CONST, ARRAY = 1, 2, 10, 3


class Builder:
    """Writes type information down, as pahole does."""

    def __init__(self) -> None:
        self.types: list[bytes] = []
        self.strings = b"\0"

    def name(self, text: str) -> int:
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind: int, name: str, value: int, tail: bytes = b"", length: int = 0, *, flag: bool = False) -> int:
        head = struct.pack("=III", self.name(name) if name else 0, flag << 31 | kind << 24 | length, value)
        self.types.append(head + tail)
        return len(self.types)

    def structure(self, name: str, *members: tuple[str, int, int], kind: int = STRUCT, flag: bool = False) -> int:
        tail = b"".join(struct.pack("=III", self.name(text) if text else 0, of, bits) for text, of, bits in members)
        return self.add(kind, name, 64, tail, len(members), flag=flag)

    def build(self, magic: int = 0xEB9F) -> bytes:
        types = b"".join(self.types)
        head = struct.pack("=HBBIIIII", magic, 1, 0, 24, 0, len(types), len(types), len(self.strings))
        return head + types + self.strings


@pytest.fixture
def builder() -> Builder:
    made = Builder()
    number = made.add(INTEGER, "int", 4, bytes(4))
    inner = made.structure("inner", ("first", number, 0), ("second", number, 32))
    nameless = made.structure("", ("hidden", number, 64), ("deeper", inner, 96), kind=UNION)
    named = made.add(TYPEDEF, "inner_t", inner)
    made.structure(
        "outer", ("number", number, 0), ("", made.add(CONST, "", nameless), 128), ("named", named, 512)
    )  # fmt: skip
    made.structure("fields", ("low", number, 5 << 24), ("high", number, 5 << 24 | 40), flag=True)
    made.add(ARRAY, "", 0, bytes(12))
    made.add(FUNCTION, "outer", number)
    return made


@pytest.mark.parametrize(
    ("structure", "path", "offset"),
    [
        ("inner", ("second",), 4),
        ("outer", ("number",), 0),
        ("outer", ("hidden",), 24),
        ("outer", ("deeper", "second"), 32),
        ("outer", ("named", "second"), 68),
        ("fields", ("high",), 5),
        ("outer", (), 0),
    ],
)
def test_a_member_is_found_wherever_it_stands(
    builder: Builder, structure: str, path: tuple[str, ...], offset: int
) -> None:
    assert Types(builder.build()).offset(structure, *path) == offset


def test_a_bit_is_found_by_its_byte_and_its_place_there(builder: Builder) -> None:
    types = Types(builder.build())
    little = sys.byteorder == "little"
    assert types.bit("fields", "high") == (5, 1 if little else 0x80)
    builder.structure("flags", ("first", 1, 1 << 24), ("last", 1, 1 << 24 | 45), flag=True)
    assert Types(builder.build()).bit("flags", "last") == (5, 1 << 5 if little else 0x80 >> 5)


def test_a_type_has_a_number_by_kind_and_name(builder: Builder) -> None:
    types = Types(builder.build())
    assert (types.number(STRUCT, "outer"), types.number(FUNCTION, "outer")) == (6, 9)
    assert types.size("outer") == 64


def test_a_name_that_ends_another_is_not_that_other() -> None:
    made = Builder()
    made.structure("my_task")
    made.structure("task")
    assert Types(made.build()).number(STRUCT, "task") == 2
    with pytest.raises(LookupError):
        Types(made.build()).number(STRUCT, "ask")


@pytest.mark.parametrize("path", [("nothing",), ("named", "nothing"), ("number", "first")])
def test_what_is_not_there_is_a_lookup_error(builder: Builder, path: tuple[str, ...]) -> None:
    types = Types(builder.build())
    with pytest.raises(LookupError):
        types.offset("outer", *path)
    with pytest.raises(LookupError):
        types.offset("nowhere", "number")


def test_the_start_of_a_process_is_two_offsets() -> None:
    made = Builder()
    pointer = made.add(POINTER, "", 2)
    made.structure("task_struct", ("group_leader", pointer, 8 * 40), ("start_boottime", pointer, 8 * 72))
    assert btf.start_offsets(Types(made.build())) == (40, 72)


def test_types_of_another_byte_order_are_refused(builder: Builder) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Types(builder.build(magic=0x9FEB))


def test_half_of_it_is_refused(builder: Builder) -> None:
    data = builder.build()
    for size in range(len(data)):
        with pytest.raises(ValueError, match="makes no sense"):
            Types(data[:size])


def test_an_unknown_kind_is_refused_as_its_length_is_unknown(builder: Builder) -> None:
    builder.add(31, "future", 0)
    with pytest.raises(ValueError, match="makes no sense"):
        Types(builder.build())


def test_a_name_for_itself_ends() -> None:
    made = Builder()
    made.add(TYPEDEF, "round", 1)
    made.structure("holder", ("member", 1, 0))
    with pytest.raises(ValueError, match="makes no sense"):
        Types(made.build()).offset("holder", "member", "more")


def test_a_nameless_structure_inside_itself_ends() -> None:
    made = Builder()
    made.structure("holder", ("", 1, 0))
    with pytest.raises(LookupError):
        Types(made.build()).offset("holder", "member")


def test_a_kernel_without_types_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        btf.read(str(tmp_path / "vmlinux"))


@pytest.mark.skipif(not os.path.exists(btf.PATH), reason="this kernel carries no type information")
def test_this_kernel_says_when_a_process_started() -> None:
    types = btf.read()
    offsets = btf.start_offsets(types)
    assert 0 < offsets.group_leader < types.size("task_struct")
    assert 0 < offsets.start_boottime < types.size("task_struct")
    steps = btf.executable_offsets(types)
    assert 0 < steps.memory < types.size("task_struct")
    assert 0 < steps.device < types.size("super_block")
    own = types.bit("sock", "sk_kern_sock")
    assert own.byte < types.size("sock")
    assert own.mask.bit_count() == 1
    numbers = btf.pid_offsets(types)
    assert numbers.group_leader == offsets.group_leader
    assert 0 < numbers.thread_pid < types.size("task_struct")
    assert 0 < numbers.level < numbers.numbers <= types.size("pid")
    assert (numbers.number, numbers.namespace, numbers.size) == (0, 8, 16)
    assert types.offset("sock", "__sk_common", "skc_family") == types.offset("sock_common", "skc_family") == 16
