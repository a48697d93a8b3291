"""Names that QUIC clients say, in Initial packets made by another implementation, in captures of both readings."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from airgap_check.evidence import Request
from tests.live import tshark
from tests.unit.captures import initials, wire
from tests.unit.captures.initials import V1, V2

if TYPE_CHECKING:
    from pathlib import Path

CLIENT, SERVER = ("10.0.0.2", 40000), ("10.0.0.9", 443)
HELLO = wire.client_hello("split.bank.example", padding=1500)[5:]
both = pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])


def write(folder: Path, *datagrams: bytes, client: tuple[str, int] = CLIENT) -> Path:
    path = folder / "capture.pcap"
    packets = [wire.udp(client, SERVER, datagram) for datagram in datagrams]
    stamped = [wire.Stamped(wire.START + place, packet) for place, packet in enumerate(packets)]
    path.write_bytes(wire.pcap(stamped))
    return path


def said(path: Path, *, columns: bool) -> list[tuple[str, str | None, str]]:
    evidence = Reading(lambda _: None, None, columns=columns).evidence([str(path)])
    return [(request.source, request.name, request.hidden) for request in evidence.of(Request)]


@both
@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
def test_a_name_in_an_initial_is_read(tmp_path: Path, version: int, *, columns: bool) -> None:
    path = write(tmp_path, *initials.real("db.bank.example", version))
    assert said(path, columns=columns) == [("quic", "db.bank.example", "no")]


@both
def test_a_hello_may_be_split_over_datagrams_in_any_order_and_sent_again(tmp_path: Path, *, columns: bool) -> None:
    first, second = initials.crypto(0, HELLO[:900]), initials.crypto(900, HELLO[900:])
    datagrams = initials.initial(second, 1), initials.initial(first), initials.initial(second, 2)
    assert said(write(tmp_path, *datagrams), columns=columns) == [("quic", "split.bank.example", "no")]


@both
def test_a_hello_of_which_a_part_is_missing_is_a_name_that_nobody_knows(tmp_path: Path, *, columns: bool) -> None:
    datagram = initials.initial(initials.crypto(0, HELLO[:900]))
    assert said(write(tmp_path, datagram), columns=columns) == [("quic", None, "cut")]


@both
def test_an_initial_that_somebody_changed_is_no_name(tmp_path: Path, *, columns: bool) -> None:
    (datagram,) = initials.real("db.bank.example")
    changed = datagram[:100] + bytes([datagram[100] ^ 1]) + datagram[101:]
    assert said(write(tmp_path, changed), columns=columns) == [("quic", None, "cut")]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark (Debian package tshark)")
@pytest.mark.parametrize("client", [CLIENT, ("fd00::2", 40000)], ids=["v4", "v6"])
def test_tshark_reads_the_same_name(tmp_path: Path, client: tuple[str, int]) -> None:
    first, second = initials.crypto(0, HELLO[:900]), initials.crypto(900, HELLO[900:])
    server = SERVER if client is CLIENT else ("fd00::9", 443)
    clients = {
        40000: initials.real("db.bank.example"),
        40001: [initials.initial(first), initials.initial(second, 1)],
        40002: initials.real("v2.bank.example", V2),
    }
    packets = [wire.udp((client[0], port), server, datagram) for port, sent in clients.items() for datagram in sent]
    path = tmp_path / "capture.pcap"
    path.write_bytes(wire.pcap([wire.Stamped(wire.START + place, packet) for place, packet in enumerate(packets)]))
    heard = tshark.theirs(str(path))
    assert heard.said == {("quic", f"{host}.bank.example") for host in ("db", "split", "v2")}
    for columns in (False, True):
        found = Reading(lambda _: None, None, columns=columns).evidence([str(path)])
        assert tshark.ours(found).differences(heard) == []
