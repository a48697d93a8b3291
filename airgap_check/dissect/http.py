"""Reads whom the head of an HTTP request speaks to; keeps neither path nor header, which may hold secrets."""

from __future__ import annotations

from typing import NamedTuple

from airgap_check.dissect import name

_PREFACE = b"PRI * HTTP/2.0\r\n"  # RFC 9113 3.4: the client knew that the server speaks HTTP/2
_LINE, _HEAD, _FIELDS = 8192, 16384, 100
_METHOD = 20  # bytes of the longest
_DNS_PATH = b"/dns-query"  # RFC 8484 4.1


class HttpRequest(NamedTuple):
    """``host`` is in lower case, printable, without the port; None where it cannot be known (HTTP/2, cut, missing).

    ``connect``: a proxy is asked for a tunnel to ``host``; ``dns_query``: the path is that of DNS over HTTPS;
    ``complete`` is False where the host may stand in what was not seen.
    """

    method: str
    host: str | None
    port: int | None = None
    connect: bool = False
    dns_query: bool = False
    complete: bool = True


def request(payload: bytes | memoryview) -> HttpRequest | None:
    """Read the beginning of a TCP stream; None when it is no HTTP request (RFC 9112, RFC 9113 3.4)."""
    head = bytes(payload[:_HEAD])
    if head.startswith(_PREFACE):
        return HttpRequest("PRI", None, complete=False)
    method, blank, _ = head[: _METHOD + 1].partition(b" ")
    if not blank or not method.isalpha() or not method.isupper():
        return None
    end = head.find(b"\n", 0, _LINE)
    line = head[:end].rstrip(b"\r") if end >= 0 else head[:_LINE]
    if end < 0:
        return HttpRequest(method.decode("ascii"), None, complete=False) if method in _METHODS else None
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
        return None
    return _aimed(method.decode("ascii"), parts[1], head, end + 1)


def _aimed(method: str, target: bytes, head: bytes, position: int) -> HttpRequest:
    if method == "CONNECT":
        host, port = _authority(target)
        return HttpRequest(method, host, port, connect=True)
    complete = True
    path = target
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.isalpha():  # absolute-form: then the Host field does not count (RFC 9112 3.2.2)
        authority, slash, path = rest.partition(b"/")
        path = slash + path
        host, port = _authority(authority)
    else:
        field, complete = _host_field(head, position)
        host, port = _authority(field)
    dns_query = path.partition(b"?")[0].rstrip(b"/") == _DNS_PATH
    return HttpRequest(method, host, port, dns_query=dns_query, complete=complete)


def _host_field(head: bytes, position: int) -> tuple[bytes, bool]:
    """Return the first Host field, and whether it can be said to be there or not."""
    for _ in range(_FIELDS):
        end = head.find(b"\n", position)
        if end < 0:
            return b"", False
        key, _, value = head[position:end].partition(b":")
        if not key.strip():
            return b"", True
        if key.lower() == b"host":
            return value.strip(), True
        position = end + 1
    return b"", False


def _authority(text: bytes) -> tuple[str | None, int | None]:
    """Split host and port; who logs in (``user:password@``) is dropped."""
    text = text.rpartition(b"@")[2].strip()
    if text.startswith(b"["):
        host, _, rest = text[1:].partition(b"]")
        port = rest.removeprefix(b":")
    else:
        host, _, port = text.partition(b":")
    number = int(port) if port.isdigit() and len(port) <= 5 else None
    return name.host(host) or None, number if number and number <= 0xFFFF else None


_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND"}
)
