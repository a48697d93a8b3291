"""What a QUIC client sends first, made by aioquic: whole hellos of its own, and Initial packets of ours."""

from __future__ import annotations

from functools import lru_cache

from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType, QuicProtocolVersion, encode_long_header_first_byte

V1, V2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2
_LEAST = 1200
_TAG = 16


@lru_cache(maxsize=1024)
def real(name: str, version: int = V1) -> list[bytes]:
    """Return the first datagrams of a client that wants to speak HTTP/3 to a name."""
    configuration = QuicConfiguration(
        alpn_protocols=["h3"], is_client=True, server_name=name, supported_versions=[version], original_version=version
    )
    connection = QuicConnection(configuration=configuration)
    connection.connect(("192.0.2.1", 443), now=0.0)
    return [bytes(datagram) for datagram, _ in connection.datagrams_to_send(now=0.0)]


def initial(frames: bytes, number: int = 0, version: int = V1, target: bytes = b"\1\2\3\4\5\6\7\x08") -> bytes:
    """Return a datagram with one Initial packet that holds some frames."""
    frames += bytes(max(0, _LEAST - 50 - len(frames)))
    head = Buffer(capacity=64)
    head.push_uint8(encode_long_header_first_byte(version, QuicPacketType.INITIAL, 1))
    head.push_uint32(version)
    head.push_uint8(len(target))
    head.push_bytes(target)
    head.push_uint8(0)
    head.push_uint_var(0)
    head.push_uint16(len(frames) + 2 + _TAG | 0x4000)
    head.push_uint16(number)
    keys = CryptoPair()
    keys.setup_initial(target, is_client=True, version=version)
    return bytes(keys.encrypt_packet(head.data, frames, number))


def crypto(offset: int, data: bytes) -> bytes:
    """Return a CRYPTO frame (RFC 9000 19.6)."""
    frame = Buffer(capacity=len(data) + 16)
    frame.push_uint_var(6)
    frame.push_uint_var(offset)
    frame.push_uint_var(len(data))
    return bytes(frame.data) + data
