"""Reads the destination out of one text of an artifact: a URL, a bare host, a template, or none.

A template in the path or the query leaves the host known; one in the host or port makes the destination unknowable.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.fact import Endpoint

_LENGTH = 8192  # of a URL; the product's HTTP server takes none that is longer
_TEMPLATE = re.compile(r"\{\{.{0,500}?\}\}|\$\{[^{}]{0,500}\}|\{[^{}]{0,500}\}|<%.{0,500}?%>|\$[A-Za-z_][\w.]{0,100}")
_PLAIN_URL = re.compile(r"((?:https?|wss?)://[A-Za-z0-9.-]{1,253}(?::\d{1,5})?)(?:/[\w./~-]*+)?\Z", re.ASCII)
_MARK = "\0"
_NOWHERE = re.compile(
    r"(?:mailto|tel|sms|data|javascript|about|blob|urn|cid|file|node|npm|memory|view|app):", re.IGNORECASE
)
_RELATIVE = re.compile(r"[/\\](?![/\\])|\.{1,2}/|[#?]")
# Without a scheme, a word with one dot may be a field (record.website): only what nothing else looks like is a host.
_HOST_AND_MORE = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3}|localhost|[\w-]+(?:\.[\w-]+)+)(?::\d{1,5}|/|\Z)"
)
_FIELD = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*\Z")
_SLASHES = re.compile(r"//(?=[\w\[${])[^\s\"'<>`)\\]{1,2048}")
_BEFORE_SLASHES = ("http:", "https:", "ws:", "wss:", "ftp:", '"', "'", "=", "(", "`")
# Names of XML namespaces and JSON schemas look like URLs, and nobody fetches them.
_IDENTIFIER = re.compile(
    r"https?://(?:www\.w3\.org/(?:\d{4}/|TR/|XML/)|json-schema\.org/(?:draft[-/]|schema)|schemas?\.(?:xmlsoap|"
    r"openxmlformats|microsoft)\.(?:org|com)/)"
)
_LITERAL = re.compile(
    r"[\"'`]((?:https?|wss?|ftp|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|rediss?|amqps?)://[^\"'`\s\\]{1,2048})"
)


class Destination(NamedTuple):
    """Where a text leads; None as ``endpoint`` is a template, or a URL whose host cannot be read."""

    text: str
    endpoint: Endpoint | None


def without_templates(text: str, stand_in: str = "") -> str:
    """Return a text with something else in place of its templates."""
    return _TEMPLATE.sub(stand_in, text)


def read(text: str, *, port: int | None = None, host: bool = False) -> tuple[Destination, ...]:
    """Return the destinations of a text, which is a bare ``host`` or stands under a name that promises a URL.

    ``port`` is the one that stands beside it, or the usual one of its driver.
    """
    plain_url = _PLAIN_URL.match(text)
    if plain_url:
        return tuple(Destination(text, end) for end in _parse(plain_url[1], port))
    bare = text.strip()[:_LENGTH]
    if bare.startswith(("//", "\\\\")):
        bare = "https:" + bare
    masked = without_templates(bare, _MARK)
    if not masked or _RELATIVE.match(masked) or _NOWHERE.match(masked):
        return ()
    if _MARK in _authority(masked):
        return (Destination(bare, None),)
    plain = masked.replace(_MARK, "x")
    if "://" not in plain and not host and not _is_place(plain):
        return ()
    ends = endpoint.parse(plain, port=port)
    if not ends and "://" in plain and endpoint.is_malformed(plain):
        return (Destination(bare, None),)
    return tuple(Destination(bare, end) for end in ends)


@lru_cache(maxsize=4096)
def _parse(head: str, port: int | None) -> tuple[Endpoint, ...]:
    """Read scheme, host and port; one host is named by many URLs."""
    return endpoint.parse(head, port=port)


def _authority(masked: str) -> str:
    """Return what decides where a text leads: scheme, host and port, without user info."""
    scheme, slashes, rest = masked.partition("://")
    if not slashes:
        return re.split(r"[/?#]", masked, maxsplit=1)[0].rpartition("@")[2]
    if _MARK in scheme:
        return masked
    return re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]


def _is_place(plain: str) -> bool:
    """Tell whether a text without slashes is more likely a place than the name of something."""
    return bool(_HOST_AND_MORE.match(plain) and not _FIELD.match(plain)) or plain.startswith("jdbc:")


def in_markup(text: str) -> Iterator[Destination]:
    """Yield the destinations that a page's source names, each host once."""
    seen = set()
    for match in _SLASHES.finditer(text):
        before = text[max(match.start() - 6, 0) : match.start()].lower()
        begins = next((begin for begin in _BEFORE_SLASHES if before.endswith(begin)), None)
        named = f"{begins if begins and begins[-1] == ':' else 'https:'}{match[0]}"
        if begins and not _IDENTIFIER.match(named):
            for one in read(named):
                if (one.endpoint or one.text) not in seen:
                    seen.add(one.endpoint or one.text)
                    yield one


def in_source(text: str) -> Iterator[tuple[str, int]]:
    """Yield the literals of JavaScript that are destinations, with the offset of each.

    A literal counts where it begins with a scheme: what follows text in a literal, or stands bare in a comment (as in
    licences and source maps), is left out, and what a program puts together from parts cannot be read at all. Quoted
    names in comments do count, since telling them apart takes a parser of the language.
    """
    for match in _LITERAL.finditer(text):
        if not _IDENTIFIER.match(match[1]):
            yield match[1], match.start(1)
