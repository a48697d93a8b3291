"""Takes frames apart one by one, and counts those that hold no packet of IP, or one that could not be opened."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from airgap_check.dissect import encapsulation, link
from airgap_check.dissect.packet import dissect

if TYPE_CHECKING:
    from airgap_check.dissect.packet import Packet

_WRAPPERS = encapsulation.PROTOCOLS | encapsulation.EXTENSIONS


class Dissection:
    """What came of the frames so far.

    ``other`` counts those that are not IP, or a later fragment; ``unopened`` those with something inside that was not
    understood: a tunnel, a label, an extension header.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.other = self.unopened = 0

    def packets(self, number: int, frame: bytes) -> list[Packet]:
        """Return the IP packet of a frame, and those that tunnels carry inside it; ``number`` is the link type."""
        network = link.network(number, frame)
        packet = dissect(network.ethertype, network.data) if network else None
        if packet is None:
            self.other += 1
            self.unopened += network is not None and network.ethertype in encapsulation.ETHERTYPES
            return []
        found = [packet]
        while packet.inner is not None:
            packet = packet.inner
            found.append(packet)
        self.unopened += packet.truncated and packet.protocol in _WRAPPERS
        return found

    def reason(self) -> str:
        """Say what was missed for want of a library; "" where nothing was."""
        if not self.unopened or find_spec("scapy") is not None:
            return ""
        return (
            f"{self.unopened:,} packets with tunnels, labels or extension headers were not opened: scapy is missing"
            " (pip install scapy)"
        )
