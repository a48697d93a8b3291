"""Packets as they stand on a wire, built by hand: IP, TCP, UDP, hellos of TLS and QUIC, names asked and answered."""

from __future__ import annotations

import hmac
import ssl
import struct
from ipaddress import ip_address

import dns.message
import dns.rcode
import dns.rrset

CLIENT, SERVER, CLIENT6, SERVER6 = "10.0.0.1", "93.184.216.34", "fd00::1", "2606:4700::1111"
FIN, SYN, RESET, PUSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10


def ip4(
    protocol: int, body: bytes, *, options: int = 0, fragment: int = 0, source: str = CLIENT, to: str = SERVER
) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45 + options, 0, 20 + 4 * options + len(body), 7, fragment, 64, protocol, 0)
    return head + ip_address(source).packed + ip_address(to).packed + bytes(4 * options) + body


def ip6(protocol: int, body: bytes, *, source: str = CLIENT6, to: str = SERVER6) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64)
    return head + ip_address(source).packed + ip_address(to).packed + body


def tcp(
    payload: bytes = b"",
    *,
    flags: int = ACK,
    to: int = 443,
    source: int = 40000,
    options: int = 3,
    sequence: int = 1,
) -> bytes:
    ports = struct.pack(">HHII", source, to, sequence & 0xFFFFFFFF, 1)
    return ports + struct.pack(">BBHHH", 5 + options << 4, flags, 0, 0, 0) + bytes(4 * options) + payload


def udp(payload: bytes = bytes(20), *, to: int, source: int = 40000) -> bytes:
    return struct.pack(">HHHH", source, to, 8 + len(payload), 0) + payload


def hello(name: str | None) -> bytes:
    """Return the first flight of a real TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(received, sent, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError


def asked(name: str, kind: str = "A", number: int = 7) -> bytes:
    return dns.message.make_query(name, kind, id=number).to_wire()


def answered(
    name: str,
    *addresses: str,
    chain: tuple[str, ...] = (),
    kind: str = "A",
    number: int = 7,
    code: int = 0,
    ttl: int = 60,
) -> bytes:
    answer = dns.message.make_response(dns.message.make_query(name, kind, id=number))
    answer.set_rcode(dns.rcode.Rcode.make(code))
    owner = f"{name}."
    for target in chain:
        answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", "CNAME", f"{target}."))
        owner = f"{target}."
    if addresses:
        answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", kind, *addresses))
    return answer.to_wire()


def initial(name: str, *, version: int = 1, split: int = 0) -> list[bytes]:
    """Return the datagrams of a QUIC client's first flight; with ``split``, the hello goes on after so many bytes."""
    handshake = hello(name)[5:]
    pieces = [handshake[:split], handshake[split:]] if split else [handshake]
    datagrams, offset = [], 0
    for number, piece in enumerate(pieces):
        datagrams.append(_protected(b"\x06" + _varint(offset) + _varint(len(piece)) + piece, number, version))
        offset += len(piece)
    return datagrams


_TARGET = bytes.fromhex("8394c8f03e515708")
_SALTS = {
    1: ("38762cf7f55934b34d179ae6a4c80cadccbb7f0a", b"quic", 0xC3),
    0x6B3343CF: ("0dede3def700a6db819381be6e269dcbf9bd2ed9", b"quicv2", 0xD3),
}


def _protected(frames: bytes, number: int, version: int) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    salt, label, first = _SALTS[version]
    secret = _expand(hmac.digest(bytes.fromhex(salt), _TARGET, "sha256"), b"client in", 32)
    key, vector, mask = (
        _expand(secret, label + use, size) for use, size in ((b" key", 16), (b" iv", 12), (b" hp", 16))
    )
    frames = frames.ljust(1150, b"\0")
    header = struct.pack(">BIB", first, version, 8) + _TARGET + b"\0\0" + _varint(4 + len(frames) + 16, 2)
    header += number.to_bytes(4, "big")
    nonce = (int.from_bytes(vector, "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, header)
    bits = Cipher(AES(mask), ECB()).encryptor().update(sealed[:16])
    covered = bytes(a ^ b for a, b in zip(header[-4:], bits[1:5], strict=True))
    return bytes([header[0] ^ bits[0] & 15]) + header[1:-4] + covered + sealed


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    label = b"tls13 " + label
    return hmac.digest(secret, size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\1", "sha256")[:size]


def _varint(value: int, size: int = 2) -> bytes:
    return (value | 0x4000).to_bytes(size, "big")
