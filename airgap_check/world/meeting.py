"""What those who answer for the world tell: names that they gave an address to, who asked, and whom they have met.

One JSON object a line, on a pipe that the rehearsal reads. Times are CLOCK_MONOTONIC in nanoseconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from airgap_check.evidence.rehearsed import Spoken


class Named(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="named"):
    """A name was asked for the first time, and has these addresses from now on; none in a world of NXDOMAIN."""

    at: int
    name: str
    addresses: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request within a connection: *POST /v1/metrics?token=…*, and the authority that it was for."""

    at: int
    line: str
    name: str | None = None


class Met(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="met"):
    """A connection, or the datagrams from one port to one place, that has ended.

    ``address`` and ``port`` are where the client wanted to go, ``source`` the port that it came from. ``opening`` is
    what it said first, escaped, cut and redacted. ``name`` is the SNI, or else the Host of the first request.
    A request for a proxy (CONNECT, SOCKS, absolute form) or a DNS question over an encrypted channel stands in
    ``requests``.
    """

    at: int
    until: int
    protocol: Literal["tcp", "udp"]
    source: int
    address: str
    port: int
    spoken: Spoken = "nothing"
    encrypted: bool = False
    name: str | None = None
    requests: tuple[Asked, ...] = ()
    opening: str = ""
    ended: str = ""
    sent: int = 0
    received: int = 0


class Inquiry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="inquiry"):
    """The resolver was asked for a name by a socket with this ``cookie``; told once for each name, type and socket.

    The name is as in evidence: in lower case, without the last dot.
    """

    at: int
    type: str
    name: str
    cookie: int


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="trouble"):
    """Something that those who answer could not do or not keep: the evidence is partial for this reason."""

    reason: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ended"):
    """All has been told; without this last line, nobody knows what is missing."""


Message = Named | Met | Inquiry | Trouble | Ended


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """How the world is to be: *accept*, *nxdomain*, *drop* or *reject*.

    ``through`` maps *name* or *name:port* to *host:port* of a real service on this machine. ``trusted`` is False where
    the client shall not trust the world's certificates.
    """

    world: Literal["accept", "nxdomain", "drop", "reject"] = "accept"
    through: dict[str, str] = {}
    trusted: bool = True
