"""What only scapy can open is opened, or it is said that it was not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from airgap_check.dissect import encapsulation
from airgap_check.evidence import Connection, Evidence
from tests.unit.captures import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INNER = wire.tcp(("10.0.0.2", 40000), ("10.0.0.9", 443), wire.SYN)
TUNNELLED = wire.ip("192.0.2.1", "192.0.2.2", 4, INNER)
HOP_BY_HOP = wire.ip("fd00::1", "fd00::2", 0, b"\x06\0\1\4\0\0\0\0" + INNER[20:])
LABELLED = bytes(12) + b"\x88\x47" + b"\0\0\1\x40" + INNER
both = pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])


@pytest.fixture
def without_scapy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("scapy", "scapy.config"):
        monkeypatch.setitem(sys.modules, name, None)
    encapsulation._loaded.cache_clear()
    yield
    encapsulation._loaded.cache_clear()


def judge(folder: Path, *, columns: bool) -> Evidence:
    plain = [wire.Stamped(wire.START, packet) for packet in (INNER, TUNNELLED, HOP_BY_HOP)]
    path = folder / "capture"
    size = len(LABELLED).to_bytes(4, "little")
    path.write_bytes(wire.pcap(plain) + bytes(8) + size + size + LABELLED + bytes(16) * 20)
    return Reading(lambda _: None, None, columns=columns).evidence([str(path)])


@both
def test_tunnels_labels_and_headers_are_opened(tmp_path: Path, *, columns: bool) -> None:
    found = judge(tmp_path, columns=columns)
    assert found.status == "complete"
    assert {(flow.remote.address, flow.remote.port) for flow in found.of(Connection)} == {
        ("10.0.0.9", 443), ("192.0.2.2", None), ("fd00::2", 443),
    }  # fmt: skip


@both
@pytest.mark.usefixtures("without_scapy")
def test_without_scapy_it_is_said_what_was_not_opened(tmp_path: Path, *, columns: bool) -> None:
    found = judge(tmp_path, columns=columns)
    assert found.status == "partial"
    assert found.reason == (
        "3 packets with tunnels, labels or extension headers were not opened: scapy is missing (pip install scapy)"
    )
