"""Joins the questions that this host asks a name server with the answers that come back to whoever asked.

An answer counts only for a question that was seen to leave: from the server that was asked, to the very port, with the
same number and name. Answers to multicast questions (mDNS, LLMNR) come from anybody, so they bind no name.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.evidence import Answer, Question
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Literal, TypeAlias

    from airgap_check.dissect.dns import Asked, Message
    from airgap_check.dissect.packet import Packet
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.sightings import Moment, Sightings

    _Protocol: TypeAlias = Literal["dns", "mdns", "llmnr"]

_WAITING, _ADDRESSES = 8192, 64  # questions that wait for an answer (the oldest are forgotten); addresses of one
_PROTOCOLS: dict[int, _Protocol] = {53: "dns", 5353: "mdns", 5355: "llmnr"}
PORTS = frozenset(_PROTOCOLS)


class _Waiting(NamedTuple):
    asked: tuple[Asked, ...]
    keys: tuple[Hashable, ...]


class Dialogue:
    """The questions and answers of all observed namespaces. ``questions`` and ``answers`` count messages."""

    def __init__(self, sightings: Sightings, identity: Identity) -> None:
        self.questions = self.answers = 0
        self._sightings = sightings
        self._identity = identity
        self._waiting: dict[Hashable, _Waiting] = {}

    def hear(self, netns: int, at: Moment, packet: Packet, message: Message) -> None:
        """Take one message: a question that leaves, or an answer that arrives."""
        if not message.response:
            self._ask(netns, at, packet, message)
        elif packet.source_port == 5353:
            self._tell(netns, packet, message)
        elif packet.source_port in PORTS:
            self._answer(netns, at, packet, message)

    def _ask(self, netns: int, at: Moment, packet: Packet, message: Message) -> None:
        if packet.target_port not in PORTS or not message.questions:
            return
        protocol = _PROTOCOLS[packet.target_port]
        server = b"" if protocol == "llmnr" else packet.target  # multicast: each answers with an address of its own
        place = netns, protocol, packet.source, packet.source_port, server, message.id
        keys = tuple(_key(netns, asked, protocol, packet.target) for asked in message.questions)
        waiting = _Waiting(message.questions, keys)
        if self._waiting.get(place) == waiting:
            return  # sent again, or seen on a second interface
        if len(self._waiting) >= _WAITING:
            del self._waiting[next(iter(self._waiting))]
        if protocol != "mdns":  # where every question has the number 0, and is asked again on purpose
            self._waiting[place] = waiting
        self.questions += 1
        for asked, key in zip(message.questions, keys, strict=True):
            if not self._sightings.again(key, at):
                self._sightings.add(key, at, self._question(netns, asked, protocol, packet))

    def _question(self, netns: int, asked: Asked, protocol: _Protocol, packet: Packet) -> Question:
        server, name = self._identity.end(netns, packet.target, packet.target_port), printable(asked.name)
        return Question(netns=netns, name=name, type=printable(asked.type), protocol=protocol, server=server)

    def _answer(self, netns: int, at: Moment, packet: Packet, message: Message) -> None:
        protocol = _PROTOCOLS[packet.source_port]
        server = b"" if protocol == "llmnr" else packet.source
        place = netns, protocol, packet.target, packet.target_port, server, message.id
        waiting = self._waiting.get(place)
        if waiting is None or waiting.asked != message.questions:
            return
        del self._waiting[place]
        self.answers += 1
        for key in waiting.keys:
            self._sightings.answered(key, message.status)
        if protocol == "dns" and message.status == "ok" and message.addresses:
            self._bind(netns, at, packet.source, message)

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
            private=True,
            seen="traffic",
        )
        self._sightings.add(key, at, answer)


def _key(netns: int, asked: Asked, protocol: str, server: bytes) -> Hashable:
    return netns, "question", asked.name, asked.type, protocol, server
