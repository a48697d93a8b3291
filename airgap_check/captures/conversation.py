"""Pairs the packets of both directions, and tells which end began.

Who sent a SYN or an echo request is certain. Without one (the capture began later, or the protocol has none) the ports
and the first packet have to tell, and the certainty says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.dissect.packet import ACK, ICMP, ICMPV6, SYN, TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.dissect.packet import Packet

Certainty = Literal[0, 1, 2]
SURE: Certainty = 0  # an end was seen to begin
GUESSED: Certainty = 1  # the ports tell
UNKNOWN: Certainty = 2

# Signs that one end gives, as bits: it began, it accepted. Those of the higher end are shifted by `HIGHER`.
BEGAN, ACCEPTED = 1, 2
HIGHER = 2
FIRST_IS_HIGHER = 1 << 4  # the higher end sent the first packet

RESERVED, EPHEMERAL = 1024, 32768  # ports below are servers'; ports from here on are clients' (Linux' default range)
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}  # request, reply


class Ends(NamedTuple):
    """A conversation: both ends, the lower (as bytes) first."""

    protocol: int
    low: bytes
    low_port: int
    high: bytes
    high_port: int


class Began(NamedTuple):
    """One flow of a conversation."""

    by_higher: bool
    certainty: Certainty


def sign(packet: Packet) -> int:
    """Return what a packet says of its sender."""
    if packet.protocol == TCP:
        flags = packet.flags & (SYN | ACK)
        return BEGAN if flags == SYN else ACCEPTED if flags == SYN | ACK else 0
    kind = packet.payload[0] if packet.payload else None
    if kind is None or packet.protocol not in _ECHO:
        return 0
    request, reply = _ECHO[packet.protocol]
    return BEGAN if kind == request else ACCEPTED if kind == reply else 0


def began(ends: Ends, signs: int) -> list[Began]:
    """Tell who began; two flows where each end did."""
    flows = []
    if signs & BEGAN:
        flows.append(Began(by_higher=False, certainty=SURE))
    if signs & BEGAN << HIGHER:
        flows.append(Began(by_higher=True, certainty=SURE))
    if flows:
        return flows
    answers_only = ends.protocol in _ECHO  # an echo reply that nobody asked for is no proof of a request
    if signs & (ACCEPTED | ACCEPTED << HIGHER) and not answers_only:
        return [Began(by_higher=bool(signs & ACCEPTED), certainty=SURE)]
    first_is_higher = bool(signs & FIRST_IS_HIGHER)
    low_serves, high_serves = serves(ends.low_port, ends.high_port), serves(ends.high_port, ends.low_port)
    if ends.protocol == TCP and (low_serves or high_serves):
        return [Began(by_higher=low_serves, certainty=GUESSED)]
    if ends.protocol == UDP:
        if low_serves if not first_is_higher else high_serves:  # a server's datagram came first: an answer
            return [Began(by_higher=not first_is_higher, certainty=GUESSED)]
        return [Began(by_higher=first_is_higher, certainty=SURE)]
    certain = ends.protocol not in {TCP, ICMP, ICMPV6}
    return [Began(by_higher=first_is_higher, certainty=SURE if certain else UNKNOWN)]


def serves(port: int, other: int) -> bool:
    """Tell whether a port, beside the other one, is that of a server."""
    if port < RESERVED or other < RESERVED:
        return port < RESERVED <= other
    return port < EPHEMERAL <= other


class Conversations:
    """Conversations as they come, at most so many; ``lost`` counts the packets of those beyond."""

    def __init__(self, most: int) -> None:
        """Keep no more than ``most`` conversations."""
        self._most = most
        self._seen: dict[Ends, tuple[int, int, int]] = {}
        self.lost = 0

    def add(self, packet: Packet, time: int) -> None:
        """Take one packet, in the order of the capture."""
        ends, is_higher = pair(packet)
        signs = sign(packet) << (HIGHER if is_higher else 0)
        known = self._seen.get(ends)
        if known is not None:
            self._seen[ends] = (known[0] | signs, min(known[1], time), max(known[2], time))
        elif len(self._seen) < self._most:
            self._seen[ends] = (signs | (FIRST_IS_HIGHER if is_higher else 0), time, time)
        else:
            self.lost += 1

    def __iter__(self) -> Iterator[tuple[Ends, int, int, int]]:
        """Iterate over ends, signs, and the times of the first and the last packet."""
        return ((ends, *seen) for ends, seen in self._seen.items())


def pair(packet: Packet) -> tuple[Ends, bool]:
    """Return the conversation of a packet, and whether its sender is the higher end."""
    protocol, source, target = packet.protocol, packet.source, packet.target
    source_port, target_port = packet.source_port, packet.target_port
    if (source, source_port) > (target, target_port):
        return Ends(protocol, target, target_port, source, source_port), True
    return Ends(protocol, source, source_port, target, target_port), False
