"""Asks one thing over HTTP/1.1 on a line and reads a bounded answer; follows nothing, decompresses nothing.

Source: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote, urljoin

from airgap_check.objectos.endpoint import parse as endpoints_of
from airgap_check.probes.account import ConversationError, Heard, Named, quoted
from airgap_check.redact import url

if TYPE_CHECKING:
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_LONGEST_LINE = 16 << 10
_MOST_HEADERS = 200
_MOST_INTERIM = 8
_LONGEST_BODY = 1 << 20
_BODILESS = frozenset({204, 304})
_PATH = "/-._~!$&'()*+,;=:@%?"  # what stays as it is in a path with a query


class Response(NamedTuple):
    """An answer. ``headers`` have lower-case names, the last one of a name stands."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(line: Line, target: Target) -> Heard:
    """Ask for the headers of a page; any answer will do."""
    response = request(line, target, "HEAD", target.detail)
    return Heard(f"HTTP {response.status}", redirection(response, target, "other"))


def request(
    line: Line, target: Target, method: Literal["GET", "HEAD"], path: str, *, media: str = "*/*", stays: bool = False
) -> Response:
    """Send one request and read its answer; ``stays`` keeps the line for another one.

    Raises `ConversationError` for what is no HTTP, too long, or compressed though nobody asked for that.
    """
    line.send(
        (
            f"{method} {quote('/' + path.lstrip('/'), safe=_PATH)} HTTP/1.1\r\n"
            f"Host: {_host(line, target)}\r\nUser-Agent: airgap-check\r\nAccept: {media}\r\n"
            f"Accept-Encoding: identity\r\nConnection: {'keep-alive' if stays else 'close'}\r\n\r\n"
        ).encode("ascii")
    )
    for _ in range(_MOST_INTERIM):
        status, headers = _status(line), _headers(line)
        if status == 101 or status >= 200:
            return Response(status, headers, _body(line, method, status, headers))
    raise ConversationError("interim answers without end")


def redirection(response: Response, target: Target, role: str) -> tuple[Named, ...]:
    """Return where an answer sends its client, if that is another host."""
    location = response.headers.get("location", "")
    if not 300 <= response.status < 400 or not location:
        return ()
    try:
        absolute = urljoin(f"{scheme(target)}://{bracketed(target.host)}:{target.port}/", location)
    except ValueError:
        absolute = location
    ends = endpoints_of(absolute)
    if ends and (ends[0].name or ends[0].address) == target.host and ends[0].port == target.port:
        return ()
    return (Named("Location", quoted(url(location)), role, ends[0] if ends else None),)


def scheme(target: Target) -> str:
    """Return the scheme of a target's URLs."""
    return "http" if target.tls == "none" else "https"


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _host(line: Line, target: Target) -> str:
    try:
        host = target.host if target.host.isascii() else target.host.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not host or not host.isprintable() or set(host) & set(" /\\@?#"):
        raise ConversationError(f"{quoted(target.host)} is no host that HTTP could ask for")
    own = 443 if line.is_secure else 80
    return bracketed(host) if target.port == own else f"{bracketed(host)}:{target.port}"


def _line(line: Line) -> str:
    return line.read_until(b"\n", _LONGEST_LINE).rstrip(b"\r").decode("latin-1")


def _status(line: Line) -> int:
    first = _line(line)
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if version not in {"HTTP/1.1", "HTTP/1.0"} or len(code) != 3 or not _is_number(code) or rest[3:4].strip():
        raise ConversationError(f"it does not speak HTTP/1.1: {quoted(first)}")
    return int(code)


def _headers(line: Line) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        text = _line(line)
        if not text:
            return headers
        name, colon, value = text.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    raise ConversationError(f"more than {_MOST_HEADERS} headers")


def _body(line: Line, method: str, status: int, headers: dict[str, str]) -> bytes:
    if method == "HEAD" or status in _BODILESS or status == 101:
        return b""
    if headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
        raise ConversationError(f"it compresses though nobody asked: {quoted(headers['content-encoding'])}")
    coding = headers.get("transfer-encoding", "").lower()
    if coding:
        if coding != "chunked":
            raise ConversationError(f"unknown transfer coding {quoted(coding)}")
        return _chunks(line)
    if "content-length" not in headers:
        return line.read_to_end(_LONGEST_BODY)
    return line.read(_size(headers["content-length"], 10))


def _chunks(line: Line) -> bytes:
    body = bytearray()
    while size := _size(_line(line).partition(";")[0].strip(), 16):
        if len(body) + size > _LONGEST_BODY:
            raise ConversationError(f"an answer of more than {_LONGEST_BODY} bytes")
        body += line.read(size)
        if _line(line):
            raise ConversationError("a chunk that does not end where it says")
    _headers(line)
    return bytes(body)


def _size(text: str, base: int) -> int:
    if len(text) > 8 or not (_is_number(text) if base == 10 else text and set(text) <= set("0123456789abcdefABCDEF")):
        raise ConversationError(f"{quoted(text)} is no length")
    size = int(text, base)
    if size > _LONGEST_BODY:
        raise ConversationError(f"an answer of more than {_LONGEST_BODY} bytes")
    return size


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
