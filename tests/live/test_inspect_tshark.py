"""Debian's tshark reads the same capture: the names and the flows must be the same."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from airgap_check.evidence import Connection, Question, Request
from bench.captures import make
from tests.unit.captures import wire

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark (Debian package tshark)")


def tshark(path: Path, shown: str, *fields: str) -> list[list[str]]:
    """Return fields of the packets that a display filter shows."""
    wanted = [word for field in fields for word in ("-e", field)]
    argv = ["tshark", "-n", "-r", str(path), "-Y", shown, "-T", "fields", *wanted]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def conversations(path: Path) -> set[tuple[str, str, str, int]]:
    """Return protocol, initiator, responder and its port, by the first packet of each conversation."""
    fields = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst")
    found = set()
    for protocol, shown in (("tcp", "tcp.flags.syn == 1 && tcp.flags.ack == 0"), ("udp", "udp")):
        ports = (f"{protocol}.srcport", f"{protocol}.dstport")
        begun = set()
        for row in tshark(path, f"{shown} && !icmp && !icmpv6", *fields, *ports):
            source, target = row[0] or row[2], row[1] or row[3]
            if (target, row[5], source, row[4]) in begun:
                continue
            begun.add((source, row[4], target, row[5]))
            found.add((protocol, str(ip_address(source)), str(ip_address(target)), int(row[5])))
    return found


@pytest.mark.parametrize("columns", [False, True], ids=["plain", "numpy"])
@pytest.mark.parametrize("what", ["scene.pcap", "scene.pcapng", "crowd"])
def test_names_and_flows_are_those_of_tshark(tmp_path: Path, what: str, *, columns: bool) -> None:
    path = tmp_path / what
    if what == "crowd":
        with path.open("wb") as file:
            make(file, 500)
    else:
        packets = [item for item in wire.scene() if b"middle" not in item.packet]  # tshark sees no beginning of it
        path.write_bytes(wire.pcap(packets, "qinq") if what == "scene.pcap" else wire.pcapng(packets, "cooked2", ">"))
    found = Reading(lambda _: None, None, columns=columns).evidence([str(path)])
    assert found.status == "complete"

    asked = {name for (names,) in tshark(path, "dns.qry.name", "dns.qry.name") for name in names.split(",")}
    assert {question.name for question in found.of(Question)} == asked
    said = {
        name for (name,) in tshark(path, "tls.handshake.extensions_server_name", "tls.handshake.extensions_server_name")
    }
    ours = {request.name for request in found.of(Request) if request.source != "http" and request.name}
    assert ours == said
    assert len(asked) >= 5
    assert len(said) >= 4
    flows = {
        (flow.protocol, flow.local.address, flow.remote.address, flow.remote.port)
        for flow in found.of(Connection)
        if flow.protocol in {"tcp", "udp"}
    }
    assert flows == conversations(path)
