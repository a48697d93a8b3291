"""The same packets give the same answer in every container, under every link layer, read in either way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from airgap_check import captures
from airgap_check.captures.reading import Reading
from airgap_check.evidence import Connection, Evidence
from tests.unit.captures import wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORDERS: tuple[wire.Order, ...] = ("<", ">")
WAYS = {
    "pcap": lambda link, order: wire.pcap(wire.scene(), link, order),
    "pcap, nanoseconds": lambda link, order: wire.pcap(wire.scene(), link, order, nano=True),
    "pcapng": lambda link, order: wire.pcapng(wire.scene(), link, order),
    "pcapng, nanoseconds": lambda link, order: wire.pcapng(wire.scene(), link, order, nano=True),
}


def judge(folder: Path, *contents: bytes, columns: bool = False) -> Evidence:
    """Read files of these contents, under names that say nothing."""
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"file{number}"
        path.write_bytes(content)
        paths.append(str(path))
    return Reading(lambda _: None, None, columns=columns).evidence(paths)


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
@pytest.mark.parametrize("link", wire.LINKS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_container_gives_the_same_answer(
    tmp_path: Path, way: str, link: str, order: wire.Order, *, columns: bool
) -> None:
    make: Callable[[str, str], bytes] = WAYS[way]
    expected = judge(tmp_path, wire.pcap(wire.scene()))
    assert len(expected.records) == 27
    assert judge(tmp_path, make(link, order), columns=columns) == expected


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
def test_sections_interfaces_and_old_blocks_are_read(tmp_path: Path, *, columns: bool) -> None:
    scene = wire.scene()
    data = wire.section("<") + wire.interface("<", "ethernet") + wire.interface("<", "raw", 0x80 | 20)
    for number, (time, packet) in enumerate(scene[:20]):
        if number % 2:
            data += wire.enhanced("<", (time << 20) // wire.SECOND + 1, packet, 1)
        else:
            data += wire.old("<", time // 1000, wire.frame("ethernet", packet), 0)
        data += wire.block("<", 0x0BAD, b"of a vendor")
    data += wire.section(">") + wire.interface(">", "vlan", 9)
    data += b"".join(wire.enhanced(">", time, wire.frame("vlan", packet)) for time, packet in scene[20:])
    found, expected = judge(tmp_path, data, columns=columns), judge(tmp_path, wire.pcap(scene))
    assert found.status == "complete"
    assert _timeless(found) == _timeless(expected)
    for ours, theirs in zip(found.of(Connection), expected.of(Connection), strict=True):
        assert ours.first is not None
        assert theirs.first is not None
        assert abs((ours.first - theirs.first).total_seconds()) < 2e-6


def _timeless(evidence: Evidence) -> list[object]:
    return [
        replace(record, first=None, **({"last": None} if hasattr(record, "last") else {}))
        for record in evidence.records
    ]


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
def test_simple_packets_have_no_time(tmp_path: Path, *, columns: bool) -> None:
    packets = b"".join(wire.simple("<", wire.frame("ethernet", packet)) for _, packet in wire.scene())
    found = judge(tmp_path, wire.section("<") + wire.interface("<", "ethernet") + packets, columns=columns)
    assert _timeless(found) == _timeless(judge(tmp_path, wire.pcap(wire.scene())))
    assert {connection.first for connection in found.of(Connection)} == {None}


def test_the_clock_of_an_interface_may_be_shifted(tmp_path: Path) -> None:
    time, packet = wire.scene()[0]
    shifted = wire.section("<") + wire.interface("<", "raw", 6, offset=-100)
    (connection,) = judge(tmp_path, shifted + wire.enhanced("<", time // 1000, packet)).of(Connection)
    (straight,) = judge(tmp_path, wire.pcapng([wire.Stamped(time, packet)])).of(Connection)
    assert connection.first is not None
    assert straight.first is not None
    assert (straight.first - connection.first).total_seconds() == 100


def test_what_the_capturing_host_dropped_is_lost(tmp_path: Path) -> None:
    statistics = wire.block("<", 5, bytes(12) + wire.option("<", 5, (7).to_bytes(8, "little")) + bytes(4))
    found = judge(tmp_path, wire.pcapng(wire.scene()) + statistics + statistics)
    assert (found.status, found.lost) == ("partial", 7)
    assert "dropped 7 packets" in found.reason


def test_packets_that_the_file_holds_in_part_are_counted(tmp_path: Path) -> None:
    data = bytearray(wire.pcap(wire.scene()))
    data[24 + 12 : 24 + 16] = (5000).to_bytes(4, "little")
    assert judge(tmp_path, bytes(data)).counts["cut"] == 1


def test_an_unknown_link_layer_is_said(tmp_path: Path) -> None:
    data = bytearray(wire.pcap(wire.scene()))
    data[20] = 147
    found = judge(tmp_path, bytes(data))
    assert found.status == "partial"
    assert "link type 147" in found.reason
    assert not found.records


def test_gzip_is_unpacked_also_in_pieces(tmp_path: Path) -> None:
    import gzip

    data = wire.pcap(wire.scene())
    expected = judge(tmp_path, data)
    assert judge(tmp_path, gzip.compress(data)) == expected
    assert judge(tmp_path, gzip.compress(data[:500]) + gzip.compress(data[500:])) == expected
    cut = judge(tmp_path, gzip.compress(data)[:-40])
    assert cut.status == "partial"
    assert "compressed data is cut short" in cut.reason


def test_a_flow_may_span_files(tmp_path: Path) -> None:
    scene = wire.scene()
    for cut in (13, 17, 30):
        found = judge(tmp_path, wire.pcap(scene[:cut]), wire.pcapng(scene[cut:], "raw"))
        whole = judge(tmp_path, wire.pcap(scene))
        assert found.records == whole.records


def test_a_reader_may_be_asked_through_the_package(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(wire.pcap(wire.scene()))
    stages: list[str] = []
    found = captures.read([str(path), str(path)], progress=stages.append)
    assert found.counts["files"] == 1  # once, although named twice
    assert found.kind == "capture"
    assert any("[####################] 100%" in stage for stage in stages)


def test_time_that_is_up_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(wire.pcap(wire.scene() * 300))
    found = captures.read([str(path)], progress=lambda _: None, deadline=0.0)
    assert found.status == "partial"
    assert "time was up at byte" in found.reason
