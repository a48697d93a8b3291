"""Turns the packets of a network into facts: which connections begin, what names are asked for, whom clients name."""

from __future__ import annotations

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

_ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
_INIT = 1  # the chunk that opens an association (RFC 9260 3.3.2)
_VERSIONS = {4: IPV4, 6: IPV6}


class Wire:
    """What was seen on the wires of some network namespaces; at most ``limit`` different facts."""

    def __init__(self, identity: Identity, limit: int) -> None:
        self.undissected = 0
        self.sightings = Sightings(limit)
        self._openings = Openings(self.sightings, identity)
        self._dialogue = Dialogue(self.sightings, identity)
        self._streams = dns.Streams()

    def take(self, netns: int, frame: Frame, now: float, *, source: Source) -> None:
        """Read a packet; ``now`` is monotonic."""
        # A packet that is still tagged has the tag's number here, although it begins behind the tag.
        ethertype = _VERSIONS.get(frame.data[0] >> 4, frame.ethertype) if frame.data else frame.ethertype
        packet = dissect(ethertype, frame.data)
        if packet is None:
            self.undissected += 1
            return
        at = frame.seconds, frame.nanoseconds
        leaves = frame.kind == OUTGOING
        if source == "hello":
            if packet.protocol == TCP and packet.payload:
                self._openings.go_on(netns, at, packet, now)
        elif packet.protocol == TCP:
            self._tcp(netns, at, packet, now, leaves=leaves, again=source == "rest")
        elif packet.protocol == UDP:
            self._udp(netns, at, packet, now, leaves=leaves)
        elif leaves and packet.payload:
            self._other(netns, at, packet)

    def settle(self, now: float) -> None:
        """Say what has waited too long for its rest; ``now`` is monotonic, infinity where nothing more comes."""
        self._openings.give_up(now)

    def counts(self) -> dict[str, int]:
        """Return how much of each kind was seen."""
        return {
            "flows": self._openings.flows,
            "questions": self._dialogue.questions,
            "answers": self._dialogue.answers,
            "requests": self._openings.requests,
            "undissected": self.undissected + self._streams.lost,
        }

    def _tcp(self, netns: int, at: Moment, packet: Packet, now: float, *, leaves: bool, again: bool) -> None:
        begins = packet.flags & (SYN | ACK) == SYN
        if begins and leaves:
            self._openings.connect(netns, at, packet, "tcp", packet.sequence)
        if 53 in {packet.source_port, packet.target_port}:
            self._stream(netns, at, packet, leaves=leaves)
        elif packet.payload and leaves:
            if begins:  # Fast Open: the first byte has the number after that of the SYN
                packet = packet._replace(sequence=packet.sequence + 1 & 0xFFFFFFFF)
            self._openings.speak(netns, at, packet, now, again=again and not begins)

    def _stream(self, netns: int, at: Moment, packet: Packet, *, leaves: bool) -> None:
        flow, sequence = flow_of(netns, packet), packet.sequence
        if packet.flags & SYN:
            sequence = sequence + 1 & 0xFFFFFFFF
            self._streams.begin(flow, sequence)
        if packet.payload:
            for message in self._streams.feed(flow, sequence, packet.payload):
                self._message(netns, at, packet, message, leaves=leaves)

    def _udp(self, netns: int, at: Moment, packet: Packet, now: float, *, leaves: bool) -> None:
        if packet.source_port in PORTS or packet.target_port in PORTS:
            message = dns.parse(packet.payload)
            if message is None:
                self.undissected += 1
            else:
                self._message(netns, at, packet, message, leaves=leaves)
        elif leaves:
            self._openings.datagram(netns, at, packet, now)

    def _message(self, netns: int, at: Moment, packet: Packet, message: dns.Message, *, leaves: bool) -> None:
        if leaves or message.response:
            self._dialogue.hear(netns, at, packet, message)

    def _other(self, netns: int, at: Moment, packet: Packet) -> None:
        first = packet.payload[0]
        if packet.protocol in _ECHO_REQUEST and first == _ECHO_REQUEST[packet.protocol]:
            identifier = int.from_bytes(packet.payload[4:6], "big")
            self._openings.connect(netns, at, packet, "icmp", identifier)
        elif packet.protocol == SCTP and first == _INIT:
            self._openings.connect(netns, at, packet, "raw")
