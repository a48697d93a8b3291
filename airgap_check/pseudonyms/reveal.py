"""Takes pseudonyms back: in a word, or in every line of a report."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

from airgap_check.address import parse
from airgap_check.domain import reversed_network
from airgap_check.errors import UsageError
from airgap_check.pseudonyms.address import Addresses
from airgap_check.pseudonyms.token import TOKEN, unseal

if TYPE_CHECKING:
    from airgap_check.pseudonyms.key import Key

_KEY = re.compile(r"pseudonyms(?:; the key's holder can reveal them)? \(key ([0-9a-f]{8})\)")
_ADDRESS = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}:[0-9a-fA-F:.]*[0-9a-fA-F:])(?:/\d{1,3})?(?![\w-]|\.\w)",
    re.ASCII,
)
_REVERSED = re.compile(r"(?<![\w.-])(?:[0-9a-f]{1,3}\.)+(?:in-addr|ip6)\.arpa(?![\w-])")


class Revealing:
    """What a key takes back. ``failed`` counts tokens that it did not make."""

    def __init__(self, key: Key) -> None:
        """Take the key."""
        self._key, self._addresses = key, Addresses(key)
        self.failed = self.opened = 0

    def text(self, text: str) -> str:
        """Return a text with every pseudonym in it taken back. Raises `UsageError` when it names another key."""
        if (other := _KEY.search(text)) and other[1] != self._key.id:
            raise UsageError(f"these pseudonyms were made with the key {other[1]}, and this is {self._key.id}")
        text = _REVERSED.sub(lambda match: self._reversed(match[0]), text)
        text = _ADDRESS.sub(lambda match: self._address(match[0]), text)
        return TOKEN.sub(lambda match: self._token(match[0]), text)

    def _token(self, token: str) -> str:
        word = unseal(self._key, token)
        if word is None:
            self.failed += 1
            return token
        self.opened += 1
        return word

    def _address(self, text: str) -> str:
        bare, slash, length = text.partition("/")
        if (address := parse(bare)) is None:
            return text
        try:
            return (
                str(self._addresses.reveal_network(ip_network(text))) if slash else str(self._addresses.reveal(address))
            )
        except ValueError:
            return f"{self._addresses.reveal(address)}/{length}"

    def _reversed(self, name: str) -> str:
        """Take back a name of the reverse tree, as far as its digits go."""
        network = reversed_network(name)
        if network is None:
            return name
        real = self._addresses.reveal_network(network).network_address
        digits = str(real).split(".") if network.version == 4 else list(f"{int(real):032x}")
        count = network.prefixlen // (8 if network.version == 4 else 4)
        return ".".join([*reversed(digits[:count]), *name.split(".")[-2:]])
