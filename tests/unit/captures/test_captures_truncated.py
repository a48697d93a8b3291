"""A file that ends early, or lies about lengths, is judged as far as it goes, and says at which byte that was."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from airgap_check.errors import InvalidFileError, UsageError
from tests.unit.captures import wire

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence import Evidence

SMALL = wire.scene()[:6]
PCAP, PCAPNG = wire.pcap(SMALL), wire.pcapng(SMALL)


def judge(folder: Path, content: bytes, *, columns: bool = False) -> Evidence:
    path = folder / "capture"
    path.write_bytes(content)
    return Reading(lambda _: None, None, columns=columns).evidence([str(path)])


def boundaries(data: bytes) -> set[int]:
    """List where records, or blocks, end."""
    found, position = set(), 24
    if data is PCAPNG:
        position = 0
        while position < len(data):
            position += struct.unpack_from("<I", data, position + 4)[0]
            found.add(position)
        return found
    while position < len(data):
        found.add(position)
        position += 16 + struct.unpack_from("<I", data, position + 8)[0]
    return found | {len(data)}


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
@pytest.mark.parametrize("data", [PCAP, PCAPNG], ids=["pcap", "pcapng"])
def test_a_file_may_end_at_any_byte(tmp_path: Path, data: bytes, *, columns: bool) -> None:
    ends = boundaries(data)
    whole = judge(tmp_path, data)
    assert whole.status == "complete"
    before = 0
    for size in range(4, len(data)):
        found = judge(tmp_path, data[:size], columns=columns)
        assert found.status == ("complete" if size in ends and found.records else "partial"), size
        if size not in ends:
            assert f"cut short at byte {size:,}" in found.reason
        assert before <= found.counts["packets"] <= len(SMALL)
        before = found.counts["packets"]
    assert before == len(SMALL) - 1


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 21])
def test_a_packet_that_claims_too_much_ends_a_pcap_there(tmp_path: Path, length: int, *, columns: bool) -> None:
    place = sorted(boundaries(PCAP))[2]
    data = bytearray(PCAP)
    struct.pack_into("<I", data, place + 8, length)
    found = judge(tmp_path, bytes(data) + bytes(3 << 20), columns=columns)
    assert found.counts["packets"] == 2
    assert f"a packet claims {length:,} bytes at byte {place:,}" in found.reason


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (4, 0, "a block claims 0 bytes"),
        (4, 13, "a block claims 13 bytes"),
        (4, 0xFFFFFFFC, "a block claims 4,294,967,292 bytes"),
        (8, 77, "a packet of an interface that was never described"),
        (20, 0xFFFF, "a packet claims 65,535 bytes"),
    ],
)
def test_a_block_that_lies_ends_a_pcapng_there(tmp_path: Path, offset: int, value: int, reason: str) -> None:
    place = sorted(boundaries(PCAPNG))[2]
    data = bytearray(PCAPNG)
    struct.pack_into("<I", data, place + offset, value)
    found = judge(tmp_path, bytes(data))
    assert found.counts["packets"] == 1
    assert f"{reason} at byte {place:,}" in found.reason


def test_a_long_block_of_another_kind_is_stepped_over(tmp_path: Path) -> None:
    long = wire.block("<", 0x0BAD, bytes(20 << 20))
    found = judge(tmp_path, PCAPNG + long + b"".join(wire.block("<", 0x0BAD, b"") for _ in range(3)))
    assert found == judge(tmp_path, PCAPNG)
    cut = judge(tmp_path, PCAPNG + long[: 15 << 20])
    assert f"cut short at byte {len(PCAPNG) + (15 << 20):,}" in cut.reason


def test_the_two_lengths_of_a_block_must_agree(tmp_path: Path) -> None:
    data = PCAPNG[:-4] + bytes(4)
    assert "the two lengths of a block differ" in judge(tmp_path, data).reason


@pytest.mark.parametrize("content", [b"\x7fELF" + bytes(200), b"hello\nworld\n", b"{}\n", b"\xa1\xb2", b'{"a": 1}'])
def test_another_file_is_refused_with_what_would_do(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(
        InvalidFileError, match=r"capture:1:1: not a file that can be judged; these can: pcap, pcapng, "
    ):
        judge(tmp_path, content)


def test_an_empty_a_missing_and_a_strange_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="empty"):
        judge(tmp_path, b"")
    with pytest.raises(UsageError, match="No such file"):
        Reading(lambda _: None, None).evidence([str(tmp_path / "none")])
    with pytest.raises(UsageError, match="is a directory"):
        Reading(lambda _: None, None).evidence([str(tmp_path)])


def test_a_capture_without_packets_proves_nothing(tmp_path: Path) -> None:
    found = judge(tmp_path, wire.pcap([]))
    assert found.status == "partial"
    assert "nothing in it says who talks to whom" in found.reason
