"""Tar archives, header by header: ustar, PAX (POSIX.1-2017, pax), GNU's long names; anything cleverer is refused.

It is our own reader because the standard one takes a broken header for the end, allocates whatever a long name asks
for, and follows sparse maps and sizes that other readers see otherwise. It reads nothing twice and never seeks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.release.trouble import BrokenError, HostileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.release.flow import Flow

BLOCK = 512
_ZEROS = bytes(BLOCK)
_LONGEST_EXTENSION = 1 << 20  # bytes of a PAX header or a long name
_LONGEST_NAME = 4096  # PATH_MAX
_LARGEST_OCTAL = 8**11  # from here on a size does not fit into its field

Kind = Literal["file", "folder", "link", "hardlink", "character", "block", "fifo"]

_KINDS: dict[int, Kind] = {
    0: "file", ord("0"): "file", ord("7"): "file", ord("1"): "hardlink", ord("2"): "link", ord("3"): "character",
    ord("4"): "block", ord("5"): "folder", ord("6"): "fifo",
}  # fmt: skip
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"LKxg"


class Member(NamedTuple):
    """What one header says. ``name`` and ``target`` are as they stand there; bytes that are no UTF-8 are escaped."""

    name: str
    kind: Kind
    size: int
    target: str


class _Header(NamedTuple):
    name: str
    type: int
    size: int
    target: str


def members(flow: Flow, *, marked: bool) -> Iterator[Member]:
    """Yield the members in order; what of a member's content was not taken from the flow is passed over.

    ``marked`` demands the mark at the end, without which nobody can tell that an archive is whole.
    Raises `BrokenError` for what is no archive or is cut off, `HostileError` for what is written to mislead.
    """
    extension: dict[str, str] = {}
    while True:
        block = flow.read(BLOCK)
        if block == _ZEROS or not block:
            if extension:
                raise BrokenError("a header for a member that does not follow")
            _end(flow, block, marked=marked)
            return
        header = _parse(block)
        if header.type in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            _extend(extension, header, _content(flow, header))
            continue
        member = _member(header, extension)
        extension = {}
        end = flow.offset + member.size
        yield member
        padding = -member.size % BLOCK
        if flow.skip(end + padding - flow.offset) and flow.offset < end:
            raise BrokenError(f"cut off within {member.name}")
        if flow.offset < end + padding and marked:
            raise BrokenError(f"cut off after {member.name}")


def _end(flow: Flow, block: bytes, *, marked: bool) -> None:
    """Check what follows the last member: two blocks of zeros and nothing but zeros."""
    second = flow.read(BLOCK) if block else b""
    if marked and second != _ZEROS:
        if second and second.strip(b"\0"):
            raise HostileError("members follow the mark of the end")
        raise BrokenError("cut off: there is no mark at the end")
    while second:
        if second.strip(b"\0"):
            raise HostileError("data follows the mark of the end")
        second = flow.some(1 << 20)


def looks_like(block: bytes) -> bool:
    """Tell whether this is the first block of an archive, an empty one included."""
    return len(block) == BLOCK and (block == _ZEROS or _sum(block) == _number_or_none(block[148:156]))


def _sum(block: bytes) -> int:
    return sum(block[:148]) + 256 + sum(block[156:])


def _parse(block: bytes) -> _Header:
    if len(block) < BLOCK:
        raise BrokenError("cut off within a header")
    if _sum(block) != _number_or_none(block[148:156]):
        raise BrokenError("a header has the wrong checksum")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    size = _number_or_none(block[124:136])
    if size is None:
        raise HostileError(f"{name}: a size that is no number, or a negative one")
    return _Header(name, block[156], size, _text(block[157:257]))


def _number_or_none(field: bytes) -> int | None:
    """Read a number in octal digits, or in GNU's binary form; None for a negative one and for anything else."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") if not field[0] & 0x40 else None
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _content(flow: Flow, header: _Header) -> bytes:
    """Read the content of an extension header."""
    if header.size > _LONGEST_EXTENSION:
        raise HostileError(f"{header.name}: a header of {header.size:,} bytes")
    content = flow.read(header.size)
    padding = -header.size % BLOCK
    if len(content) < header.size or flow.skip(padding) < padding:
        raise BrokenError("cut off within a header")
    return content


def _extend(extension: dict[str, str], header: _Header, content: bytes) -> None:
    """Note what an extension header says of the member that follows."""
    if header.type in (_LONG_NAME, _LONG_LINK):
        said = {"path" if header.type == _LONG_NAME else "linkpath": _text(content)}
    else:
        said = _pax(content, header.name)
        if header.type == _PAX_GLOBAL:
            if said:
                raise HostileError(f"{header.name}: {' and '.join(sorted(said))} for every member")
            return
    if extension.keys() & said.keys():
        raise HostileError(f"{header.name}: says {' and '.join(sorted(extension.keys() & said.keys()))} twice")
    extension |= said


def _pax(content: bytes, name: str) -> dict[str, str]:
    """Return path, linkpath and size of the records, ``length key=value`` a line; others change nothing for us."""
    said: dict[str, str] = {}
    at = 0
    while at < len(content):
        length, blank, _ = content[at : at + 8].partition(b" ")
        end = at + int(length) if blank and length.isdigit() else 0
        record = content[at + len(length) + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or end > len(content) or record[-1:] != b"\n":
            raise HostileError(f"{name}: a PAX record that is none")
        if key.startswith(b"GNU.sparse."):
            raise HostileError(f"{name}: a sparse member, whose size every reader sees otherwise")
        if key in {b"path", b"linkpath", b"size"}:
            if key.decode() in said or b"\0" in value:
                raise HostileError(f"{name}: a PAX {key.decode()} that is said twice, or holds a NUL")
            said[key.decode()] = value.decode("utf-8", "surrogateescape")
        at = end
    return said


def _member(header: _Header, extension: dict[str, str]) -> Member:
    """Return a member, its header and extensions taken together."""
    name = extension.get("path", header.name)
    if header.type not in _KINDS:
        raise HostileError(f"{name}: a member of type {chr(header.type)!r}, which readers do not agree on")
    kind = _KINDS[header.type]
    if kind == "file" and name.endswith("/"):
        kind = "folder"  # the way of tar before ustar
    size = _size(name, header.size, extension.get("size"))
    if size and kind != "file":
        raise HostileError(f"{name}: a {kind} with content")
    if len(name) > _LONGEST_NAME:
        raise HostileError(f"{name[:80]}...: a name of {len(name):,} characters")
    return Member(name, kind, size, extension.get("linkpath", header.target))


def _size(name: str, size: int, said: str | None) -> int:
    """Return the size; a PAX header may only say what the field cannot hold."""
    if said is None:
        return size
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        raise HostileError(f"{name}: a PAX size that is no number, or a negative one")
    if int(said) != size and (size or int(said) < _LARGEST_OCTAL):
        raise HostileError(f"{name}: two sizes, {size:,} and {int(said):,}, so that readers do not agree")
    return int(said)
