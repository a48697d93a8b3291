"""What is known so far about one connection, or about the datagrams from one port to one place."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from airgap_check.world.meeting import Asked, Met

if TYPE_CHECKING:
    from typing import Literal

    from airgap_check.address import Address
    from airgap_check.evidence.rehearsed import Spoken

_MOST_REQUESTS = 1000
_LONGEST, _SHOWN = 400, 48  # characters of a line, and of one that stands for the first bytes


def reached(text: str) -> Address:
    """Return the address that a socket names: without the interface, and as IPv4 where it is that."""
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


class Account:
    """What whoever answers writes down; ``met`` is what is told in the end.

    ``sought`` is whom the client speaks to by its own account: the SNI, the target of a tunnel, the Host.
    ``missed`` counts the requests beyond those that are kept.
    """

    __slots__ = (
        "_at", "_protocol", "_requests", "address", "encrypted", "ended", "missed", "name", "opening", "port",
        "received", "sent", "sought", "source", "spoken",
    )  # fmt: skip

    def __init__(self, protocol: Literal["tcp", "udp"], source: int, address: Address, port: int) -> None:
        self._at = time.monotonic_ns()
        self._protocol: Literal["tcp", "udp"] = protocol
        self._requests: list[Asked] | None = None
        self.source, self.address, self.port = source, address, port
        self.spoken: Spoken = "nothing"
        self.encrypted = False
        self.name: str | None = None
        self.sought: str | None = None
        self.opening = self.ended = ""
        self.sent = self.received = self.missed = 0

    def seek(self, name: str | None) -> None:
        """Note whom the client speaks to from here on; the first one is the name of it all."""
        if name:
            self.sought = name
            if self.name is None:
                self.name = name

    def ask(self, line: str, name: str | None = None) -> None:
        """Note a request; the line is printable and without secrets already."""
        if self._requests is None:
            self._requests = []
        if len(self._requests) < _MOST_REQUESTS:
            self._requests.append(Asked(at=time.monotonic_ns(), line=line[:_LONGEST], name=name))
        else:
            self.missed += 1

    @property
    def requests(self) -> tuple[Asked, ...]:
        """Return the requests so far."""
        return tuple(self._requests or ())

    def open_with(self, spoken: Spoken, opening: str = "") -> None:
        """Note what is spoken, and what was said first: within TLS, that. None stands for the line of a request."""
        self.spoken, self.opening = spoken, opening

    def met(self) -> Met:
        """Return the message about it, as of now."""
        return Met(
            at=self._at,
            until=time.monotonic_ns(),
            protocol=self._protocol,
            source=self.source,
            address=str(self.address),
            port=self.port,
            spoken=self.spoken,
            encrypted=self.encrypted,
            name=self.name,
            requests=self.requests,
            opening=self.opening or (self._requests[0].line[:_SHOWN] if self._requests else ""),
            ended=self.ended,
            sent=self.sent,
            received=self.received,
        )
