"""One conversation with a destination, of which everything is bounded: the whole time, and the bytes that come back.

The protocol libraries are given it in place of a socket, so that they never dial, look a name up or ask a proxy.
"""

from __future__ import annotations

import errno
import fcntl
import io
import socket
import struct
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from airgap_check.alerts.failure import DeliveryError
from airgap_check.probes import dial

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from types import TracebackType

    from _typeshed import WriteableBuffer

    from airgap_check.address import Address
    from airgap_check.alerts.settings import Goal

_MOST_BYTES = 1 << 18  # of an answer that nobody wants to read
_FAREWELL = 2.0  # seconds until the other side must have said that it has everything


class Way(NamedTuple):
    """A destination, its approved addresses, and the time.monotonic() by which it must be done."""

    goal: Goal
    addresses: Sequence[Address]
    until: float


class Line:
    """A connected socket with a deadline; used as a context, it is closed for good at the end."""

    def __init__(self, end: socket.socket, until: float) -> None:
        self._end = end
        self._until = until
        self._left = _MOST_BYTES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.close()

    def close(self) -> None:
        """Do nothing: libraries close early what is still being read."""

    def sendall(self, data: bytes) -> None:
        """Send everything. Raises OSError."""
        self._hurry()
        self._end.sendall(data)

    def receive_into(self, buffer: WriteableBuffer) -> int:
        """Receive some bytes; 0 at the end. Raises OSError, also for one that says too much."""
        self._hurry()
        count = self._end.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, "it says too much")
        return count

    def makefile(self, _mode: str = "rb", *_: object) -> io.BufferedReader:
        """Return it as a file to read from."""
        return io.BufferedReader(_Reader(self))

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Put TLS on it; the certificate must be for the host. Raises `DeliveryError`."""
        import ssl

        self._hurry()
        try:
            self._end = context.wrap_socket(self._end, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(f"its certificate is not accepted: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise DeliveryError(
                f"TLS failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}"
            ) from error
        except (OSError, ValueError) as error:
            raise DeliveryError(f"TLS failed: {reason(error)}") from error

    def finish(self) -> None:
        """Say that this was all, and make sure that the other machine has it. Raises OSError where that is unknown.

        Most receivers answer the end by ending too. Of one that does not, its kernel has acknowledged every byte.
        """
        self._until = min(self._until, time.monotonic() + _FAREWELL)
        with suppress(TimeoutError):
            self._end_sending()
            while self.receive_into(bytearray(4096)):
                pass
            return
        if _unacknowledged(self._end):
            raise TimeoutError(errno.ETIMEDOUT, "it has not acknowledged everything")

    def assert_taken(self, seconds: float) -> None:
        """Wait for word that nobody listens, which is all that a datagram's way can tell. Raises OSError."""
        self._end.settimeout(max(0.001, min(seconds, self._until - time.monotonic())))
        with suppress(TimeoutError):
            self._end.recv(1)

    def _end_sending(self) -> None:
        import ssl

        self._hurry()
        if isinstance(self._end, ssl.SSLSocket):
            with suppress(ssl.SSLError):  # what it still had to say interests nobody
                self._end = self._end.unwrap()
        self._end.shutdown(socket.SHUT_WR)

    def _hurry(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "it took too long")
        self._end.settimeout(left)


class _Reader(io.RawIOBase):
    def __init__(self, line: Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._line.receive_into(buffer)


def connect(way: Way) -> Line:
    """Dial the addresses of a destination, one after the other. Raises `DeliveryError` where none is reached."""
    kind = socket.SOCK_DGRAM if way.goal.protocol == "udp" else socket.SOCK_STREAM
    failures = []
    for index, address in enumerate(way.addresses):
        now = time.monotonic()
        until = now + max(0.001, way.until - now) / (len(way.addresses) - index)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        try:
            end = socket.socket(family, kind | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise DeliveryError(reason(error)) from error
        dialled = dial.reach(end, address, way.goal.port, until=until)
        if dialled.fate == "connected":
            return Line(end, way.until)
        end.close()
        failures.append(f"{address} {dialled.fate}: {dialled.detail}")
    raise DeliveryError("; ".join(failures))


def trust(ca_file: str | None) -> ssl.SSLContext:
    """Make a client's context: TLS 1.2 or later, the named authorities alone, or else the system's.

    Raises `DeliveryError`. `ssl.create_default_context` would write keys where the environment says.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    except ssl.SSLError as error:
        raise DeliveryError(f"{ca_file}: holds no certificates (PEM)") from error
    except (OSError, ValueError) as error:
        raise DeliveryError(f"{ca_file}: {reason(error)}") from error
    return context


def reason(error: Exception) -> str:
    """Say what went wrong in words of this system, and nothing that the other side has chosen."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    return getattr(error, "strerror", None) or type(error).__name__


def _unacknowledged(end: socket.socket) -> bool:
    """Tell whether the peer's kernel has yet to acknowledge bytes (tcp(7), SIOCOUTQ); our FIN does not count."""
    waiting = bytearray(4)
    fcntl.ioctl(end.fileno(), termios.TIOCOUTQ, waiting)
    unsent: int = struct.unpack("=i", waiting)[0]
    return unsent > 1
