"""Our reader of tar archives sees what the standard one sees, and refuses what readers see differently."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.release.archive import Member, members
from airgap_check.release.flow import Flow
from airgap_check.release.trouble import BrokenError, HostileError
from tests.live.images import tar

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=90)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def read(content: bytes, *, marked: bool = True, step: int = 700) -> list[Member]:
    file = io.BytesIO(content)
    return list(members(Flow(lambda most: file.read(min(most, step))), marked=marked))


def header(name: bytes = b"file", *, size: bytes = b"00000000000\0", kind: bytes = b"0", target: bytes = b"") -> bytes:
    """Write a header by hand, for what tarfile would not write."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[157 : 157 + len(target)] = target
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    body = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(b"%d" % length) + len(rest) != length:
            length += 1
        body += b"%d" % length + rest
    return header(b"pax", size=b"%011o" % len(body), kind=kind) + body + bytes(-len(body) % 512)


END = bytes(1024)


@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=4), st.binary(max_size=2000)), max_size=6), FORMATS)
def test_it_reads_what_tarfile_writes(entries: list[tuple[list[str], bytes]], form: int) -> None:
    buffer = io.BytesIO()
    written = []
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for parts, content in entries:
            info = tarfile.TarInfo("/".join(parts))
            info.size = len(content)
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:  # too long for ustar
                continue
            written.append((info.name, len(content)))
    assert [(member.name, member.size) for member in read(buffer.getvalue())] == written


@given(st.integers(1, 3000))
def test_what_a_consumer_takes_of_a_member_does_not_matter(taken: int) -> None:
    content = tar([("a", b"x" * 1500), ("b", b"y" * 10)])
    file = io.BytesIO(content)
    flow = Flow(file.read)
    seen = []
    for member in members(flow, marked=True):
        flow.read(min(taken, member.size))
        seen.append(member.name)
    assert seen == ["a", "b"]


def test_links_folders_and_devices_are_told_apart() -> None:
    made = header(b"d/", kind=b"5") + header(b"l", kind=b"2", target=b"../x") + header(b"h", kind=b"1", target=b"y")
    made += header(b"c", kind=b"3") + header(b"b", kind=b"4") + header(b"p", kind=b"6") + header(b"old/", kind=b"\0")
    kinds = [(member.kind, member.target) for member in read(made + END)]
    assert kinds == [
        ("folder", ""), ("link", "../x"), ("hardlink", "y"), ("character", ""), ("block", ""), ("fifo", ""),
        ("folder", ""),
    ]  # fmt: skip


def test_a_size_in_binary_is_read() -> None:
    made = header(size=b"\x80" + (5).to_bytes(11, "big")) + b"12345".ljust(512, b"\0")
    assert [member.size for member in read(made + END)] == [5]


HOSTILE = {
    "a negative size": header(size=b"\xff" * 12),
    "a size that is no number": header(size=b"-0000000001\0"),
    "a size with a blank inside": header(size=b"00 00000001\0"),
    "a link with content": header(kind=b"2", size=b"%011o" % 512, target=b"x") + bytes(512),
    "a sparse member of GNU": header(kind=b"S"),
    "a member of no known type": header(kind=b"Z"),
    "another size by PAX": pax((b"size", b"1024")) + header(size=b"%011o" % 512) + bytes(1024),
    "a size by PAX alone": pax((b"size", b"512")) + header() + bytes(512),
    "a negative size by PAX": pax((b"size", b"-512")) + header(),
    "two names by PAX": pax((b"path", b"a"), (b"path", b"b")) + header(),
    "a NUL by PAX": pax((b"path", b"a\0b")) + header(),
    "a sparse member by PAX": pax((b"GNU.sparse.major", b"1")) + header(),
    "a name for every member": pax((b"path", b"a"), kind=b"g") + header(),
    "a PAX record that is none": header(kind=b"x", size=b"%011o" % 5) + b"hello".ljust(512, b"\0") + header(),
    "a PAX record longer than there is": header(kind=b"x", size=b"%011o" % 9) + b"99 path=a".ljust(512, b"\0"),
    "two long names": (header(kind=b"L", size=b"%011o" % 2) + b"a\0".ljust(512, b"\0")) * 2 + header(),
    "a long name of a gigabyte": header(kind=b"L", size=b"%011o" % (1 << 30)),
    "a name longer than a path": header(kind=b"L", size=b"%011o" % 5000) + b"n" * 5120 + header(),
    "data after the end": header() + END + bytes(512) + b"x" + bytes(511),
    "members after a block of zeros": header() + bytes(512) + header(b"more"),
}


@pytest.mark.parametrize("made", HOSTILE.values(), ids=HOSTILE)
def test_what_readers_do_not_agree_on_is_refused(made: bytes) -> None:
    with pytest.raises(HostileError):
        read(made + END)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "within a header": lambda whole: whole[:300],
    "within a member": lambda whole: whole[:700],
    "within the padding": lambda whole: whole[:1020],
    "before the mark of the end": lambda whole: whole[:1536],
    "within the mark of the end": lambda whole: whole[: 1536 + 512],
    "by a wrong checksum": lambda whole: whole[:10] + b"!" + whole[11:],
}


@pytest.mark.parametrize("cut", BROKEN.values(), ids=BROKEN)
def test_an_archive_that_is_cut_off_is_no_archive(cut: Callable[[bytes], bytes]) -> None:
    whole = header(size=b"%011o" % 600) + b"x" * 600 + bytes(424) + END
    assert len(read(whole)) == 1
    with pytest.raises(BrokenError):
        read(cut(whole))


def test_a_layer_needs_no_mark_at_its_end() -> None:
    assert len(read(header(), marked=False)) == 1


def test_a_long_name_for_nobody_is_an_archive_that_was_cut() -> None:
    with pytest.raises(BrokenError):
        read(pax((b"path", b"a")) + END)
