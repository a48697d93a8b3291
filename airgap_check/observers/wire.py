"""Turns the packets of a network into facts: which connections begin, what names are asked for, whom clients name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airgap_check.dissect import dns
from airgap_check.dissect.packet import ACK, ICMP, ICMPV6, IPV4, IPV6, SCTP, SYN, TCP, UDP, dissect
from airgap_check.kernel.packet import OUTGOING
from airgap_check.observers.dialogue import PORTS, Dialogue
from airgap_check.observers.opening import Openings, flow_of
from airgap_check.observers.sightings import Sightings

if TYPE_CHECKING:
    from airgap_check.dissect.packet import Packet
    from airgap_check.kernel.packet import Frame
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.lookout import Source
    from airgap_check.observers.sightings import Moment

_DNS = 53
_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
_INIT = 1  # the chunk that opens an association (RFC 9260 3.3.2)
_VERSIONS = {4: IPV4, 6: IPV6}


class Wire:
    """What was seen on the wires of some network namespaces, ``own`` being ours; at most ``limit`` different facts."""

    def __init__(self, identity: Identity, limit: int, own: int) -> None:
        self.sightings = Sightings(limit)
        self._openings = Openings(self.sightings, identity)
        self._dialogue = Dialogue(self.sightings, identity, own)
        self._asking, self._answering = dns.Streams(), dns.Streams()
        self._undissected = self._unread = 0

    def take(self, netns: int, frame: Frame, now: float, *, source: Source) -> None:
        """Read a packet; ``now`` is monotonic."""
        # A packet that is still tagged has the tag's number here, although it begins behind the tag.
        ethertype = _VERSIONS.get(frame.data[0] >> 4, frame.ethertype) if frame.data else frame.ethertype
        packet = dissect(ethertype, frame.data)
        if packet is None:
            self._undissected += 1
            return
        at = frame.seconds, frame.nanoseconds
        leaves = frame.kind == OUTGOING
        if source == "hello":
            if packet.protocol == TCP and packet.payload:
                self._openings.go_on(netns, at, packet, now)
        elif packet.protocol == TCP:
            self._tcp(netns, frame, packet, now, again=source == "rest")
        elif packet.protocol == UDP:
            self._udp(netns, frame, packet, now)
        elif leaves and packet.payload:
            self._other(netns, at, packet)

    def settle(self, now: float) -> None:
        """Say what has waited too long for its rest; ``now`` is monotonic, infinity where nothing more comes."""
        self._openings.give_up(now)
        if now == math.inf:
            self._asking.close()
            self._answering.close()

    @property
    def unread(self) -> int:
        """Return how many messages to name servers could not be read: each may have asked for any name."""
        return self._unread + self._asking.lost

    def counts(self) -> dict[str, int]:
        """Return how much of each kind was seen."""
        return {
            "flows": self._openings.flows,
            "questions": self._dialogue.questions,
            "answers": self._dialogue.answers,
            "requests": self._openings.requests,
            "undissected": self._undissected + self._answering.lost + self.unread,
        }

    def _tcp(self, netns: int, frame: Frame, packet: Packet, now: float, *, again: bool) -> None:
        at, leaves = (frame.seconds, frame.nanoseconds), frame.kind == OUTGOING
        begins = packet.flags & (SYN | ACK) == SYN
        if begins and leaves:
            self._openings.connect(netns, at, packet, "tcp", packet.sequence)
        if _DNS in {packet.source_port, packet.target_port}:
            self._stream(netns, frame, packet)
        elif packet.payload and leaves:
            if begins:  # Fast Open: the first byte has the number after that of the SYN
                packet = packet._replace(sequence=packet.sequence + 1 & 0xFFFFFFFF)
            self._openings.speak(netns, at, packet, now, again=again and not begins)

    def _stream(self, netns: int, frame: Frame, packet: Packet) -> None:
        asks = _asks(frame, packet)
        streams = self._asking if asks else self._answering
        flow, sequence = flow_of(netns, packet), packet.sequence
        if packet.flags & SYN:
            sequence = sequence + 1 & 0xFFFFFFFF
            streams.begin(flow, sequence)
        for message in streams.feed(flow, sequence, packet.payload):
            self._message(netns, frame, packet, message)
        self._unread += asks and packet.truncated

    def _udp(self, netns: int, frame: Frame, packet: Packet, now: float) -> None:
        if packet.source_port in PORTS or packet.target_port in PORTS:
            message = dns.parse(packet.payload)
            if message is not None:
                self._message(netns, frame, packet, message)
            elif _asks(frame, packet):
                self._unread += 1
            else:
                self._undissected += 1
        elif frame.kind == OUTGOING:
            self._openings.datagram(netns, (frame.seconds, frame.nanoseconds), packet, now)

    def _message(self, netns: int, frame: Frame, packet: Packet, message: dns.Message) -> None:
        if _asks(frame, packet) and not (message.response and _is_answer(packet)):
            self._unread += message.truncated
            message = message._replace(response=False)
        if message.response or frame.kind == OUTGOING:
            self._dialogue.hear(netns, frame, packet, message)

    def _other(self, netns: int, at: Moment, packet: Packet) -> None:
        first = packet.payload[0]
        if packet.protocol in _ECHO_REQUEST and first == _ECHO_REQUEST[packet.protocol]:
            identifier = int.from_bytes(packet.payload[4:6], "big")
            self._openings.connect(netns, at, packet, "icmp", identifier)
        elif packet.protocol == SCTP and first == _INIT:
            self._openings.connect(netns, at, packet, "raw")


def _asks(frame: Frame, packet: Packet) -> bool:
    """Tell whether this goes to a name server."""
    return frame.kind == OUTGOING and packet.target_port == _DNS


def _is_answer(packet: Packet) -> bool:
    """Tell whether what goes to a name server, and says that it is an answer, is one: to one who asks from that port.

    Over TCP nobody does, and there are name servers that read it as a question.
    """
    return packet.source_port == _DNS and packet.protocol == UDP
