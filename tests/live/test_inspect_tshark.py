"""Debian's tshark reads the same capture: the names and the flows must be the same."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from tests.live import tshark
from tests.unit.captures import mix, wire

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark (Debian package tshark)")
ENOUGH = 1000  # connections, of 50 packets each


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
@pytest.mark.parametrize("what", ["scene.pcap", "scene.pcapng"])
def test_names_and_flows_are_those_of_tshark(tmp_path: Path, what: str, *, columns: bool) -> None:
    path = tmp_path / what
    packets = [item for item in wire.scene() if b"middle" not in item.packet]  # tshark sees no beginning of it
    path.write_bytes(wire.pcap(packets, "qinq") if what == "scene.pcap" else wire.pcapng(packets, "cooked2", ">"))
    found = Reading(lambda _: None, None, columns=columns).evidence([str(path)])
    heard = tshark.ours(found)
    assert found.status == "complete"
    assert heard.differences(tshark.theirs(str(path))) == []
    assert len(heard.asked) == 5
    assert len(heard.said) == 5


def test_names_and_flows_of_a_busy_host_are_those_of_tshark(tmp_path: Path) -> None:
    path = tmp_path / "mix"
    with path.open("wb") as file:
        count = mix.make(file, ENOUGH)
    assert count > 45_000
    theirs = tshark.theirs(str(path))
    assert len(theirs.asked) > ENOUGH
    assert {source for source, _ in theirs.said} == {"tls", "quic", "http"}
    for columns in (False, True):
        found = Reading(lambda _: None, None, columns=columns).evidence([str(path)])
        assert tshark.ours(found).differences(theirs) == []
        assert found.status == "complete"
