"""Shows what an HTTP request asks for: method and path, without what may be a secret in them."""

from __future__ import annotations

from typing import NamedTuple

from airgap_check import redact
from airgap_check.dissect.name import host as host_name
from airgap_check.redact.strings import looks_like_token

_LONGEST_PATH = 240
_READ = 4096  # bytes of a target


class Target(NamedTuple):
    """Whom a request is for: *host* or *host:port*, None where it does not say; and the path with its query.

    ``proxied`` tells that it is in absolute form, which only a proxy is sent.
    """

    authority: str | None
    path: str
    proxied: bool = False

    @property
    def host(self) -> str | None:
        """Return the host without the port."""
        return host_of(self.authority or "") or None


def target(text: bytes, host_field: bytes = b"") -> Target:
    """Read the target of a request (RFC 9112 3.2); one in absolute form says itself whom it is for."""
    scheme, mark, rest = text[:_READ].partition(b"://")
    if mark and scheme.isalpha():
        authority, _, path = rest.partition(b"/")
        authority, question, query = authority.partition(b"?")
        return Target(_authority(authority), (b"/" + path + question + query).decode("latin-1"), proxied=True)
    return Target(_authority(host_field), text[:_READ].decode("latin-1"))


def line(method: str, where: Target) -> str:
    """Return *METHOD /path?name=…*: values and fragments are left out, and segments that look like tokens hidden."""
    path, question, query = redact.printable(where.path).partition("#")[0].partition("?")
    if path.startswith("/"):
        prefix = f"https://{where.host or 'host.example'}"
        shown = redact.url(prefix + path[:_LONGEST_PATH])
        path = shown.removeprefix(prefix) if shown.startswith(prefix) else f"/{redact.REDACTED}"
        path = "/".join(redact.REDACTED if looks_like_token(part) else part for part in path.split("/"))
    elif path != "*":
        path = redact.REDACTED
    return f"{redact.printable(method)[:20]} {path}{question}{redact.query(query)}"


def begun(head: bytes) -> tuple[str, Target] | None:
    """Read the method and target of a request that is not whole, or not well made; None where it names none."""
    first, *rows = head.split(b"\n")
    method, _, rest = first.strip().partition(b" ")
    if not (method.isalpha() and method.isupper()) or method == b"CONNECT" or not rest.strip():
        return None
    fields = (row.partition(b":") for row in rows)
    said = next((value.strip() for name, _, value in fields if name.strip().lower() == b"host"), b"")
    return method.decode("ascii"), target(rest.split()[0], said)


def host_of(authority: str) -> str:
    """Return the host of *host:port* or *[address]:port*."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0] if authority.count(":") == 1 else authority


def _authority(text: bytes) -> str | None:
    """Clean what stands before the path; who logs in (``user:password@``) is dropped."""
    return host_name(text.rpartition(b"@")[2].strip()) or None
