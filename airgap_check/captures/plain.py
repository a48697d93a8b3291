"""Reads captures packet by packet, with nothing but Python: the path that decides what the others must answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airgap_check.captures.conversation import Conversations, began
from airgap_check.captures.tally import Flow
from airgap_check.dissect import link
from airgap_check.dissect.packet import dissect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.captures.conversation import Began, Ends
    from airgap_check.captures.speech import Speech
    from airgap_check.captures.tally import Tally
    from airgap_check.captures.window import Window
    from airgap_check.dissect.packet import Packet


class Reader(Protocol):
    """A way to read packets; ``other`` counts those that are not IP, or the later fragments of one."""

    other: int

    def take(self, window: Window) -> None:
        """Take the packets of a window."""
        ...

    def close(self) -> int:
        """Tell the tally of every flow; return how many packets belonged to flows beyond the bound."""
        ...


class Packets:
    """Takes packets one by one."""

    def __init__(self, tally: Tally, speech: Speech) -> None:
        """Bring what is said to ``speech`` at once, and the flows to ``tally`` in the end."""
        self._tally = tally
        self._speech = speech
        self._conversations = Conversations(tally.most_flows)
        self.other = 0

    def take(self, window: Window) -> None:
        """Take the packets of a window."""
        data = window.data
        for start, length, number, time in zip(window.starts, window.lengths, window.links, window.times, strict=True):
            is_ip = False
            for packet in packets(number, data[start : start + length]):
                is_ip = True
                self._conversations.add(packet, time)
                self._speech.hear(packet, time)
            self.other += not is_ip

    def close(self) -> int:
        """Tell the tally of every flow."""
        for ends, signs, first, last in self._conversations:
            for beginning in began(ends, signs):
                self._tally.flow(flow(ends, beginning), first, last)
        return self._conversations.lost


def packets(number: int, frame: bytes) -> Iterator[Packet]:
    """Yield the IP packet of a frame, and those that tunnels carry inside it."""
    network = link.network(number, frame)
    if network is None:
        return
    packet = dissect(network.ethertype, network.data)
    while packet is not None:
        yield packet
        packet = packet.inner


def flow(ends: Ends, beginning: Began) -> Flow:
    """Return the flow that one end of a conversation began."""
    low, high = (ends.low, ends.low_port), (ends.high, ends.high_port)
    (initiator, _), (responder, port) = (high, low) if beginning.by_higher else (low, high)
    return Flow(initiator, responder, port, ends.protocol, beginning.certainty)
