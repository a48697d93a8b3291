"""Compiles the twins with clang and reads the programs out of the object: a loader as small as the tests need."""

from __future__ import annotations

import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel.assembler import decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent
_SECTION = struct.Struct("=IIQQQQIIQQ")  # name, kind, flags, address, offset, size, link, info, alignment, entry size
_SYMBOL = struct.Struct("=IBBHQQ")  # name, info, other, section, value, size
_RELOCATION = struct.Struct("=QQ")  # offset, symbol and kind
_PROGBITS, _EXECUTABLE, _RELOCATIONS, _MAP_DESCRIPTOR = 1, 4, 9, 1


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    body: bytes
    link: int
    info: int


def available() -> bool:
    """Tell whether there is a compiler, and the headers that the twins include."""
    return shutil.which("clang") is not None and Path("/usr/include/bpf/bpf_helpers.h").exists()


@cache
def compile_twin(name: str, defines: tuple[tuple[str, int], ...]) -> bytes:
    """Return the object that the compiler makes of one file."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "twin.o")
        subprocess.run(
            # The headers of this architecture are not where a compiler for another machine looks.
            ["clang", "-O2", "-Wall", "-Werror", "-target", "bpf", f"-I/usr/include/{platform.machine()}-linux-gnu",
             *(f"-D{define}={value}" for define, value in defines),
             "-c", str(HERE / f"{name}.c"), "-o", str(target)],
            check=True,
        )  # fmt: skip
        return target.read_bytes()


def programs(data: bytes, maps: Mapping[str, int]) -> dict[str, bytes]:
    """Return the bytecode of the programs of an object by name, with the descriptors of these maps in it."""
    sections = _sections(data)
    found = {
        index: bytearray(each.body)
        for index, each in enumerate(sections)
        if each.kind == _PROGBITS and each.flags & _EXECUTABLE and each.body
    }
    for each in sections:
        if each.kind == _RELOCATIONS and each.info in found:
            _relocate(found[each.info], each, sections, maps)
    return {sections[index].name.rpartition("/")[2]: bytes(code) for index, code in found.items()}


def _relocate(code: bytearray, table: _Section, sections: list[_Section], maps: Mapping[str, int]) -> None:
    """Put the descriptors of maps where the code names them."""
    symbols = sections[table.link]
    names = sections[symbols.link].body
    for offset, info in _RELOCATION.iter_unpack(table.body):
        name_at, *_ = _SYMBOL.unpack_from(symbols.body, (info >> 32) * _SYMBOL.size)
        (instruction,) = decode(bytes(code[offset : offset + 8]))
        placed = instruction._replace(source=_MAP_DESCRIPTOR, immediate=maps[_text(names, name_at)])
        code[offset : offset + 8] = encode([placed])


def _sections(data: bytes) -> list[_Section]:
    assert data[:5] == b"\x7fELF\x02", "an object of 64 bits"
    assert data[5] == (1 if sys.byteorder == "little" else 2)
    (start,) = struct.unpack_from("=Q", data, 0x28)
    size, count, names_index = struct.unpack_from("=HHH", data, 0x3A)
    raw = [_SECTION.unpack_from(data, start + index * size) for index in range(count)]
    names = data[raw[names_index][4] :]
    return [
        _Section(_text(names, name), kind, flags, data[offset : offset + length], link, info)
        for name, kind, flags, _, offset, length, link, info, _, _ in raw
    ]


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()
