"""Pseudonyms of host names, label by label: names of one domain still share its suffix, and a wildcard stays one.

Names are compared without regard to case (RFC 4343), so they are written in lower case, and those beyond ASCII as they
go over the wire (RFC 3490). A name of the reverse tree stands for the pseudonym of its address.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from airgap_check.domain import reversed_network
from airgap_check.pseudonyms import vocabulary
from airgap_check.pseudonyms.standard import LOCAL_NAMES, SUFFIXES, WORDS
from airgap_check.pseudonyms.token import seal, seal_label

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.address import Network
    from airgap_check.pseudonyms.address import Addresses
    from airgap_check.pseudonyms.key import Key

_REVERSED = {4: ("in-addr", "arpa"), 6: ("ip6", "arpa")}


class HostNames:
    """The pseudonyms of host names under one key."""

    def __init__(self, key: Key, addresses: Addresses) -> None:
        """Take the key, and who knows the pseudonyms of addresses."""
        self._key, self._addresses = key, addresses
        self.hide: Callable[[str], str] = lru_cache(maxsize=1 << 18)(self._hide)

    def _hide(self, name: str) -> str:
        if (address := self._addresses.hide_text(name)) is not None:
            return address
        lower = name.strip().lower()
        dot = "." if lower.endswith(".") and len(lower) > 1 else ""
        labels = [_wire(label) for label in lower.rstrip(".").split(".")]
        if not any(labels):
            return name
        return ".".join(self._labels(labels)) + dot

    def _labels(self, labels: list[str]) -> list[str]:
        network = reversed_network(".".join(labels))
        if network is not None and network.prefixlen:
            return self._reversed(labels, network)
        kept = _kept(labels)
        shown = labels[len(labels) - kept :]
        return [*(self._label(label, alone=len(labels) == 1) for label in labels[: len(labels) - kept]), *shown]

    def _label(self, label: str, *, alone: bool) -> str:
        if label in {"", "*"} or (label.startswith("_") and label in WORDS):
            return label
        if alone:
            return seal(self._key, label)
        return ("_" if label.startswith("_") else "") + seal_label(self._key, label.removeprefix("_"))

    def _reversed(self, labels: list[str], network: Network) -> list[str]:
        """Write the pseudonym of what a name of the reverse tree stands for, with the labels before it."""
        hidden = self._addresses.hide_network(network)
        digits = (
            str(hidden.network_address).split(".")
            if isinstance(hidden.network_address, IPv4Address)
            else list(f"{int(hidden.network_address):032x}")
        )
        count = network.prefixlen // (8 if network.version == 4 else 4)
        before = [self._label(label, alone=False) for label in labels[: len(labels) - 2 - count]]
        return [*before, *reversed(digits[:count]), *_REVERSED[network.version]]


def _wire(label: str) -> str:
    """Return a label as it goes over the wire; one that cannot stays as it is."""
    if label.isascii():
        return label
    try:
        return label.encode("idna").decode("ascii")
    except UnicodeError:
        return label


def _kept(labels: list[str]) -> int:
    """Count the labels at the end that are nobody's secret."""
    names = vocabulary.load().names
    name = ".".join(labels)
    if name in LOCAL_NAMES:
        return len(labels)
    for index in range(len(labels) - 1):
        if ".".join(labels[index:]) in names:
            return len(labels) - index
    kept = 0
    while kept < len(labels) - 1 and labels[-1 - kept] in SUFFIXES:
        kept += 1
    return kept
