"""Shows the bytes of a host name as text that is in lower case and printable, so that two spellings are one name."""

from __future__ import annotations

import re

LONGEST = 255  # RFC 1035 2.3.4

_PLAIN = re.compile(rb"[!-\[\]-~]*").fullmatch  # printable ASCII without blank and backslash


def host(raw: bytes) -> str:
    r"""Return a dotted name as text; what is not printable becomes ``\DDD`` (RFC 1035 5.1), the last dot goes."""
    if len(raw) > LONGEST:
        raw = raw[:LONGEST]
    raw = raw.removesuffix(b".").lower()
    return raw.decode("ascii") if _PLAIN(raw) else "".join(map(_character, raw))


def dotted(labels: list[bytes]) -> str:
    r"""Join the labels of a name; a dot inside a label becomes ``\\046``."""
    raw = b".".join(labels).lower()
    if raw.count(b".") == len(labels) - 1 and _PLAIN(raw):
        return raw.decode("ascii")
    return ".".join(
        "".join(r"\046" if octet == 46 else _character(octet) for octet in label.lower()) for label in labels
    )


def _character(octet: int) -> str:
    return chr(octet) if 33 <= octet <= 126 and octet != 92 else f"\\{octet:03}"
