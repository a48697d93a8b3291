"""Pseudonyms of what stands between blanks: an address, a name, a path, a URL, a word; nothing unknown is left.

What is no known word and cannot be taken apart becomes one token. A caller that writes for the tool says which words
are known beside those that are standard; what a host wrote has the standard ones alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from airgap_check.pseudonyms.standard import ENDINGS, WORDS
from airgap_check.pseudonyms.token import seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.pseudonyms.address import Addresses
    from airgap_check.pseudonyms.hostname import HostNames
    from airgap_check.pseudonyms.key import Key

PIECE = re.compile(r"[^\s()\[\]{}<>,;\"'`|=!?&#*\\^$]+")
_EDGE_BEFORE, _EDGE_AFTER = ".:-+", ".:-%"
_IPV4 = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?(:\d{1,7})?", re.ASCII)
_IPV6 = re.compile(r"([0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(%[^/]+)?(/\d{1,3})?", re.ASCII)
_MAC = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5,7}")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d))?|\d\d:\d\d:\d\d", re.ASCII
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Five digits are a port or a process; more may be an account's number, or an address (1.0.0.0 is 16777216).
_NUMBER = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,6})?(?:[smhd%]|ms|us|KiB|MiB|GiB|kB|MB|GB|k|K|M|G|x)?")
# Four numbers with dots may be an address in octal digits, whatever else they could be.
_VERSION = re.compile(r"v?[0-9]{1,7}(?:\.[0-9]{1,7}){1,2}(?:[-+~][A-Za-z0-9.]+)*")
_RELEASE = re.compile(r"(?:alpha|beta|rc|pre|dev|next|canary|alpine|debian|deb|ubuntu|el|fc|r)[0-9]{0,4}")
_PARTS = re.compile(r"[-_+~.]")
# Other ways to write an address (inet_aton(3): 10.5047044 is 10.77.3.4), and beginnings of a site's own networks.
_SHORT = re.compile(
    r"v?(?:(?:10\.\d+|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))[.-]\d.*"
    r"|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254"
    r"|\d{1,3}\.(?:\d{5,}|\d{1,3}\.\d{4,})|\d{2,3}\.\d{1,3}\.(?:2(?:5[6-9]|[6-9]\d)|[3-9]\d\d))",
    re.ASCII,
)
_FOUR = re.compile(r"(?<!\d)\d{1,3}(?:([-_.+~])\d{1,3})(?:\1\d{1,3}){2}(?!\d)")


class Words:
    """The pseudonyms of words under one key; ``known`` tells which words of ours may stay."""

    def __init__(self, key: Key, addresses: Addresses, names: HostNames, known: Callable[[str], bool]) -> None:
        """Take the parts that longer words are made of."""
        self._key, self._addresses, self._names, self._known = key, addresses, names, known
        self.hide: Callable[[str], str] = lru_cache(maxsize=1 << 18)(self._hide)

    def text(self, text: str) -> str:
        """Return a text whose words are hidden one by one."""
        return PIECE.sub(lambda match: self.hide(match[0]), text)

    def seal(self, word: str) -> str:
        """Return the token of a word as a whole."""
        return seal(self._key, word)

    def _hide(self, piece: str) -> str:
        if self._stays(piece):
            return piece
        if (address := self._address(piece)) is not None:
            return address
        before, rest = _split(piece, piece.lstrip(_EDGE_BEFORE)) if not piece.startswith("::") else ("", piece)
        core = rest.rstrip(_EDGE_AFTER)
        return before + self._core(core) + rest[len(core) :]

    def _stays(self, piece: str) -> bool:
        return _is_standard(piece) or self._known(piece)

    def _core(self, core: str) -> str:
        """Hide a piece without the marks around it."""
        if not core or self._stays(core):
            return core
        if (address := self._address(core)) is not None:
            return address
        if _MAC.fullmatch(core) or (core.count(":") > 1 and _IPV6.fullmatch(core)):
            return self.seal(core)
        if "://" in core:
            scheme, _, rest = core.partition("://")
            return f"{self.hide(scheme)}://{self._authority(rest)}"
        if "/" in core:
            return self._path(core)
        if "@" in core:
            login, _, rest = core.rpartition("@")
            # A digest that pins an image; any other may be of what the owner wrote, and confirm who guesses that.
            return f"{self.component(login)}@{rest if _DIGEST.fullmatch(rest) else self.hide(rest)}"
        if ":" in core:
            return ":".join(self.hide(part) if part else "" for part in core.split(":"))
        return self._word(core)

    def _path(self, path: str) -> str:
        """Hide the parts of a path; what stands before the first slash may be a host, as in the name of an image."""
        first, *rest = path.split("/")
        # A path may be the host's in any of its parts; words of ours with a stroke between them are ours.
        stays = self._stays if first and first[0] not in "~." else _is_standard
        if all(not part or stays(part) for part in (first, *rest)):
            return path
        return "/".join([self.hide(first) if first else "", *(self.component(part) for part in rest)])

    def component(self, part: str) -> str:
        """Hide one part of a path, of which only what is standard may stay, and the ending that says what it is."""
        if not part or part in {".", "..", "~"} or _is_standard(part):
            return part
        if (address := self._address(part)) is not None:
            return address
        if ":" in part or "@" in part:
            return self.hide(part)
        stem, dot, ending = part.rpartition(".")
        return f"{self.component(stem)}.{ending}" if stem and dot and ending in ENDINGS else self.seal(part)

    def _authority(self, rest: str) -> str:
        """Hide what follows the scheme of a URL: whoever logs in, the host, the port, the path."""
        host, slash, path = rest.partition("/")
        login, at, host = host.rpartition("@")
        name, colon, port = host.partition(":") if host.count(":") < 2 else (host, "", "")
        shown = self._address(name) or (self._names.hide(name) if name else "")
        return f"{self.hide(login) if login else ''}{at}{shown}{colon}{self.hide(port) if port else ''}" + (
            slash + "/".join(self.component(part) for part in path.split("/")) if slash else ""
        )

    def _address(self, text: str) -> str | None:
        """Return the pseudonym of an address, with its port, or of a network; None for what is neither."""
        if (match := _IPV4.fullmatch(text)) is None and (match := _IPV6.fullmatch(text)) is None:
            return self._range(text)
        if self._addresses.hide_text(match[1]) is None:
            return None
        if match.re is _IPV4:
            zone, length, port = "", match[2] or "", match[3] or ""
        else:
            zone, length, port = match[2] or "", match[3] or "", ""
        if length and (network := _network(match[1] + length)) is not None:
            return str(self._addresses.hide_network(network)) + port
        if zone:
            zone = "%" + self.hide(zone[1:])
        return f"{self._addresses.hide_text(match[1])}{zone}{length}{port}"

    def _range(self, text: str) -> str | None:
        """Return the pseudonyms of the two ends of a range of addresses."""
        first, dash, last = text.partition("-")
        begin, end = (self._addresses.hide_text(first), self._addresses.hide_text(last)) if dash else (None, None)
        return f"{begin}-{end}" if begin and end else None

    def _word(self, word: str) -> str:
        if _SHORT.fullmatch(word):
            return self.seal(word)
        if _FOUR.search(word):
            return self._names.hide(word) if "." in word else self.seal(word)
        if _VERSION.fullmatch(word) and self._all_known(word):
            return word
        if "." in word:
            stem, _, ending = word.rpartition(".")
            if ending.lower() in ENDINGS:
                return f"{self.hide(stem)}.{ending}" if stem else word
            return self._names.hide(word)
        return word if self._all_known(word) else self.seal(word)

    def _all_known(self, word: str) -> bool:
        """Tell whether a compound is made of words that may stay, and of numbers."""
        parts = _PARTS.split(word.removeprefix("v"))
        return len(parts) > 1 and all(not part or self._stays(part) or _RELEASE.fullmatch(part) for part in parts)


def _is_standard(piece: str) -> bool:
    """Tell whether a piece is found on any host, or is no word at all: a number, a time."""
    return piece in WORDS or bool((_NUMBER.fullmatch(piece) and not _SHORT.fullmatch(piece)) or _TIME.fullmatch(piece))


def _split(piece: str, rest: str) -> tuple[str, str]:
    return piece[: len(piece) - len(rest)], rest


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Read a network without host bits."""
    try:
        return IPv6Network(text) if ":" in text else IPv4Network(text)
    except ValueError:
        return None
