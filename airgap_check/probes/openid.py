"""Asks an OpenID provider what it is made of, and names every endpoint of its discovery document.

Source: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 8414.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from airgap_check.objectos.endpoint import parse as endpoints_of
from airgap_check.probes import http
from airgap_check.probes.account import Checked, ConversationError, Heard, Named, quoted
from airgap_check.redact import url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.asset import Dialer
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_DOCUMENT = "/.well-known/openid-configuration"
_BROWSER = frozenset(
    {"authorization_endpoint", "end_session_endpoint", "check_session_iframe", "op_policy_uri", "op_tos_uri"}
)
_PROSE = frozenset({"service_documentation"})
_MOST_NAMED = 200
_DEEPEST = 8


def ask(line: Line, target: Target) -> Heard:
    """Fetch the discovery document and name what it names. Raises `ConversationError` where there is none to be had.

    A provider whose path nobody configured may keep its document elsewhere: then it is reached, and the check says so.
    """
    path = target.detail if "/.well-known/" in target.detail else target.detail.rstrip("/") + _DOCUMENT
    response = http.request(line, target, "GET", path, media="application/json")
    elsewhere = http.redirection(response, target, "idp")
    if response.status == 404 and not target.detail:
        missing = Checked("idp-discovery", "failed", f"there is no {_DOCUMENT} at its root")
        return Heard("it answers, and shows no discovery document at its root", (), (missing,))
    if response.status != 200:
        line.named += elsewhere
        raise ConversationError(f"no discovery document at {quoted(path)}: HTTP {response.status}")
    document = parse_object(response.body)
    if document is None or not {"issuer", "authorization_endpoint", "token_endpoint"} & document.keys():
        raise ConversationError(f"what it shows at {quoted(path)} is no discovery document")
    found = list(_destinations(document, "$", "", 0))
    read = Checked("idp-discovery", "passed", f"{len(found)} destinations")
    if len(found) > _MOST_NAMED:
        read = Checked("idp-discovery", "unknown", f"{len(found)} destinations, of which {_MOST_NAMED} were judged")
    named = tuple(_named(destination) for destination in found[:_MOST_NAMED])
    issuer = _issuer(document, target, path.partition("/.well-known/")[0])
    return Heard(f"a discovery document with {len(found)} destinations", named, (read, issuer))


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that these bytes are, None when they are none."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


class _Destination(NamedTuple):
    pointer: str
    field: str
    text: str


def _destinations(value: object, pointer: str, field: str, depth: int) -> Iterator[_Destination]:
    """Yield what is, or should be, a URL; names of claims and methods (``..._supported``) only look like some."""
    if field.endswith("_supported"):
        return
    if depth > _DEEPEST:
        raise ConversationError("its discovery document is nested too deep to be read")
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _destinations(item, f"{pointer}.{quoted(key)}", key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _destinations(item, f"{pointer}[{index}]", field, depth + 1)
    elif isinstance(value, str) and (
        value.lower().startswith(("http://", "https://")) or field.endswith(("_endpoint", "_uri"))
    ):
        yield _Destination(pointer, field, value)


def _named(found: _Destination) -> Named:
    ends = endpoints_of(found.text) if "://" in found.text else ()
    dialer: Dialer = "server-event"
    if found.field in _PROSE:
        dialer = "nobody"
    elif found.field in _BROWSER:
        dialer = "browser"
    return Named(found.pointer, quoted(url(found.text)), "idp", ends[0] if ends else None, dialer)


def _issuer(document: dict[str, Any], target: Target, path: str) -> Checked:
    """Compare the issuer with where the document was asked for: clients refuse a provider that says it is another."""
    issuer = document.get("issuer")
    expected = f"{http.scheme(target)}://{http.bracketed(target.host)}:{target.port}{path}"
    if isinstance(issuer, str) and _comparable(issuer) == _comparable(expected):
        return Checked("idp-issuer", "passed", "", "$.issuer")
    shown = quoted(url(issuer)) if isinstance(issuer, str) else "missing"
    return Checked("idp-issuer", "failed", f"its issuer is {shown}, and it was asked as {quoted(expected)}", "$.issuer")


def _comparable(text: str) -> tuple[str, str, int | None, str] | None:
    try:
        parts = urlsplit(text)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, (parts.hostname or "").rstrip("."), port, "/" + parts.path.strip("/")
