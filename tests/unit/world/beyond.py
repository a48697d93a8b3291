"""A world on loopback for tests: the real servers, on plain sockets, in a thread; and what they have told."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
import pytest

from airgap_check.kernel import sock_diag
from airgap_check.world import far
from airgap_check.world.authority import Authority
from airgap_check.world.meeting import Inquiry, Message, Met, Named, Orders, Trouble

if TYPE_CHECKING:
    from types import TracebackType

_DECODER = msgspec.json.Decoder(Message)


@cache
def authority() -> Authority:
    return Authority(datetime.now(UTC))


def trusting() -> ssl.SSLContext:
    """Return a client's context that trusts the world."""
    return ssl.create_default_context(cadata=authority().certificate.decode())


def loopback() -> str:
    """Return an address of this machine's own that no other test run uses."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}"


class Place(NamedTuple):
    address: str
    port: int


class Beyond:
    """The world, from ``with`` on; what it told is there after `end`."""

    def __init__(
        self, orders: Orders | None = None, *, port: int = 0, ferry: socket.socket | None = None, patient: bool = False
    ) -> None:
        self._listening = threading.Event()
        if not patient:
            self._listening.set()
        self._orders, self._ferry = orders or Orders(), ferry
        self._authority = authority()
        self._table = sock_diag.connect()
        self._told, self._tell = os.pipe()
        self._stopped, self._stop = os.pipe()
        self._lines: list[bytes] = []
        self._sockets = self._listen(port)
        tcp, udp, names, streams = self._sockets
        self.tcp, self.udp = Place(*tcp.getsockname()), Place(*udp.getsockname())
        self.names, self.name_streams = Place(*names.getsockname()), Place(*streams.getsockname())
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._read)]
        self._ended = False

    @staticmethod
    def _listen(port: int) -> list[socket.socket]:
        made = []
        wanted = (socket.SOCK_STREAM, port), (socket.SOCK_DGRAM, port), (socket.SOCK_DGRAM, 0), (socket.SOCK_STREAM, 0)
        for kind, number in wanted:
            end = socket.socket(socket.AF_INET, kind)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                end.bind((loopback(), number))
            except PermissionError:
                pytest.skip(f"port {port} is for root")
            if kind == socket.SOCK_STREAM:
                end.listen()
            else:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # room for some hundreds of datagrams
            made.append(end)
        return made

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def _serve(self) -> None:
        tcp, udp, names, streams = self._sockets
        far.serve(
            self._orders, tcp=[tcp], udp=[udp], name_udp=[names], name_tcp=[streams], table=self._table,
            authority=self._authority,
            tell=self._tell, ferry=self._ferry, stop=self._stopped,
        )  # fmt: skip
        os.close(self._tell)

    def listen(self) -> None:
        """Begin to read what is told, where that was put off."""
        self._listening.set()

    def _read(self) -> None:
        self._listening.wait()
        with os.fdopen(self._told, "rb") as file:
            self._lines.extend(file)

    def end(self) -> None:
        """Stop the world, and wait until it has told everything."""
        if self._ended:
            return
        self._ended = True
        self.listen()
        os.close(self._stop)
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        for end in (self._table, *self._sockets):
            end.close()
        os.close(self._stopped)

    def messages(self) -> list[Message]:
        self.end()
        return [_DECODER.decode(line) for line in self._lines]

    def met(self) -> list[Met]:
        """Return the meetings in the order of their beginnings."""
        return sorted((each for each in self.messages() if isinstance(each, Met)), key=lambda met: met.at)

    def only(self) -> Met:
        """Return the one meeting that there was."""
        (met,) = self.met()
        assert not self.troubles()
        return met

    def named(self) -> dict[str, tuple[str, ...]]:
        return {each.name: each.addresses for each in self.messages() if isinstance(each, Named)}

    def inquiries(self) -> list[Inquiry]:
        return [each for each in self.messages() if isinstance(each, Inquiry)]

    def troubles(self) -> list[str]:
        return [each.reason for each in self.messages() if isinstance(each, Trouble)]

    def dial(self) -> socket.socket:
        """Connect in clear."""
        return socket.create_connection(self.tcp, 10)

    def dial_secure(self, name: str, *protocols: str) -> ssl.SSLSocket:
        """Connect with TLS, trusting the world."""
        context = trusting()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context.wrap_socket(self.dial(), server_hostname=name)
