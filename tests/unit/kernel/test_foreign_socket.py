from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading

import pytest

from airgap_check.kernel import foreign_socket
from airgap_check.kernel.foreign_memory import Memory
from airgap_check.kernel.foreign_socket import Kind


def ask(descriptor: int) -> Kind | None:
    return foreign_socket.ask(threading.get_native_id(), os.getpid(), descriptor)


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP),
        (socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0),
    ],
)
def test_a_socket_says_what_it_is(family: int, kind: int, protocol: int) -> None:
    with socket.socket(family, kind) as made:
        found = ask(made.fileno())
        assert found is not None
        assert found[:3] == (family, kind, protocol)
        assert found.number.to_bytes(8, sys.byteorder) == made.getsockopt(socket.SOL_SOCKET, 57, 8)  # SO_COOKIE
        assert not found.is_begun


def test_what_is_no_socket_or_not_open_is_none() -> None:
    reader, writer = os.pipe()
    assert ask(reader) is None
    os.close(reader)
    os.close(writer)
    assert ask(writer) is None


def test_a_connection_is_begun_and_one_that_failed_keeps_its_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client, socket.socket() as other:
        place = server.getsockname()
        client.connect(place)
        assert (ask(client.fileno()) or Kind(0, 0, 0)).is_begun
        server.close()
        other.setblocking(False)  # noqa: FBT003  (the name says it)
        other.connect_ex(place)
        found = ask(other.fileno())
        assert found is not None
        assert found.is_begun
        assert other.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0  # nobody has taken it


def test_no_copy_is_left() -> None:
    before = os.listdir("/proc/self/fd")
    with socket.socket() as made:
        ask(made.fileno())
    assert os.listdir("/proc/self/fd") == before


def test_memory_is_read_as_far_as_there_is_any() -> None:
    held = ctypes.create_string_buffer(b"here it is", 16)
    with Memory(os.getpid()) as memory:
        assert memory.read(ctypes.addressof(held), 10) == b"here it is"
        assert [memory.read(address, 16) for address in (0, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)] == [b""] * 4
