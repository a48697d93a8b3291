"""How the messages begin that name somebody: a ClientHello, a request of HTTP, an Initial of QUIC."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airgap_check.dissect.packet import Packet

HANDSHAKE, TLS_MAJOR, CLIENT_HELLO = 0x16, 3, 1  # RFC 8446 5.1, 4
METHODS = tuple(  # as they begin: the four bytes that are compared first
    method.encode()[:4]
    for method in ("GET ", "POST", "HEAD", "PUT ", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI ")
)
QUIC_PORTS = frozenset({443, 853})
QUIC_VERSIONS = (b"\0\0\0\1", b"\x6b\x33\x43\xcf")  # RFC 9000, RFC 9369
LONG_HEADER = 0xC0  # with the fixed bit
_CERTAIN = 6  # bytes that tell a hello from what begins with the same byte by chance


def begins_hello(payload: bytes) -> bool:
    """Tell whether a TCP segment may be the beginning of a ClientHello."""
    size = len(payload)
    return (
        size > 0
        and payload[0] == HANDSHAKE
        and (size < 2 or payload[1] == TLS_MAJOR)
        and (size < 6 or payload[5] == CLIENT_HELLO)
    )


def unfinished(payload: bytes) -> bool:
    """Tell whether a ClientHello goes on after the segment in which it begins, in this record or the next."""
    if len(payload) < 9:
        return True
    record, message = int.from_bytes(payload[3:5], "big"), int.from_bytes(payload[6:9], "big")
    return message + 9 > len(payload) or message + 4 > record


def begins_quic(packet: Packet) -> bool:
    """Tell whether a datagram looks like the beginning of QUIC: a long header, of a known version or on its ports."""
    payload = packet.payload
    if len(payload) < 5 or payload[0] & LONG_HEADER != LONG_HEADER:
        return False
    version = payload[1:5]
    known = version in QUIC_VERSIONS
    return known or (any(version) and packet.target_port in QUIC_PORTS)


class Begun(NamedTuple):
    """A hello that has not ended: the first bytes of it, which may have come one by one, and where they began."""

    head: bytes
    sequence: int
    segments: int
    time: int

    @classmethod
    def of(cls, packet: Packet, time: int) -> Begun:
        """Begin with a segment."""
        return cls(packet.payload[:_CERTAIN], packet.sequence, 1, time)

    @property
    def certain(self) -> bool:
        """Tell whether enough has come to call it a hello: what it is stands in the sixth byte."""
        return len(self.head) >= _CERTAIN

    def and_then(self, sequence: int, payload: bytes) -> Begun:
        """Count a segment, and add it where the head lacks it."""
        follows = sequence == self.sequence + len(self.head) & 0xFFFFFFFF
        head = (self.head + payload)[:_CERTAIN] if follows else self.head
        return Begun(head, self.sequence, self.segments + 1, self.time)
