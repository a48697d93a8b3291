from __future__ import annotations

import os
import socket
from typing import NamedTuple

import psutil
import pytest

from airgap_check.collectors import listeners, sockets
from airgap_check.evidence import Connection, Listener
from airgap_check.kernel import portable


class Listed(NamedTuple):
    """A row as psutil gives it."""

    family: int
    type: int
    laddr: tuple[str, int] | tuple[()]
    raddr: tuple[str, int] | tuple[()]
    status: str
    pid: int | None


def test_what_psutil_sees_becomes_connections_and_is_never_complete() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        socket.create_server(("0.0.0.0", 0)) as reachable,
    ):
        stock = portable.take()
        port = reachable.getsockname()[1]
    evidence = sockets.collect(stock, lambda _: True, None)
    assert evidence.status == "partial"
    assert "psutil" in evidence.reason
    assert evidence.counts["loopback"] >= 2
    (mine,) = [
        record
        for record in listeners.collect(stock, None).records
        if isinstance(record, Listener) and record.local.port == port
    ]
    assert mine.process is not None
    assert mine.process.pid == os.getpid()


def test_a_peer_beyond_loopback_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    me, stream, datagram = os.getpid(), socket.SOCK_STREAM, socket.SOCK_DGRAM
    rows = [
        Listed(socket.AF_INET, stream, ("10.0.0.2", 50000), ("10.0.0.9", 443), "SYN_SENT", me),
        Listed(socket.AF_INET6, datagram, ("fe80::1%en0", 50001), ("fe80::9%en0", 53), "NONE", None),
        Listed(socket.AF_INET, datagram, ("0.0.0.0", 514), (), "NONE", None),
    ]
    monkeypatch.setattr(psutil, "net_connections", lambda **_: rows)
    evidence = sockets.collect(portable.take(), lambda _: True, None)
    found = [record for record in evidence.records if isinstance(record, Connection)]
    assert [(record.protocol, record.state, record.direction, record.remote.address) for record in found] == [
        ("tcp", "SYN-SENT", "outbound", "10.0.0.9"),
        ("udp", "ESTAB", "outbound", "fe80::9"),
    ]
    assert [record.process.pid if record.process else None for record in found] == [os.getpid(), None]
    assert evidence.counts["unconnected_udp"] == 1


def test_without_the_right_to_list_sockets_the_evidence_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    evidence = sockets.collect(portable.take(), lambda _: True, None)
    assert evidence.status == "unavailable"
    assert "needs root" in evidence.reason


def test_every_state_of_psutil_is_known() -> None:
    names = {getattr(psutil, name) for name in dir(psutil) if name.startswith("CONN_")} - {
        "NONE",
        "DELETE",
        "IDLE",
        "BOUND",
    }
    assert names <= set(portable._STATES)


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError(2, "No such file or directory")])
def test_what_psutil_cannot_list_is_unavailable_with_the_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(psutil, "net_connections", fail)
    evidence = sockets.collect(portable.take(), lambda _: True, None)
    assert evidence.status == "unavailable"
    assert ("needs root" if isinstance(error, psutil.AccessDenied) else "No such file") in evidence.reason
