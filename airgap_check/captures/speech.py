"""Finds the names in what packets carry: DNS, TLS, QUIC and HTTP; both ways to read a capture bring their packets here.

Most packets name nobody. Whoever brings only those that `Speech.hear` would look at changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.captures.beginning import (
    METHODS,
    QUIC_PORTS,
    QUIC_VERSIONS,
    Begun,
    begins_hello,
    begins_quic,
    unfinished,
)
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
_MOST_PENDING = 65536
_MOST_SEGMENTS = 64  # of one hello; the longest has 64 KiB


class Speech:
    """What was said so far, across packets; ends in a `Tally`."""

    def __init__(self, tally: Tally) -> None:
        """Tell everything to a tally."""
        self._tally = tally
        self._hellos = Hellos()
        self._initials = Initials()
        self._streams = dns.Streams()
        self.pending: dict[Key, Begun] = {}
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
        begun = waiting.and_then(packet.sequence, payload) if waiting else Begun.of(packet, time)
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

    def _give_up(self, key: Key, begun: Begun) -> None:
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


def _key(packet: Packet) -> Key:
    return packet.source, packet.source_port, packet.target, packet.target_port
