"""The ferry connects to what it was told, hands the socket over, and dials nothing else."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from airgap_check.world import ferry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def service() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def orders(service: socket.socket) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    places = {f"127.0.0.1:{service.getsockname()[1]}", "127.0.0.1:1"}
    carrying = threading.Thread(target=ferry.serve, args=(theirs, places))
    carrying.start()
    with theirs:
        with ours:
            ours.settimeout(30)
            yield ours
        carrying.join(30)
        assert not carrying.is_alive()


def test_a_connection_to_an_allowed_place_is_handed_over(service: socket.socket, orders: socket.socket) -> None:
    orders.send(b"127.0.0.1:%d\n" % service.getsockname()[1])
    answer, descriptors, _, _ = socket.recv_fds(orders, 100, 1)
    assert answer == b"ok"
    accepted, _ = service.accept()
    with accepted, socket.socket(fileno=descriptors[0]) as carried:
        carried.sendall(b"hello")
        assert accepted.recv(10) == b"hello"


def test_any_other_place_is_refused_without_a_packet(service: socket.socket, orders: socket.socket) -> None:
    orders.send(b"localhost:%d" % service.getsockname()[1])
    assert orders.recv(100) == b"no: nobody allowed that"
    service.settimeout(0.1)
    with pytest.raises(TimeoutError):
        service.accept()


def test_a_service_that_is_not_there_is_said(orders: socket.socket) -> None:
    orders.send(b"127.0.0.1:1")
    assert orders.recv(100) == b"no: Connection refused"
