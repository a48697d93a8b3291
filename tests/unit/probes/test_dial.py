"""Dialling on loopback: accepted, refused, silent, without a route; and sockets that stay where they were made."""

from __future__ import annotations

import errno
import socket
import struct
import time
from contextlib import closing
from ipaddress import ip_address

import pytest

from airgap_check.kernel import netns
from airgap_check.probes import dial

HERE = ip_address("127.0.0.1")
OWN = netns.Namespace(netns.own_inode(), "process")


def _reach(port: int, seconds: float = 2.0) -> dial.Dialled:
    (end,) = dial.sockets(OWN, [HERE])
    with closing(end):
        return dial.reach(end, HERE, port, until=time.monotonic() + seconds)


def test_a_listener_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert _reach(server.getsockname()[1]).fate == "connected"


def test_a_closed_port_refuses() -> None:
    assert _reach(1).fate == "refused"


def test_a_full_backlog_is_silence_that_ends_in_time() -> None:
    with socket.socket() as server, socket.socket() as first:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())
        assert _reach(server.getsockname()[1], 0.3).fate == "timeout"


class _Failing(socket.socket):
    """A socket whose connection fails as a test says, with this in its error queue."""

    failure: OSError
    queue: list[tuple[int, int, bytes]]

    def connect(self, _address: object) -> None:
        raise self.failure

    def recvmsg(self, *_: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        if not self.queue:
            raise BlockingIOError
        return b"", self.queue, 0, None


def _icmp(offender: str) -> list[tuple[int, int, bytes]]:
    """Return what the kernel keeps of an ICMP message (struct sock_extended_err, then the sender's sockaddr_in)."""
    error = struct.pack("=IBBBBII", errno.ECONNREFUSED, 2, 3, 3, 0, 0, 0)
    return [(0, 11, error + struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(offender)))]


@pytest.mark.parametrize(
    ("number", "queue", "fate"),
    [
        (errno.ECONNREFUSED, [], "refused"),
        (errno.ECONNREFUSED, _icmp("10.0.0.1"), "unreachable"),  # the firewall says no, not the far host
        (errno.ECONNREFUSED, _icmp("127.0.0.1"), "refused"),  # here that is the far host
        (errno.EHOSTUNREACH, _icmp("10.0.0.1"), "unreachable"),
        (errno.EHOSTUNREACH, _icmp("127.0.0.1"), "refused"),
        (errno.ENETUNREACH, [], "unreachable"),
        (errno.EACCES, [], "unreachable"),
        (errno.EPERM, [], "unreachable"),
        (errno.ECONNRESET, [], "refused"),  # accepted, and thrown out at once: the far host was there
        (errno.EPIPE, [], "refused"),
        (errno.EIO, [], "failed"),
        (errno.ECONNREFUSED, [(0, 11, b"short")], "refused"),
    ],
)
def test_who_says_no_makes_the_difference(number: int, queue: list[tuple[int, int, bytes]], fate: str) -> None:
    with _Failing(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.failure, end.queue = OSError(number, "as the test says"), queue
        assert dial.reach(end, HERE, 1, until=time.monotonic() + 1).fate == fate


def test_sockets_of_a_namespace_that_has_gone_cannot_be_made() -> None:
    with pytest.raises(OSError, match="gone"):
        dial.sockets(netns.Namespace(1, "process"), [HERE])
