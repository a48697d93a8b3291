"""A capture as a busy host has it: names, TLS, QUIC, HTTP, pings, what is lost and sent again, all at the same time."""

from __future__ import annotations

import struct
from itertools import zip_longest
from typing import TYPE_CHECKING

from tests.unit.captures import initials, wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedWriter

    from tests.unit.captures.wire import End

_AT_ONCE = 16  # conversations that overlap
_EXCHANGES = 22  # of data and its acknowledgement, in each connection
_DATA = 700  # bytes in a segment
_SEGMENT = 1300
_CLIENTS, _HOSTS, _RESOLVERS = 400, 7000, 5
_STEP = 20  # microseconds between packets


def make(file: BufferedWriter, connections: int) -> int:
    """Write a capture and return how many packets it has; some 50 a connection."""
    file.write(wire.pcap([]))
    count = 0
    for first in range(0, connections, _AT_ONCE):
        together = [_frames(number) for number in range(first, min(first + _AT_ONCE, connections))]
        for frame in (frame for turn in zip_longest(*together) for frame in turn if frame):
            seconds, rest = divmod(count * _STEP, 1_000_000)
            file.write(struct.pack("<IIII", 1_790_000_000 + seconds, rest, len(frame), len(frame)) + frame)
            count += 1
    return count


def _frames(number: int) -> Iterator[bytes]:
    link = "vlan" if number % 9 == 4 else "ethernet"
    return (wire.frame(link, packet) for packet in _conversation(number))


def _conversation(number: int) -> Iterator[bytes]:
    host, client = number % _HOSTS, number % _CLIENTS
    is_v6 = host % 12 == 0
    inside, outside = f"10.1.{client >> 8}.{client & 255}", f"198.18.{host >> 8}.{host & 255}"
    if is_v6:
        inside, outside = f"fd00::1:{client:x}", f"2001:2::{host:x}"
    name, port = f"host{host}.bank.example", 32768 + number % 28000
    if number % 30 == 11:
        yield from _asked(number, f"missing{number % 50}.example.com", None)
    yield from _asked(number, name, outside, "" if host % 5 else f"edge{host}.cdn.example")
    ours, peer = (inside, port), (outside, 443)
    if number % 50 == 17:
        yield from _unreachable(inside, outside)
    if number % 40 == 20:
        yield from _quic(ours, peer, name)
    elif number % 25 == 13:
        yield wire.tcp(ours, peer, wire.SYN, sequence=999)
        yield wire.tcp(peer, ours, wire.RESET, sequence=0)
    elif number % 50 == 33:
        request = f"GET /path?secret=1 HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\n\r\n".encode()
        yield from _stream(ours, (outside, 80), [request], b"HTTP/1.1 200 OK\r\n\r\n" + bytes(_DATA), again=False)
    else:
        hello = wire.client_hello(name, padding=1700 if number % 7 == 3 else 200)
        pieces = [hello[begin : begin + _SEGMENT] for begin in range(0, len(hello), _SEGMENT)]
        data = b"\x17\x03\x03" + struct.pack(">H", _DATA - 5) + bytes(_DATA - 5)
        yield from _stream(ours, peer, pieces, data, again=number % 10 == 6)
    if number % 100 == 1:
        clock = ("10.0.0.123", 123)
        yield wire.udp((f"10.1.0.{client & 255}", 123), clock, b"\x23" + bytes(47))
        yield wire.udp(clock, (f"10.1.0.{client & 255}", 123), b"\x24" + bytes(47))


def _asked(number: int, name: str, address: str | None, alias: str = "") -> Iterator[bytes]:
    """Ask for a name, over UDP or TCP, and be told; no address means that there is no such name."""
    ours, resolver = ("10.1.0.2", 20000 + number % 40000), (f"10.200.{number % _RESOLVERS}.1", 53)
    kind = 28 if address and ":" in address else 1
    question = wire.query(name, number & 0xFFFF, kind)
    told = wire.answer(
        name, *([address] if address else []), number=number & 0xFFFF, code=0 if address else 3, cname=alias, kind=kind
    )
    if number % 16 == 7:
        framed, answered = (struct.pack(">H", len(message)) + message for message in (question, told))
        yield from _opened(ours, resolver)
        yield wire.tcp(ours, resolver, wire.PUSH, framed)
        yield wire.tcp(resolver, ours, wire.PUSH, answered, 5000)
    else:
        yield wire.udp(ours, resolver, question)
        yield wire.udp(resolver, ours, told)


def _opened(ours: End, peer: End) -> Iterator[bytes]:
    yield wire.tcp(ours, peer, wire.SYN, sequence=999)
    yield wire.tcp(peer, ours, wire.SYN_ACK, sequence=4999)
    yield wire.tcp(ours, peer, wire.ACK)


def _stream(ours: End, peer: End, said: list[bytes], data: bytes, *, again: bool) -> Iterator[bytes]:
    """Connect, say something, and be sent data; with ``again`` one packet of each kind gets lost behind the capture."""
    if again:
        yield wire.tcp(ours, peer, wire.SYN, sequence=999)
    yield from _opened(ours, peer)
    sequence = 1000
    for piece in said:
        for _ in range(1 + again):
            yield wire.tcp(ours, peer, wire.PUSH, piece, sequence)
        sequence += len(piece)
        yield wire.tcp(peer, ours, wire.ACK, b"", 5000)
    answered = 5000
    for _ in range(_EXCHANGES):
        yield wire.tcp(peer, ours, wire.PUSH, data, answered)
        answered += len(data)
        yield wire.tcp(ours, peer, wire.ACK, b"", sequence)
    if again:
        yield wire.tcp(peer, ours, wire.PUSH, data, answered - len(data))


def _quic(ours: End, peer: End, name: str) -> Iterator[bytes]:
    for datagram in initials.real(name):
        yield wire.udp(ours, peer, datagram)
    for _ in range(_EXCHANGES):
        yield wire.udp(peer, ours, b"\x4e" + bytes(_DATA))
        yield wire.udp(ours, peer, b"\x4e" + bytes(40))


def _unreachable(inside: str, outside: str) -> Iterator[bytes]:
    """Ping somebody, and be told that a datagram did not arrive: it stands in the message."""
    is_v6 = ":" in inside
    yield wire.icmp(inside, outside, 128 if is_v6 else 8)
    yield wire.icmp(outside, inside, 129 if is_v6 else 0)
    yield wire.udp((inside, 33000), (outside, 33434), b"trace")
    carried = wire.udp((inside, 33000), (outside, 33434), b"trace")
    yield wire.ip(
        outside, inside, 58 if is_v6 else 1, struct.pack(">BBHI", *((1, 4) if is_v6 else (3, 3)), 0, 0) + carried
    )
