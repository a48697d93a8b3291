"""Reads captures packet by packet, with nothing but Python: the path that decides what the others must answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airgap_check.captures.conversation import Conversations, began
from airgap_check.captures.dissection import Dissection
from airgap_check.captures.tally import Flow

if TYPE_CHECKING:
    from airgap_check.captures.conversation import Began, Ends
    from airgap_check.captures.speech import Speech
    from airgap_check.captures.tally import Tally
    from airgap_check.captures.window import Window


class Reader(Protocol):
    """A way to read packets; ``cut`` counts those that the file holds in part."""

    dissection: Dissection
    cut: int

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
        self._conversations = Conversations(tally.most_conversations)
        self.dissection = Dissection()
        self.cut = 0

    def take(self, window: Window) -> None:
        """Take the packets of a window."""
        data = window.data
        for start, length, original, link, time in window:
            self.cut += length < original
            for packet in self.dissection.packets(link, data[start : start + length]):
                self._conversations.add(packet, time)
                self._speech.hear(packet, time)

    def close(self) -> int:
        """Tell the tally of every flow."""
        for ends, signs, first, last in self._conversations:
            for beginning in began(ends, signs):
                self._tally.flow(flow(ends, beginning), first, last)
        return self._conversations.lost


def flow(ends: Ends, beginning: Began) -> Flow:
    """Return the flow that one end of a conversation began."""
    low, high = (ends.low, ends.low_port), (ends.high, ends.high_port)
    (initiator, _), (responder, port) = (high, low) if beginning.by_higher else (low, high)
    return Flow(initiator, responder, port, ends.protocol, beginning.certainty)
