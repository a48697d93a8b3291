"""What a page wanted from elsewhere, as a record of it, and the polite answer that lets the page go on."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airgap_check import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
_URL = 300  # characters
_PIXEL = base64.b64decode("R0lGODlhAQABAAAAACH5BAEAAAAALAAAAAABAAEAAAIA")  # a transparent GIF
# An object that is empty for whoever wants any, and for a map also a style without layers.
_JSON = b'{"version": 8, "sources": {}, "layers": []}'
_BODIES = {
    "Document": ("text/html", b"<!doctype html><title>rehearsal</title>"),
    "Script": ("text/javascript", b""),
    "Stylesheet": ("text/css", b""),
    "Image": ("image/gif", _PIXEL),
    "Font": ("font/woff2", b""),
    "Media": ("application/octet-stream", b""),
    "Ping": ("text/plain", b""),
    "EventSource": ("text/event-stream", b"retry: 3600000\n\n"),
}


class Fetched(NamedTuple):
    """What a page would have fetched from elsewhere.

    ``url`` has no values of its query and no credentials; ``kind`` is the type as developer tools name it (*Script*,
    *Font*, *Image*, *XHR*, *WebSocket* ...), *WebRTC* for a server that leads to peers, or *Preconnect* for what a page
    only announces; ``page`` is the path of the page that was open; ``at_ns`` is CLOCK_MONOTONIC.
    """

    url: str
    host: str
    port: int
    scheme: str
    method: str
    kind: str
    page: str
    at_ns: int


class Origin(NamedTuple):
    """A scheme, a host and a port."""

    scheme: str
    host: str
    port: int


def origin(url: str) -> Origin | None:
    """Return the origin of a URL; None where it has none that a network has a part in (data:, blob:, about:)."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        return None
    if scheme not in _PORTS or not host:
        return None
    return Origin(scheme, redact.printable(host)[:255].rstrip("."), port or _PORTS[scheme])


def describe(url: str) -> str:
    """Return a URL as it may be shown: no credentials, no values of the query, no fragment, not long."""
    head, mark, query = url[:4096].partition("#")[0].partition("?")
    return f"{redact.url(head)}{mark}{redact.query(query)}"[:_URL]


def answer(kind: str, headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of Fetch.fulfillRequest for a request of a type: empty, allowed to all, not kept."""
    content_type, body = _BODIES.get(kind, ("application/json", _JSON))
    asker = next((str(value) for name, value in headers.items() if name.lower() == "origin"), "*")
    fields = {
        "Content-Type": content_type, "Cache-Control": "no-store", "Access-Control-Allow-Origin": asker,
        "Access-Control-Allow-Headers": "*", "Access-Control-Allow-Methods": "*", "Timing-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }  # fmt: skip
    if asker != "*":
        fields["Access-Control-Allow-Credentials"] = "true"
    return {
        "responseCode": 200,
        "responseHeaders": [{"name": name, "value": value} for name, value in fields.items()],
        "body": base64.b64encode(body).decode("ascii"),
    }
