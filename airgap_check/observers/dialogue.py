"""Joins the questions that this host asks a name server with the answers that come back to whoever asked.

An answer counts only for a question that was seen to leave: from the server that was asked, to the very port, with the
same number and name, by the way that the question went. That way is a wire; or loopback, to a name server of this very
host: a container can give itself any other address there. Answers to multicast questions (mDNS, LLMNR) come from
anybody, so they bind no name.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Answer, Question
from airgap_check.kernel.packet import HOST, OUTGOING
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Literal, TypeAlias

    from airgap_check.dissect.dns import Asked, Message
    from airgap_check.dissect.packet import Packet
    from airgap_check.kernel.packet import Frame
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.sightings import Moment, Sightings

    _Protocol: TypeAlias = Literal["dns", "mdns", "llmnr"]

_WAITING, _ADDRESSES = 8192, 64  # questions that wait for an answer (the oldest are forgotten); addresses of one
_PROTOCOLS: dict[int, _Protocol] = {53: "dns", 5353: "mdns", 5355: "llmnr"}
PORTS = frozenset(_PROTOCOLS)


class _Waiting(NamedTuple):
    asked: tuple[Asked, ...]
    keys: tuple[Hashable, ...]
    interfaces: set[int]  # by which it left: often several, one on top of the other


class Dialogue:
    """The questions and answers of all observed namespaces. ``questions`` and ``answers`` count messages.

    What is seen in our ``own`` namespace holds for everybody, as those pass through it who ask from behind a bridge.
    """

    def __init__(self, sightings: Sightings, identity: Identity, own: int) -> None:
        self.questions = self.answers = 0
        self._sightings = sightings
        self._identity = identity
        self._own = own
        self._waiting: dict[Hashable, _Waiting] = {}

    def hear(self, netns: int, frame: Frame, packet: Packet, message: Message) -> None:
        """Take one message: a question that leaves, or an answer that arrives."""
        if not message.response:
            self._ask(netns, frame, packet, message)
        elif packet.source_port == 5353:
            self._tell(netns, packet, message)
        elif packet.source_port in PORTS:
            self._answer(netns, frame, packet, message)

    def _ask(self, netns: int, frame: Frame, packet: Packet, message: Message) -> None:
        if packet.target_port not in PORTS or not message.questions:
            return
        protocol = _PROTOCOLS[packet.target_port]
        server = b"" if protocol == "llmnr" else packet.target  # multicast: each answers with an address of its own
        place = netns, protocol, packet.source, packet.source_port, server, message.id
        keys = tuple(_key(netns, asked, protocol, packet.target) for asked in message.questions)
        known = self._waiting.get(place)
        if known is not None and known.keys == keys:  # sent again, or seen on a second interface
            known.interfaces.add(frame.interface)
            return
        if len(self._waiting) >= _WAITING:
            del self._waiting[next(iter(self._waiting))]
        if protocol != "mdns":  # where every question has the number 0, and is asked again on purpose
            self._waiting[place] = _Waiting(message.questions, keys, {frame.interface})
        self.questions += 1
        at = frame.seconds, frame.nanoseconds
        for asked, key in zip(message.questions, keys, strict=True):
            if not self._sightings.again(key, at):
                self._sightings.add(key, at, self._question(netns, asked, protocol, packet))

    def _question(self, netns: int, asked: Asked, protocol: _Protocol, packet: Packet) -> Question:
        server, name = self._identity.end(netns, packet.target, packet.target_port), printable(asked.name)
        return Question(netns=netns, name=name, type=printable(asked.type), protocol=protocol, server=server)

    def _answer(self, netns: int, frame: Frame, packet: Packet, message: Message) -> None:
        protocol = _PROTOCOLS[packet.source_port]
        server = b"" if protocol == "llmnr" else packet.source
        place = netns, protocol, packet.target, packet.target_port, server, message.id
        waiting = self._waiting.get(place)
        if waiting is None or waiting.asked != message.questions:
            return
        for key in waiting.keys:
            self._sightings.answered(key, message.status)
        if frame.interface not in waiting.interfaces or not self._comes_from_there(netns, frame, packet):
            return  # maybe not from whom it says: the answer is still to come
        del self._waiting[place]
        self.answers += 1
        if protocol == "dns" and message.status == "ok" and message.addresses:
            self._bind(netns, (frame.seconds, frame.nanoseconds), packet.source, message)

    def _comes_from_there(self, netns: int, frame: Frame, packet: Packet) -> bool:
        """Tell whether an answer came in by a wire, or on loopback from a name server that can only be there.

        On loopback packets are seen on their way out. To give a namespace an address takes root in it: of our own, that
        is the root of this host.
        """
        if frame.kind != OUTGOING:
            return frame.kind == HOST
        scope = self._identity.end(netns, packet.source).scope
        return scope == "loopback" or (scope == "own" and netns == self._own)

    def _tell(self, netns: int, packet: Packet, message: Message) -> None:
        """Note that somebody answered a multicast question, which is told to everybody."""
        self.answers += 1
        for given in message.addresses[:_ADDRESSES]:
            kind = "AAAA" if len(given.address) == 16 else "A"
            self._sightings.answered((netns, "question", given.owner, kind, "mdns", packet.target), "ok")

    def _bind(self, netns: int, at: Moment, server: bytes, message: Message) -> None:
        name, given = message.questions[0].name, message.addresses[:_ADDRESSES]
        addresses = tuple(sorted({each.address for each in given}))
        key = netns, "answer", server, name, message.chain, addresses
        if self._sightings.again(key, at):
            return
        answer = Answer(
            name=printable(name),
            netns=netns,
            source="observed",
            status="ok",
            chain=tuple(map(printable, message.chain)),
            addresses=tuple(self._identity.end(netns, address) for address in addresses),
            ttl=min(each.ttl for each in given),
            server=str(ip_address(server)),
            private=netns != self._own,
            seen="traffic",
        )
        self._sightings.add(key, at, answer)


def _key(netns: int, asked: Asked, protocol: str, server: bytes) -> Hashable:
    return netns, "question", asked.name, asked.type, protocol, server
