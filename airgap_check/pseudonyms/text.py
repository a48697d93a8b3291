"""Pseudonyms in sentences: names that were met elsewhere are found first, and of the rest only words of ours stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.pseudonyms import vocabulary
from airgap_check.pseudonyms.address import Addresses
from airgap_check.pseudonyms.hostname import HostNames
from airgap_check.pseudonyms.standard import WORDS
from airgap_check.pseudonyms.word import PIECE, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.pseudonyms.key import Key

_RUN = re.compile(r"[^\W_]+")
_COUNT = re.compile(r"[0-9]{1,7}")  # of packets, or a process


class Masking:
    """What hides under one key: addresses, host names, words of a host, texts of ours, and names given by people."""

    def __init__(self, key: Key) -> None:
        """Take the key; nothing has been met yet."""
        self.key = key
        self.addresses = Addresses(key)
        self.names = HostNames(key, self.addresses)
        self._ours = vocabulary.load()
        self._foreign = Words(key, self.addresses, self.names, lambda _piece: False)
        self._own = Words(key, self.addresses, self.names, self._is_ours)
        self._met: dict[str, str] = {}
        self._shapes: dict[str, set[tuple[int, int]]] = {}

    def _is_ours(self, piece: str) -> bool:
        return piece in self._ours.pieces or piece.lower() in self._ours.words or bool(_COUNT.fullmatch(piece))

    def meet(self, name: str) -> None:
        """Remember what something is called, where a text of ours would show it because it is made of words of ours."""
        self._remember(name, self.label(name))

    def meet_foreign(self, text: str) -> None:
        """Remember what a host wrote, where it is made of words of ours."""
        if not text[:1].isdigit():  # an address or a number is hidden wherever it stands
            self._remember(text, self.foreign(text))

    def meet_host(self, name: str) -> None:
        """Remember a host's name of a single label, which looks like any word."""
        if "." not in name:
            self._remember(name, self.host(name))

    def _remember(self, name: str, hidden: str) -> None:
        if name in self._met or hidden == name or self._plain(name) == hidden:
            return
        if (first := _RUN.search(name)) is not None:
            self._met[name] = self._met[name.lower()] = hidden
            self._shapes.setdefault(first[0].lower(), set()).add((first.start(), len(name)))

    def host(self, name: str) -> str:
        """Hide a host's name, or its address."""
        return self.names.hide(name)

    def label(self, text: str) -> str:
        """Hide what a person, or a host, chose to call something: as one word, however many there are in it."""
        if not text.strip() or text in WORDS:
            return text
        return self._foreign.seal(text) if len(PIECE.findall(text)) > 1 else self.foreign(text)

    def foreign(self, text: str) -> str:
        """Hide what a host wrote: a command line, a path, a URL, a reference; only what is standard stays."""
        return self._met.get(text) or self._foreign.text(text)

    def guessable(self, digest: str) -> str:
        """Hide a digest of what the owner wrote; that of the shipped rules is everybody's."""
        return digest if digest in {"", self._ours.rules} else self.key.digest(digest)

    def text(self, text: str) -> str:
        """Hide what a text of ours says of a host."""
        if text in self._ours.texts:
            return text
        if self._shapes.keys().isdisjoint(_RUN.findall(text.lower())):
            return self._plain(text)
        return "".join(self._segments(text))

    def _plain(self, text: str) -> str:
        return self._own.text(text)

    def _segments(self, text: str) -> Iterator[str]:
        """Yield a text in parts, names that were met hidden as a whole."""
        done = 0
        for run in _RUN.finditer(text):
            if run.start() >= done and (shapes := self._shapes.get(run[0].lower())):
                begin, end = self._found(text, run.start(), shapes)
                if end > begin >= done:
                    yield self._plain(text[done:begin])
                    yield self._met.get(text[begin:end]) or self._met[text[begin:end].lower()]
                    done = end
        yield self._plain(text[done:])

    def _found(self, text: str, at: int, shapes: set[tuple[int, int]]) -> tuple[int, int]:
        """Return where the longest name stands whose first word begins here; a shape tells that word's place."""
        for offset, length in sorted(shapes, key=_length, reverse=True):
            begin, end = at - offset, at - offset + length
            piece = text[max(begin, 0) : end]
            if begin >= 0 and (piece in self._met or piece.lower() in self._met) and _ends(text, begin, end):
                return begin, end
        return 0, 0


def _length(shape: tuple[int, int]) -> int:
    return shape[1]


def _ends(text: str, begin: int, end: int) -> bool:
    """Tell whether a name stands by itself, and is not part of a longer word."""
    before, after = text[begin - 1 : begin], text[end : end + 1]
    return not (before.isalnum() or before in {"_", "-"}) and not (after.isalnum() or after in {"_", "-"})
