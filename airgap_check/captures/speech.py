"""Finds the names in what packets carry: DNS, TLS, QUIC and HTTP; both ways to read a capture bring their packets here.

Most packets name nobody. Whoever brings only those that `Speech.hear` would look at changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.captures.tally import Asking, Said, Told
from airgap_check.dissect import dns, encrypted_dns, http
from airgap_check.dissect.hello import Hellos
from airgap_check.dissect.packet import SYN, TCP, UDP
from airgap_check.dissect.quic import Initials

if TYPE_CHECKING:
    from airgap_check.captures.tally import Tally
    from airgap_check.dissect.hello import Hello
    from airgap_check.dissect.http import HttpRequest
    from airgap_check.dissect.packet import Packet
    from airgap_check.evidence import Hidden

Key = tuple[bytes, int, bytes, int]  # one direction of a connection: source and target, address and port

DNS_PORTS: dict[int, Literal["dns", "mdns", "llmnr"]] = {53: "dns", 5353: "mdns", 5355: "llmnr"}
DNS = 53
HANDSHAKE, TLS_MAJOR, CLIENT_HELLO = 0x16, 3, 1  # RFC 8446 5.1, 4
METHODS = tuple(  # as they begin: the four bytes that are compared first
    method.encode()[:4]
    for method in ("GET ", "POST", "HEAD", "PUT ", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI ")
)
QUIC_PORTS = frozenset({443, 853})
QUIC_VERSIONS = (b"\0\0\0\1", b"\x6b\x33\x43\xcf")  # RFC 9000, RFC 9369
LONG_HEADER = 0xC0  # with the fixed bit
_MOST_PENDING = 65536
_MOST_SEGMENTS = 64  # of one hello; the longest has 64 KiB
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


class _Begun(NamedTuple):
    """A hello that has not ended: the first bytes of it, which may have come one by one, and where they began."""

    head: bytes
    sequence: int
    segments: int
    time: int

    @property
    def certain(self) -> bool:
        """Tell whether enough has come to call it a hello: what it is stands in the sixth byte."""
        return len(self.head) >= _CERTAIN

    def and_then(self, sequence: int, payload: bytes) -> _Begun:
        """Count a segment, and add it where the head lacks it."""
        follows = sequence == self.sequence + len(self.head) & 0xFFFFFFFF
        head = (self.head + payload)[:_CERTAIN] if follows else self.head
        return _Begun(head, self.sequence, self.segments + 1, self.time)


class Speech:
    """What was said so far, across packets; ends in a `Tally`."""

    def __init__(self, tally: Tally) -> None:
        """Tell everything to a tally."""
        self._tally = tally
        self._hellos = Hellos()
        self._initials = Initials()
        self._streams = dns.Streams()
        self.pending: dict[Key, _Begun] = {}
        self._quic: dict[Key, int | None] = {}  # clients: the time of the first datagram, None once their hello is read

    def hear(self, packet: Packet, time: int) -> None:
        """Take a packet, in the order of the capture."""
        if packet.protocol == UDP:
            port = packet.target_port if packet.target_port in DNS_PORTS else packet.source_port
            if port in DNS_PORTS:
                self._message(dns.parse(packet.payload), packet, port, time)
            elif begins_quic(packet):
                self._datagram(packet, time)
        elif packet.protocol == TCP:
            if DNS in (packet.source_port, packet.target_port):
                self._stream(packet, time)
            elif packet.payload:
                self._segment(packet, time)

    def close(self) -> None:
        """Say that of hellos which never ended no name will be known."""
        for key, begun in self.pending.items():
            self._give_up(key, begun)
        self.pending.clear()
        for key in list(self._quic):
            self._forget(key)

    # --- DNS ----------------------------------------------------------------------------------------------------------

    def _stream(self, packet: Packet, time: int) -> None:
        key = _key(packet)
        if packet.flags & SYN:
            self._streams.begin(key, packet.sequence + 1 & 0xFFFFFFFF)
        if packet.payload:
            sequence = packet.sequence + bool(packet.flags & SYN) & 0xFFFFFFFF
            for message in self._streams.feed(key, sequence, packet.payload):
                self._message(message, packet, DNS, time)

    def _message(self, message: dns.Message | None, packet: Packet, port: int, time: int) -> None:
        if message is None:
            return
        protocol, tally = DNS_PORTS[port], self._tally
        if not message.response:
            for name, kind in message.questions:
                tally.question(Asking(name, kind, protocol, packet.target, packet.target_port), time)
            return
        given = tuple(sorted({record.address for record in message.addresses}))
        ttl = min((record.ttl for record in message.addresses), default=0)
        for name, kind in message.questions:
            tally.answered(Asking(name, kind, protocol, packet.source, packet.source_port), message.status, time)
            if given or kind in {"A", "AAAA"}:
                tally.answer(Told(name, message.status, message.chain, given, packet.source), ttl, time)
        if not message.questions and protocol == "mdns":
            for record in message.addresses:
                tally.answer(Told(record.owner, "ok", (), (record.address,), packet.source), record.ttl, time)

    # --- TLS, HTTP, QUIC ----------------------------------------------------------------------------------------------

    def _segment(self, packet: Packet, time: int) -> None:
        key, payload = _key(packet), packet.payload
        waiting = self.pending.get(key)
        if waiting is None and not begins_hello(payload):
            if payload[:4] in METHODS and (said := http.request(payload)) is not None:
                self._request("http", said.host, said, packet, time)
            return
        begun = waiting.and_then(packet.sequence, payload) if waiting else _begun(packet, time)
        if not begins_hello(begun.head):
            self.pending.pop(key, None)
            return
        hello = self._hellos.feed(key, packet.sequence, payload)
        if hello is not None:
            self.pending.pop(key, None)
            self._request("tls", hello.name, hello, packet, begun.time)
        elif waiting is None and not unfinished(payload):
            return  # it looks like a hello, and is none
        elif begun.segments >= _MOST_SEGMENTS or (waiting is None and len(self.pending) >= _MOST_PENDING):
            self.pending.pop(key, None)
            self._give_up(key, begun)
        else:
            self.pending[key] = begun

    def _give_up(self, key: Key, begun: _Begun) -> None:
        if begun.certain:
            self._tally.request(Said("tls", None, "cut", TCP, *key[2:]), begun.time)

    def _datagram(self, packet: Packet, time: int) -> None:
        key, back = _key(packet), (packet.target, packet.target_port, packet.source, packet.source_port)
        from_server = packet.source_port in QUIC_PORTS and packet.target_port not in QUIC_PORTS
        if back in self._quic or from_server:
            return
        hello = self._initials.feed(key, packet.payload)
        if hello is not None and hello.complete:
            self._quic[key] = None
            self._request("quic", hello.name, hello, packet, time)
        elif hello is not None or packet.payload[1:5] in QUIC_VERSIONS:
            self._quic.setdefault(key, time)
        if len(self._quic) > _MOST_PENDING:
            self._forget(next(iter(self._quic)))

    def _forget(self, key: Key) -> None:
        began = self._quic.pop(key)
        if began is not None:
            self._tally.request(Said("quic", None, "cut", UDP, *key[2:]), began)

    def _request(
        self,
        source: Literal["tls", "quic", "http"],
        name: str | None,
        said: Hello | HttpRequest,
        packet: Packet,
        time: int,
    ) -> None:
        kind = encrypted_dns.kind(packet.target_port, packet.protocol, said)
        hidden: Hidden = "no"
        if kind:
            hidden = "encrypted-dns"
        elif getattr(said, "ech", False):
            hidden = "ech"
        elif not said.complete:
            hidden = "cut"
        said_to = packet.protocol, packet.target, packet.target_port
        self._tally.request(Said(kind or source, name, hidden, *said_to), time)


def _begun(packet: Packet, time: int) -> _Begun:
    return _Begun(packet.payload[:_CERTAIN], packet.sequence, 1, time)


def _key(packet: Packet) -> Key:
    return packet.source, packet.source_port, packet.target, packet.target_port
