"""Reads how a connection opens: who calls whom, and whom the client says that it wants to speak to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.dissect import encrypted_dns, http
from airgap_check.dissect.hello import UNKNOWABLE, Hello, Hellos, opens
from airgap_check.dissect.quic import Initials
from airgap_check.evidence import Connection, Request
from airgap_check.observers.sightings import Recent
from airgap_check.redact import printable

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from airgap_check.dissect.packet import Packet
    from airgap_check.evidence import Hidden, Protocol
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.sightings import Moment, Sightings

    Flow: TypeAlias = tuple[int, bytes, int, bytes, int]  # namespace, source and port, target and port

_FLOWS = 1 << 15  # told apart from one another, so that what is sent twice counts once
_UNFINISHED = 4096
_PATIENCE = 2.0  # seconds until a hello whose end never came is given up
_HEAD, _TELLING = 6, 3  # bytes by which a hello is known: all that tell, and enough to say that it is one
_TCP, _UDP = 6, 17
_SERVERS = frozenset({443, 784, 853, 8443, 8853})  # ports that QUIC is served at


class _Unfinished(NamedTuple):
    """A hello that waits for its rest: since when (monotonic), its first packet, and its first bytes.

    The packet is kept without its payload. ``head`` is empty for QUIC, where what was decrypted is a hello.
    """

    since: float
    at: Moment
    packet: Packet
    head: bytes


class Openings:
    """The connections and requests of all observed namespaces. ``flows`` and ``requests`` count what was seen."""

    def __init__(self, sightings: Sightings, identity: Identity) -> None:
        self.flows = self.requests = 0
        self._sightings = sightings
        self._identity = identity
        self._recent = Recent(_FLOWS)
        self._hellos = Hellos()
        self._initials = Initials()
        self._unfinished: dict[Flow, _Unfinished] = {}

    def connect(self, netns: int, at: Moment, packet: Packet, protocol: Protocol, number: int = 0) -> None:
        """Note that a connection begins; ``number`` tells the flows of the same ends apart."""
        flow = flow_of(netns, packet)
        if not self._recent.is_new((protocol, flow, number)):
            return
        self.flows += 1
        port = packet.target_port or None
        key = netns, "connection", protocol, packet.source, packet.target, port
        if self._sightings.again(key, at):
            return
        connection = Connection(
            netns=netns,
            protocol=protocol,
            state="packet",
            direction="outbound",
            local=self._identity.end(netns, packet.source),
            remote=self._identity.end(netns, packet.target, port, datagram=protocol != "tcp"),
            ownerless=True,
            seen="traffic",
        )
        self._sightings.add(key, at, connection)

    def speak(self, netns: int, at: Moment, packet: Packet, now: float, *, again: bool) -> None:
        """Read what a client says over TCP; with ``again``, a hello that does not end here will come once more."""
        flow, payload = flow_of(netns, packet), packet.payload
        if payload[0] == 0x16:
            if not (again and _is_unfinished(payload)) and self._recent.is_new(("hello", flow, packet.sequence)):
                self._feed(flow, at, packet, now)
            return
        request = http.request(payload)
        if request is not None and self._recent.is_new(("http", flow, packet.sequence)):
            kind = encrypted_dns.kind(packet.target_port, _TCP, request)
            hidden: Hidden = "encrypted-dns" if kind else "no" if request.complete else "cut"
            self._request(netns, at, packet, kind or "http", request.host, hidden)

    def go_on(self, netns: int, at: Moment, packet: Packet, now: float) -> None:
        """Read a segment of a hello that is split over several, or what follows it."""
        flow, payload = flow_of(netns, packet), packet.payload
        begins = payload[0] == 0x16 and _is_unfinished(payload)
        if flow in self._unfinished or (begins and self._recent.is_new(("hello", flow, packet.sequence))):
            self._feed(flow, at, packet, now)

    def datagram(self, netns: int, at: Moment, packet: Packet, now: float) -> None:
        """Read a QUIC Initial, or what else goes to the port of DNS over QUIC."""
        flow, payload = flow_of(netns, packet), packet.payload
        if _answers(packet):
            return
        self.connect(netns, at, packet, "udp")
        if not payload or payload[0] & 0xC0 != 0xC0:
            kind = encrypted_dns.kind(packet.target_port, _UDP)
            if kind and self._recent.is_new(("request", flow)):
                self._request(netns, at, packet, kind, None, "encrypted-dns")
            return
        said, first = self._initials.feed(flow, payload), self._recent.is_new(("initial", flow))
        if said is not None:
            self._said(flow, at, packet, said)
        elif first:
            self._await(flow, at, packet, now, b"")

    def _feed(self, flow: Flow, at: Moment, packet: Packet, now: float) -> None:
        """Add a segment to the hello that it is of."""
        said = self._hellos.feed(flow, packet.sequence, packet.payload)
        if said is not None:
            self._said(flow, at, packet, said)
            return
        known = self._unfinished.get(flow)
        head = ((known.head if known else b"") + packet.payload[:_HEAD])[:_HEAD]
        if opens(head):
            self._await(flow, at, packet, now, head)
        else:
            self._unfinished.pop(flow, None)  # a first byte like that of a hello was all that it had in common

    def give_up(self, now: float) -> None:
        """Report the hellos whose end has not come in time: whom they are for is not known."""
        late = [flow for flow, unfinished in self._unfinished.items() if unfinished.since < now - _PATIENCE]
        for flow in late:
            self._cut(flow)

    def _await(self, flow: Flow, at: Moment, packet: Packet, now: float, head: bytes) -> None:
        """Wait for the rest of a hello, for some seconds from its beginning on."""
        known = self._unfinished.get(flow)
        if known is None and len(self._unfinished) >= _UNFINISHED:
            self._cut(next(iter(self._unfinished)))
        self._unfinished[flow] = (
            known._replace(head=head) if known else _Unfinished(now, at, packet._replace(payload=b""), head)
        )

    def _cut(self, flow: Flow) -> None:
        """Report a hello whose rest did not come, unless too little of it did to tell that it is one."""
        _, at, packet, head = self._unfinished[flow]
        if packet.protocol == _UDP or len(head) >= _TELLING:
            self._said(flow, at, packet, UNKNOWABLE)
        else:
            del self._unfinished[flow]

    def _said(self, flow: Flow, at: Moment, packet: Packet, said: Hello) -> None:
        """Note whom a client named in a hello."""
        self._unfinished.pop(flow, None)
        source: Literal["tls", "quic"] = "tls" if packet.protocol == _TCP else "quic"
        kind = encrypted_dns.kind(packet.target_port, packet.protocol, said)
        hidden: Hidden = "encrypted-dns" if kind else "ech" if said.ech else "no" if said.complete else "cut"
        self._request(flow[0], at, packet, kind or source, said.name, hidden)

    def _request(  # noqa: PLR0917 - the fields of one fact
        self,
        netns: int,
        at: Moment,
        packet: Packet,
        source: Literal["tls", "quic", "http", "dot", "doq", "doh"],
        name: str | None,
        hidden: Hidden,
    ) -> None:
        self.requests += 1
        key = netns, "request", source, name, hidden, packet.source, packet.target, packet.target_port
        if self._sightings.again(key, at):
            return
        request = Request(
            netns=netns,
            source=source,
            name=printable(name) if name is not None else None,
            hidden=hidden,
            protocol="tcp" if packet.protocol == _TCP else "udp",
            remote=self._identity.end(netns, packet.target, packet.target_port, datagram=packet.protocol != _TCP),
            seen="traffic",
        )
        self._sightings.add(key, at, request)


def flow_of(netns: int, packet: Packet) -> Flow:
    """Return what names one direction of a connection."""
    return netns, packet.source, packet.source_port, packet.target, packet.target_port


def _is_unfinished(payload: bytes) -> bool:
    """Tell whether a ClientHello that begins here goes on in the next segment: by what the kernel's program asks."""
    return len(payload) < 9 or len(payload) < 9 + int.from_bytes(payload[6:9], "big")


def _answers(packet: Packet) -> bool:
    """Tell whether this is a server's Initial, which looks like a client's: by the ports, as nothing else tells."""
    if packet.target_port in _SERVERS:
        return False
    return packet.source_port in _SERVERS or packet.source_port < 1024 <= packet.target_port
