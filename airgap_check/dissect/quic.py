"""Finds the ClientHello of QUIC clients, over several packets and datagrams; versions 1 and 2 (RFC 9001, RFC 9369)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from airgap_check.dissect.hello import CLIENT_HELLO, UNKNOWABLE, Hello, parse
from airgap_check.dissect.quic_packet import SMALLEST_DATAGRAM, Initial, collect, decrypted, split
from airgap_check.dissect.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Hashable


class _Flow:
    __slots__ = ("found", "stream", "target", "told")

    def __init__(self, room: int) -> None:
        self.stream = Stream(room)
        self.target: bytes | None = None  # the connection id that the keys derive from
        self.found = self.told = False


class Initials:
    """Finds the hello of many QUIC clients; ``key`` names one direction of one flow (client to server).

    At most ``flows`` are followed, and ``room`` bytes of each; the oldest gives way.
    """

    def __init__(self, flows: int = 1024, room: int = 65536) -> None:
        self.lost = 0  # hellos given up unfinished: evicted, or too long
        self._flows: OrderedDict[Hashable, _Flow] = OrderedDict()
        self._limit, self._room = flows, room

    def feed(self, key: Hashable, payload: bytes) -> Hello | None:
        """Add a datagram that a client sent; return its hello once a connection.

        ``hello.UNKNOWABLE`` comes once for a flow of which nothing could be read: an unknown version, a cut datagram,
        or other keys (its beginning was missed, or a server sent it). A hello may still follow.
        """
        if len(payload) < 7 or payload[0] < 0xC0 or payload[1:5] == bytes(4):  # no long header, or version negotiation
            return None
        packets, hidden = split(payload)
        if not packets and not hidden:
            return None
        flow = self._flows.get(key) or self._follow(key)
        opened = False
        for packet in packets:
            frames = self._opened(packet, flow)
            if frames is None:
                continue
            opened = True
            if not flow.found and not collect(frames, flow.stream):
                return self._give_up(flow)
        if flow.found:
            return None
        if opened:
            return self._hello(flow)
        hidden = hidden or len(payload) >= SMALLEST_DATAGRAM
        if flow.target is not None or flow.told or not hidden:
            return None
        flow.told = True
        return UNKNOWABLE

    def _opened(self, packet: Initial, flow: _Flow) -> bytes | None:
        """Decrypt a packet: with the keys of the flow, or as the first of a connection (a Retry begins one, too)."""
        if flow.target is not None:
            frames = decrypted(packet, flow.target)
            if frames is not None or packet.target == flow.target:
                return frames
        frames = decrypted(packet, packet.target)
        if frames is not None:
            flow.target, flow.stream, flow.found = packet.target, Stream(self._room), False
        return frames

    def _hello(self, flow: _Flow) -> Hello | None:
        message = flow.stream.data
        if len(message) < 4:
            return None
        size = 4 + int.from_bytes(message[1:4], "big")
        if message[0] == CLIENT_HELLO and len(message) < size:
            return self._give_up(flow) if size > self._room else None
        flow.found = True
        return parse(flow.stream.take(size))

    def _give_up(self, flow: _Flow) -> Hello:
        self.lost += 1
        flow.found = True
        return (parse(flow.stream.data) or UNKNOWABLE)._replace(complete=False)

    def _follow(self, key: Hashable) -> _Flow:
        flow = self._flows[key] = _Flow(self._room)
        if len(self._flows) > self._limit:
            _, oldest = self._flows.popitem(last=False)
            self.lost += not oldest.found and oldest.stream.unfinished
        return flow
