"""Packets, frames and files of captures, built byte by byte, so that no library under test builds what it reads."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Literal, NamedTuple

SYN, SYN_ACK, ACK, PUSH, RESET = 0x02, 0x12, 0x10, 0x18, 0x14
SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND  # nanoseconds


End = tuple[str, int]  # address and port


class Stamped(NamedTuple):
    """An IP packet and when it passed, in nanoseconds."""

    time: int
    packet: bytes


def ip(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    ends = ip_address(source).packed + ip_address(target).packed
    if len(ends) == 8:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0) + ends + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def tcp(source: End, target: End, flags: int, data: bytes = b"", sequence: int = 1000) -> bytes:
    header = struct.pack(">HHIIBBHHH", source[1], target[1], sequence, 0, 5 << 4, flags, 64000, 0, 0)
    return ip(source[0], target[0], 6, header + data)


def udp(source: End, target: End, data: bytes = b"") -> bytes:
    return ip(source[0], target[0], 17, struct.pack(">HHHH", source[1], target[1], 8 + len(data), 0) + data)


def icmp(source: str, target: str, kind: int) -> bytes:
    return ip(source, target, 1 if "." in source else 58, struct.pack(">BBHHH", kind, 0, 0, 7, 1))


def dns_name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def query(name: str, number: int = 7, kind: int = 1) -> bytes:
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + dns_name(name) + struct.pack(">HH", kind, 1)


def answer(name: str, *addresses: str, number: int = 7, code: int = 0, cname: str = "", kind: int = 1) -> bytes:
    records = b""
    owner = b"\xc0\x0c"
    if cname:
        target = dns_name(cname)
        records += owner + struct.pack(">HHIH", 5, 1, 300, len(target)) + target
        owner = target
    for address in addresses:
        packed = ip_address(address).packed
        records += owner + struct.pack(">HHIH", 1 if len(packed) == 4 else 28, 1, 60, len(packed)) + packed
    count = len(addresses) + bool(cname)
    head = struct.pack(">6H", number, 0x8180 | code, 1, count, 0, 0)
    return head + dns_name(name) + struct.pack(">HH", kind, 1) + records


def client_hello(name: str | None, *, ech: bool = False, padding: int = 0) -> bytes:
    """Return a TLS record with a ClientHello."""
    extensions = b""
    if name is not None:
        host = name.encode()
        extensions += struct.pack(">HHHBH", 0, len(host) + 5, len(host) + 3, 0, len(host)) + host
    if ech:
        extensions += struct.pack(">HH", 0xFE0D, 8) + bytes(8)
    extensions += struct.pack(">HHB", 43, 3, 2) + b"\x03\x04"
    extensions += struct.pack(">HH", 21, padding) + bytes(padding)
    body = (
        b"\x03\x03"
        + bytes(32)
        + b"\0"
        + b"\0\x02\x13\x01"
        + b"\x01\0"
        + struct.pack(">H", len(extensions))
        + extensions
    )
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def connect(client: End, server: End, *said: bytes, time: int = START, accepted: bool = True) -> list[Stamped]:
    """Return the packets of a TCP connection in which the client says something, a segment each."""
    packets = [tcp(client, server, SYN, sequence=999)]
    if accepted:
        packets += [tcp(server, client, SYN_ACK, sequence=4999), tcp(client, server, ACK)]
        sequence = 1000
        for piece in said:
            packets.append(tcp(client, server, PUSH, piece, sequence))
            packets.append(tcp(server, client, ACK, b"", 5000))
            sequence += len(piece)
    return [Stamped(time + place * 1_000_000, packet) for place, packet in enumerate(packets)]


# --- link layers ------------------------------------------------------------------------------------------------------

LINKS: dict[str, int] = {
    "ethernet": 1, "vlan": 1, "qinq": 1, "cooked": 113, "cooked2": 276, "raw": 101, "null": 0, "loop": 108
}  # fmt: skip


def frame(link: str, packet: bytes) -> bytes:
    is_v4 = packet[0] >> 4 == 4
    kind = b"\x08\x00" if is_v4 else b"\x86\xdd"
    heads = {
        "ethernet": bytes(12) + kind,
        "vlan": bytes(12) + b"\x81\x00\x00\x05" + kind,
        "qinq": bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x06" + kind,
        "cooked": bytes(14) + kind,
        "cooked2": kind + bytes(18),
        "raw": b"",
        "null": struct.pack("<I", 2 if is_v4 else 10),
        "loop": struct.pack(">I", 2 if is_v4 else 30),
    }
    return heads[link] + packet


# --- containers -------------------------------------------------------------------------------------------------------

Order = Literal["<", ">"]


def pcap(packets: list[Stamped], link: str = "ethernet", order: Order = "<", *, nano: bool = False) -> bytes:
    unit = 1 if nano else 1000
    data = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKS[link])
    for time, packet in packets:
        whole = frame(link, packet)
        data += struct.pack(order + "IIII", time // SECOND, time % SECOND // unit, len(whole), len(whole)) + whole
    return data


def block(order: Order, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def option(order: Order, number: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", number, len(value)) + value + bytes(-len(value) % 4)


def section(order: Order) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: Order, link: str, resolution: int | None = None, offset: int = 0) -> bytes:
    options = b"" if resolution is None else option(order, 9, bytes([resolution]))
    if offset:
        options += option(order, 14, struct.pack(order + "q", offset))
    return block(order, 1, struct.pack(order + "HHI", LINKS[link], 0, 0) + options + (bytes(4) if options else b""))


def enhanced(order: Order, ticks: int, whole: bytes, number: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(whole), len(whole))
    return block(order, 6, head + whole)


def old(order: Order, ticks: int, whole: bytes, number: int = 0) -> bytes:
    head = struct.pack(order + "HHIIII", number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(whole), len(whole))
    return block(order, 2, head + whole)


def simple(order: Order, whole: bytes) -> bytes:
    return block(order, 3, struct.pack(order + "I", len(whole)) + whole)


def pcapng(packets: list[Stamped], link: str = "ethernet", order: Order = "<", *, nano: bool = False) -> bytes:
    unit = 1 if nano else 1000
    data = section(order) + interface(order, link, 9 if nano else None)
    return data + b"".join(enhanced(order, time // unit, frame(link, packet)) for time, packet in packets)


# --- a little of everything -------------------------------------------------------------------------------------------


def scene() -> list[Stamped]:
    """Return packets of all kinds that say something."""
    client, resolver = "10.0.0.2", ("10.0.0.53", 53)
    hello = client_hello("split.bank.example", padding=300)
    packets = [
        udp((client, 40001), resolver, query("db.bank.example")),
        udp(resolver, (client, 40001), answer("db.bank.example", "10.20.0.5", cname="db1.bank.example")),
        udp((client, 40002), resolver, query("nowhere.example.com")),
        udp(resolver, (client, 40002), answer("nowhere.example.com", code=3)),
        udp(("fd00::2", 40001), ("fd00::53", 53), query("six.bank.example", kind=28)),
        icmp(client, "10.0.0.9", 8),
        icmp("10.0.0.9", client, 0),
        icmp("fd00::2", "fd00::9", 128),
        udp((client, 5353), ("224.0.0.251", 5353), query("printer.local")),
        tcp(("10.0.0.7", 5432), (client, 50000), ACK, b"middle"),
    ]
    stamped = [Stamped(START + place * 2_000_000, packet) for place, packet in enumerate(packets)]
    stamped += connect((client, 41000), ("10.20.0.5", 443), client_hello("db.bank.example"), time=START + SECOND)
    stamped += connect(
        (client, 41001), ("198.51.100.7", 443), hello[:5], hello[5:200], hello[200:], time=START + 2 * SECOND
    )
    stamped += connect((client, 41002), ("8.8.8.8", 443), client_hello("dns.google", ech=True), time=START + 3 * SECOND)
    get = b"GET /secret?token=abc HTTP/1.1\r\nHost: web.bank.example\r\nCookie: x\r\n\r\n"
    stamped += connect((client, 41003), ("10.0.0.80", 80), get, time=START + 4 * SECOND)
    stamped += connect((client, 41004), ("203.0.113.9", 25), time=START + 5 * SECOND, accepted=False)
    stamped += connect(("fd00::2", 41005), ("fd00::80", 443), client_hello("six.bank.example"), time=START + 6 * SECOND)
    message = query("over-tcp.bank.example")
    framed = struct.pack(">H", len(message)) + message
    stamped += connect((client, 41006), resolver, framed[:9], framed[9:], time=START + 7 * SECOND)
    stamped += connect((client, 41007), ("10.0.0.99", 853), client_hello(None), time=START + 8 * SECOND)
    return stamped
