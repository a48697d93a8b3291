"""What an HTTP server of the world answers: something of the kind that was asked for, so that the client goes on."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.world.account import Account
    from airgap_check.world.host import Host

DNS = "application/dns-message"  # RFC 8484
MOST_ASKED = 1 << 16  # bytes of a DNS question; any other body is not kept
_MOST_FIELDS = 32  # of a query that is a question of DNS
_GRPC = "application/grpc"
_EMPTY_MESSAGE = bytes(5)  # not compressed, of no bytes: every field of the answer has its default
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_PAGE = b"<!doctype html><html><head><title>rehearsal</title></head><body></body></html>"
_DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
_TYPES: dict[str, tuple[str, bytes]] = {
    "js": ("text/javascript", b""), "mjs": ("text/javascript", b""), "css": ("text/css", b""),
    "json": ("application/json", b"{}"), "html": ("text/html; charset=utf-8", _PAGE), "htm": ("text/html", _PAGE),
    "gif": ("image/gif", _PIXEL), "png": ("image/gif", _PIXEL), "jpg": ("image/gif", _PIXEL),
    "jpeg": ("image/gif", _PIXEL), "webp": ("image/gif", _PIXEL), "ico": ("image/gif", _PIXEL),
    "svg": ("image/svg+xml", _DRAWING), "txt": ("text/plain", b""), "xml": ("application/xml", b"<none/>"),
    "woff": ("font/woff", b""), "woff2": ("font/woff2", b""), "map": ("application/json", b"{}"),
}  # fmt: skip
_BY_ACCEPT = (
    ("text/html", "html"), ("application/json", "json"), ("+json", "json"), ("text/css", "css"), ("image/", "gif"),
    ("javascript", "js"), ("xml", "xml"), ("text/plain", "txt"),
)  # fmt: skip
_MIRRORED = ("application/x-protobuf", "application/protobuf")  # who sends one wants one; the empty one is valid


class Request(NamedTuple):
    """One request; the names of its fields are in lower case, ``path`` is with its query."""

    method: str
    path: str
    fields: Mapping[str, str]


class Response(NamedTuple):
    """What is answered; ``trailers`` come after the body, in HTTP/2 alone."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()


def make(request: Request, asked: bytes, account: Account, host: Host) -> Response:
    """Answer a request; ``asked`` is the body of one that is a question of DNS over HTTPS."""
    question = _question_of(request, asked)
    if question is not None:
        reply = host.answers.reply(question)
        if reply.wire is not None:
            account.spoken = "dns"
            for line in reply.lines:
                account.ask(line)
            return _with_body(request, 200, DNS, reply.wire)
    if request.method == "OPTIONS":
        return Response(204, (*_shared(request), ("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")))
    said = request.fields.get("content-type", "").lower()
    if said.startswith(_GRPC):
        trailers = (("grpc-status", "0"),)
        return Response(200, (("content-type", _GRPC),), _EMPTY_MESSAGE, trailers)
    if said.startswith(_MIRRORED):
        return _with_body(request, 200, said.partition(";")[0], b"")
    return _with_body(request, 200, *_content(request))


def asks_name(request: Request) -> bool:
    """Tell whether the body is a question of DNS."""
    return request.fields.get("content-type", "").lower().startswith(DNS)


def _question_of(request: Request, asked: bytes) -> bytes | None:
    """Return the DNS message that a request carries (RFC 8484 4.1)."""
    if asks_name(request):
        return asked
    query = request.path.partition("?")[2]
    if request.method != "GET" or "dns=" not in query:
        return None
    try:
        encoded = parse_qs(query[: 2 * MOST_ASKED], max_num_fields=_MOST_FIELDS).get("dns", [""])
        return base64.urlsafe_b64decode(encoded[0] + "=" * (-len(encoded[0]) % 4))
    except (binascii.Error, ValueError):  # also of more fields
        return None


def _content(request: Request) -> tuple[str, bytes]:
    path = request.path.partition("?")[0]
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    if dot and ending.lower() in _TYPES:
        return _TYPES[ending.lower()]
    accepted = request.fields.get("accept", "").lower()
    for mark, kind in _BY_ACCEPT:
        if mark in accepted:
            return _TYPES[kind]
    return _TYPES["json"]


def _with_body(request: Request, status: int, kind: str, body: bytes) -> Response:
    fields = (("content-type", kind), ("content-length", str(len(body))), *_shared(request))
    return Response(status, fields, b"" if request.method == "HEAD" else body)


def _shared(request: Request) -> tuple[tuple[str, str], ...]:
    """Return the fields that let a script of any page read the answer."""
    origin = request.fields.get("origin")
    return (
        ("access-control-allow-origin", origin or "*"),
        ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("access-control-allow-headers", request.fields.get("access-control-request-headers") or "*"),
        *((("access-control-allow-credentials", "true"),) if origin else ()),
        ("cache-control", "no-store"),
    )
